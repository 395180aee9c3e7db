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
	_, err := w.connectWithin(profile, 10*time.Second)
	refused("connecting to nobody", err, connect.CodeUnavailable, "")
	ask("open-port", nil)
	same("where UDP is blocked", w.spoken(profile), "h2")
	own := w.profile
	own.Transport = "auto"
	// HTTP/3 has a head start only, which a busy machine may use up.
	for end := time.Now().Add(bound); w.spoken(&own) != "h3"; {
		same("whether HTTP/3 may still win", time.Now().Before(end), true)
	}
}

func (w *world) connectWithin(profile *bbq.Profile, bound time.Duration) (*bbq.Client, error) {
	ctx, cancel := context.WithTimeout(w.ctx, bound)
	defer cancel()
	return bbq.Connect(ctx, profile)
}

// spoken publishes and takes a message over a connection of its own, and returns what that speaks.
func (w *world) spoken(profile *bbq.Profile) string {
	client := get(w.connectWithin(profile, atOnce))
	get(client.Publish(w.ctx, w.queue, bbq.Message{Body: []byte("x")}))
	subscription := client.Subscribe(w.ctx, w.queue, &bbq.SubscribeOptions{Lease: longLease})
	delivery := w.next(subscription)
	listed := get(client.Admin.ListLeases(w.ctx, connect.NewRequest(&bbqv1.ListLeasesRequest{Queue: w.queue})))
	same("how many are leased", len(listed.Msg.GetLeases()), 1)
	must(delivery.Ack(w.ctx))
	must(client.Close())
	return listed.Msg.GetLeases()[0].GetTransport()
}
