package main

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"

	bbq "bbq.internal/client"
	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

func refusals(w *world) {
	must(w.create(w.queue, &bbqv1.QueueSettings{MaxMessages: 1}))
	publish := func(queue string, message bbq.Message) error {
		_, err := w.client.Publish(w.ctx, queue, message)
		return err
	}
	none := w.queue + "-none"
	refused("publish to none", publish(none, bbq.Message{}), connect.CodeNotFound, "QUEUE_NOT_FOUND")
	_, err := w.client.Subscribe(w.ctx, none, nil).Next(w.ctx)
	refused("subscribe to none", err, connect.CodeNotFound, "QUEUE_NOT_FOUND")
	refused("other settings", w.create(w.queue, nil), connect.CodeAlreadyExists, "QUEUE_EXISTS")
	refused("a bad name", w.create("bad name", nil), connect.CodeInvalidArgument, "INVALID_FIELD")
	must(w.create(w.queue+"-fifo", &bbqv1.QueueSettings{Ordering: bbqv1.Ordering_ORDERING_FIFO}))
	urgent := publish(w.queue+"-fifo", bbq.Message{Priority: 5})
	refused("a priority", urgent, connect.CodeFailedPrecondition, "PRIORITY_IN_FIFO")
	twice := publish(w.queue, bbq.Message{DeduplicationID: "x"})
	refused("a deduplication id", twice, connect.CodeFailedPrecondition, "DEDUPLICATION_OFF")
	_, err = w.client.PublishAll(w.ctx, w.queue, make([]bbq.Message, 2))
	refused("two messages", err, connect.CodeResourceExhausted, "QUEUE_FULL")

	created := get(w.client.Admin.CreateToken(w.ctx, connect.NewRequest(&bbqv1.CreateTokenRequest{
		Name:   w.queue,
		Grants: []*bbqv1.Grant{{Permission: bbqv1.Permission_PERMISSION_CONSUME, Queues: w.queue}},
	})))
	for _, with := range []struct {
		token, reason string
		code          connect.Code
	}{
		{"wrong", "BAD_TOKEN", connect.CodeUnauthenticated},
		{"", "NO_TOKEN", connect.CodeUnauthenticated},
		{created.Msg.GetSecret(), "PERMISSION_MISSING", connect.CodePermissionDenied},
	} {
		profile := w.profile
		profile.Token = with.token
		client := get(bbq.Connect(w.ctx, &profile))
		_, err := client.Publish(w.ctx, w.queue, bbq.Message{})
		refused("the token for "+with.reason, err, with.code, with.reason)
		must(client.Close())
	}
}

func table(w *world) {
	var answer struct {
		Profile string
		Cases   []struct {
			Queue, Code, Reason string
			RetryMs             *int64 `json:"retry_ms"`
		}
	}
	ask("errors", &answer)
	profile := get(bbq.LoadProfile(answer.Profile))
	profile.Transport = w.profile.Transport
	client := get(bbq.Connect(w.ctx, profile))
	same("whether there are cases", len(answer.Cases) >= 12, true)
	for _, given := range answer.Cases {
		ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
		_, err := client.Publish(ctx, given.Queue, bbq.Message{})
		cancel()
		var code connect.Code
		must(code.UnmarshalText([]byte(strings.ToLower(given.Code))))
		own := refused(given.Queue, err, code, given.Reason)
		var retry time.Duration
		if given.RetryMs != nil {
			retry = time.Duration(*given.RetryMs) * time.Millisecond
		}
		same(given.Queue, own.RetryAfter, retry)
	}
	must(client.Close())
}

func deadline(w *world) {
	must(w.create(w.queue, nil))
	w.publish("before")
	ask("pause", nil)
	ctx, cancel := context.WithTimeout(w.ctx, time.Second)
	defer cancel()
	since := time.Now()
	_, err := w.client.Publish(ctx, w.queue, bbq.Message{Body: []byte("never confirmed")})
	took := time.Since(since)
	ask("resume", nil)
	refused("publish", err, connect.CodeDeadlineExceeded, "")
	same("whether it took about the deadline", took >= 900*time.Millisecond && took <= 25*time.Second, true)
	w.until("there", func(*bbqv1.QueueStats) bool { return true })
}
