package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	bbq "bbq.internal/client"
	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

func lasting(lease time.Duration) *bbqv1.QueueSettings {
	return &bbqv1.QueueSettings{LeaseDuration: durationpb.New(lease)}
}

func receive(w *world) *bbq.Delivery {
	received := get(w.client.Receive(w.ctx, w.queue, 1, 10*time.Second))
	same("how many came", len(received), 1)
	return received[0]
}

func leaseExpiry(w *world) {
	must(w.create(w.queue, lasting(time.Second)))
	w.publish("late")
	first := receive(w)
	since := time.Now()
	second := receive(w)
	same("what comes back", [2]uint64{second.Sequence, uint64(second.Attempt)}, [2]uint64{first.Sequence, 2})
	same("whether the lease lasted", time.Since(since) >= 900*time.Millisecond, true)
	old := []string{first.Receipt}
	same("the nack", why(w.client.Nack(w.ctx, w.queue, old, bbq.Nack{})), "SUPERSEDED")
	same("the extension", why(w.client.Extend(w.ctx, w.queue, old, 0)), "SUPERSEDED")
	same("the ack", why(w.client.Ack(w.ctx, w.queue, old)), "SUPERSEDED")
	same("the second ack", why(w.client.Ack(w.ctx, w.queue, []string{second.Receipt})), "")

	w.publish("later")
	third := receive(w)
	get(w.client.Admin.UpdateQueue(w.ctx, connect.NewRequest(&bbqv1.UpdateQueueRequest{
		Name:       w.queue,
		Settings:   &bbqv1.QueueSettings{Paused: true},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"paused"}},
	})))
	w.counts(1, 0)
	late := []string{third.Receipt}
	same("the late extension", why(w.client.Extend(w.ctx, w.queue, late, 0)), "EXPIRED")
	same("the late ack", why(w.client.Ack(w.ctx, w.queue, late)), "")
	w.counts(0, 0)
}

func leaseExtension(w *world) {
	must(w.create(w.queue, lasting(20*time.Second)))
	w.publish("slow")
	subscription := w.client.Subscribe(w.ctx, w.queue, nil)
	delivery := w.next(subscription)
	ctx, cancel := context.WithTimeout(w.ctx, 35*time.Second)
	defer cancel()
	_, err := subscription.Next(ctx)
	same("whether nothing came again", errors.Is(err, context.DeadlineExceeded), true)
	w.counts(0, 1)
	must(delivery.Ack(w.ctx))
}

func staleReceipt(w *world) {
	must(w.create(w.queue, nil))
	must(w.create(w.queue+"-2", nil))
	w.publishNumbers(2)
	subscription := w.subscribe(0)
	first, second := w.next(subscription), w.next(subscription)
	must(first.Ack(w.ctx))
	acked, old := []string{first.Receipt}, []string{second.Receipt}
	same("the second ack", why(w.client.Ack(w.ctx, w.queue, acked)), "")
	same("a nack of what is gone", why(w.client.Nack(w.ctx, w.queue, acked, bbq.Nack{})), "GONE")
	same("an extension of what is gone", why(w.client.Extend(w.ctx, w.queue, acked, 0)), "GONE")
	same("an ack of nothing", why(w.client.Ack(w.ctx, w.queue, []string{"not-a-receipt"})), "UNKNOWN")
	same("an ack elsewhere", why(w.client.Ack(w.ctx, w.queue+"-2", old)), "UNKNOWN")

	subscription.Close()
	current := w.next(w.subscribe(0))
	failed, ok := errors.AsType[*bbq.ReceiptError](second.Ack(w.ctx))
	same("whether the ack is refused", ok, true)
	same("the ack", *failed, bbq.ReceiptError{Receipt: second.Receipt, Why: "SUPERSEDED"})
	_, err := w.client.Queues.Transact(w.ctx, connect.NewRequest(&bbqv1.TransactRequest{
		Acks: []*bbqv1.AckRequest{{Queue: w.queue, Receipts: old}},
	}))
	refused("transact", err, connect.CodeAborted, "STALE_RECEIPT")
	must(current.Ack(w.ctx))
}

func handler(w *world) {
	must(w.create(w.queue, nil))
	w.publishNumbers(1)
	subscription := w.subscribe(0)
	times := make(chan time.Time, 10)
	handled := make(chan error, 1)
	go func() {
		handled <- subscription.Handle(w.ctx, 1, func(ctx context.Context, delivery *bbq.Delivery) error {
			times <- time.Now()
			if delivery.Attempt > 1 {
				return nil
			}
			delay := time.Second
			return delivery.NackWith(ctx, bbq.Nack{Delay: &delay})
		})
	}()
	var came [2]time.Time
	for i := range came {
		select {
		case came[i] = <-times:
		case <-time.After(bound):
			panic(failure{fmt.Errorf("it came %d times", i)})
		}
	}
	same("whether the delay lasted", came[1].Sub(came[0]) >= 900*time.Millisecond, true)
	w.counts(0, 0)
	subscription.Close()
	must(<-handled)
	same("how often it came besides", len(times), 0)
}
