package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"connectrpc.com/connect"

	bbq "bbq.internal/client"
)

func publishConsume(w *world) {
	must(w.create(w.queue, nil))
	publisher := w.client.Publisher(w.queue, nil)
	var confirmations []*bbq.Confirmation
	for number := range w.messages {
		message := bbq.Message{Body: []byte(strconv.Itoa(number))}
		confirmations = append(confirmations, get(publisher.Publish(w.ctx, message)))
	}
	for number, confirmation := range confirmations {
		same("a sequence", get(confirmation.Wait(w.ctx)).Sequence, uint64(number+1))
	}
	must(publisher.Flush(w.ctx))

	subscription := w.client.Subscribe(w.ctx, w.queue, &bbq.SubscribeOptions{MaxInFlight: 500})
	var mutex sync.Mutex
	attempts := make([]int, w.messages)
	var wrong error
	handler := func(_ context.Context, delivery *bbq.Delivery) error {
		mutex.Lock()
		defer mutex.Unlock()
		number := number(delivery)
		attempts[number]++
		if int(delivery.Attempt) != attempts[number] {
			wrong = fmt.Errorf("%d came as attempt %d, not %d", number, delivery.Attempt, attempts[number])
		}
		// What a handler fails with gives the message back.
		if number%100 == 0 && delivery.Attempt == 1 {
			return errors.New("not yet")
		}
		return nil
	}
	handled := make(chan error)
	go func() { handled <- subscription.Handle(w.ctx, 500, handler) }()
	w.counts(0, 0)
	subscription.Close()
	must(<-handled)
	must(wrong)
	for number, attempts := range attempts {
		expected := 1
		if number%100 == 0 {
			expected = 2
		}
		same(fmt.Sprintf("the attempts of %d", number), attempts, expected)
	}
	w.consumers(0)
}

func cancel(w *world) {
	must(w.create(w.queue, nil))
	w.publishNumbers(10)
	ctx, cancel := context.WithCancel(w.ctx)
	first := w.client.Subscribe(ctx, w.queue, &bbq.SubscribeOptions{MaxInFlight: 10, Lease: longLease})
	for _, delivery := range w.take(first, 10)[:3] {
		must(delivery.Ack(w.ctx))
	}
	cancel()

	other, second := w.secondClient()
	var again []*bbq.Delivery
	for sequence := uint64(4); sequence <= 10; sequence++ {
		delivery := w.next(second)
		same("what comes back", [2]uint64{delivery.Sequence, uint64(delivery.Attempt)}, [2]uint64{sequence, 2})
		again = append(again, delivery)
	}
	for _, delivery := range again[:6] {
		must(delivery.Ack(w.ctx))
	}
	// Closing the client gives the last one back at once; a busy machine may need another try.
	for attempt, end := uint64(3), time.Now().Add(bound); ; attempt += 2 {
		since := time.Now()
		must(other.Close())
		third := w.subscribe(0)
		delivery := w.next(third)
		same("what comes back", [2]uint64{delivery.Sequence, uint64(delivery.Attempt)}, [2]uint64{10, attempt})
		if time.Since(since) < atOnce {
			must(delivery.Ack(w.ctx))
			break
		}
		same("whether it may still come at once", time.Now().Before(end), true)
		third.Close()
		other, second = w.secondClient()
		same("the attempt", uint64(w.next(second).Attempt), attempt+1)
	}
	w.counts(0, 0)
}

func (w *world) secondClient() (*bbq.Client, *bbq.Subscription) {
	other := get(bbq.Connect(w.ctx, &w.profile))
	return other, other.Subscribe(w.ctx, w.queue, &bbq.SubscribeOptions{Lease: longLease})
}

// outlived has the server restarted or killed while a subscription holds messages.
func outlived(how string) func(*world) {
	return func(w *world) {
		must(w.create(w.queue, nil))
		w.publishNumbers(20)
		subscription := w.subscribe(5)
		held := w.take(subscription, 5)
		seen := map[int]bool{}
		for _, delivery := range held[:2] {
			must(delivery.Ack(w.ctx))
			seen[number(delivery)] = true
		}
		ask(how, nil)
		for len(seen) < 20 {
			delivery := w.next(subscription)
			same(fmt.Sprintf("whether %s was acked before", delivery.Body), seen[number(delivery)], false)
			err := delivery.Ack(w.ctx)
			if failed, ok := errors.AsType[*bbq.ReceiptError](err); ok {
				// It came before the end of its stream was known, and comes again.
				same("the ack", failed.Why, "SUPERSEDED")
				continue
			}
			must(err)
			seen[number(delivery)] = true
		}
		for {
			_, err := w.client.Publish(w.ctx, w.queue, bbq.Message{Body: []byte("after")})
			if bbq.CodeOf(err) != connect.CodeUnavailable {
				must(err)
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		delivery := w.next(subscription)
		same("the body", string(delivery.Body), "after")
		must(delivery.Ack(w.ctx))
		w.counts(0, 0)
	}
}

func idle(w *world) {
	must(w.create(w.queue, nil))
	var subscriptions []*bbq.Subscription
	for range w.subscriptions {
		subscriptions = append(subscriptions, w.subscribe(1))
	}
	w.consumers(uint64(w.subscriptions))
	w.publishNumbers(w.subscriptions)
	seen := map[int]bool{}
	var deliveries []*bbq.Delivery
	for _, subscription := range subscriptions {
		delivery := w.next(subscription)
		seen[number(delivery)] = true
		deliveries = append(deliveries, delivery)
	}
	same("how many came", len(seen), w.subscriptions)
	errs := make(chan error)
	for _, delivery := range deliveries {
		go func() { errs <- delivery.Ack(w.ctx) }()
	}
	for range deliveries {
		must(<-errs)
	}
	w.counts(0, 0)
	for _, subscription := range subscriptions {
		subscription.Close()
	}
	w.consumers(0)
}
