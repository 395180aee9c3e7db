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
	w.over(get(w.connectWithin(profile, atOnce)), "h2")
	own := w.profile
	own.Transport = "auto"
	w.over(get(w.connectWithin(&own, atOnce)), "h3")
}

func (w *world) connectWithin(profile *bbq.Profile, bound time.Duration) (*bbq.Client, error) {
	ctx, cancel := context.WithTimeout(w.ctx, bound)
	defer cancel()
	return bbq.Connect(ctx, profile)
}

// over publishes and takes a message over the client's connection, and looks what that is.
func (w *world) over(client *bbq.Client, transport string) {
	get(client.Publish(w.ctx, w.queue, bbq.Message{Body: []byte("x")}))
	subscription := client.Subscribe(w.ctx, w.queue, &bbq.SubscribeOptions{Lease: longLease})
	delivery := w.next(subscription)
	listed := get(client.Admin.ListLeases(w.ctx, connect.NewRequest(&bbqv1.ListLeasesRequest{Queue: w.queue})))
	same("how many are leased", len(listed.Msg.GetLeases()), 1)
	same("the transport", listed.Msg.GetLeases()[0].GetTransport(), transport)
	must(delivery.Ack(w.ctx))
	must(client.Close())
}
