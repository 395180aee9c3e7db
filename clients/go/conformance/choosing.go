package main

import (
	"context"
	"time"

	"connectrpc.com/connect"

	bbq "bbq.internal/client"
	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

func auto(w *world) {
	must(w.create(w.queue, nil))
	var answer struct{ Profile string }
	ask("port", &answer)
	profile := get(bbq.LoadProfile(answer.Profile))
	profile.Transport = "auto"
	_, err := w.connect(profile)
	refused("connecting to nobody", err, connect.CodeUnavailable, "")
	ask("open-port", nil)
	// A busy machine may need another try, but what waits for UDP first takes longer each time.
	for end := time.Now().Add(bound); ; {
		spoken, took := w.spoken(profile)
		same("where UDP is blocked", spoken, "h2")
		if took < atOnce {
			break
		}
		same("whether HTTP/2 may still connect at once", time.Now().Before(end), true)
	}
	own := w.profile
	own.Transport = "auto"
	// HTTP/3 has a head start only, which a busy machine may use up.
	for end := time.Now().Add(bound); ; {
		if spoken, _ := w.spoken(&own); spoken == "h3" {
			break
		}
		same("whether HTTP/3 may still win", time.Now().Before(end), true)
	}
}

func (w *world) connect(profile *bbq.Profile) (*bbq.Client, error) {
	ctx, cancel := context.WithTimeout(w.ctx, bound)
	defer cancel()
	return bbq.Connect(ctx, profile)
}

// spoken publishes and takes a message over a connection of its own, and returns what that speaks and how long connecting took.
func (w *world) spoken(profile *bbq.Profile) (string, time.Duration) {
	since := time.Now()
	client := get(w.connect(profile))
	took := time.Since(since)
	get(client.Publish(w.ctx, w.queue, bbq.Message{Body: []byte("x")}))
	subscription := client.Subscribe(w.ctx, w.queue, &bbq.SubscribeOptions{Lease: longLease})
	delivery := w.next(subscription)
	listed := get(client.Admin.ListLeases(w.ctx, connect.NewRequest(&bbqv1.ListLeasesRequest{Queue: w.queue})))
	same("how many are leased", len(listed.Msg.GetLeases()), 1)
	must(delivery.Ack(w.ctx))
	must(client.Close())
	return listed.Msg.GetLeases()[0].GetTransport(), took
}
