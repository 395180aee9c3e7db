package bbq

import (
	"context"
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"

	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

// The settlements of a queue share a batcher; one subscription's end does not wait for it to be idle.
func TestClosingEndsThoughOthersGoOnSettling(t *testing.T) {
	server := newServer()
	client := server.serve(t)
	busy := client.Subscribe(t.Context(), "q", &SubscribeOptions{NoExtend: true})
	for range 20 {
		server.deliver("a")
	}
	handled := make(chan error)
	go func() {
		handled <- busy.Handle(t.Context(), 20, func(context.Context, *Delivery) error {
			server.deliver("a")
			return nil
		})
	}()
	settled := func(count int) func() bool { return func() bool { return len(server.settlements()) > count } }
	until(t, "it is busy", settled(100))
	soon(t, "the idle one's end", func() { client.Subscribe(t.Context(), "q", &SubscribeOptions{ConsumerName: idle}).Close() })
	until(t, "it goes on", settled(len(server.settlements())+100))
	soon(t, "the busy one's end", busy.Close)
	if err := <-handled; err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsHandedOutAfterClosingBegan(t *testing.T) {
	server := newServer()
	goOn := make(chan struct{})
	server.onSettle = func(context.Context) error {
		<-goOn
		return nil
	}
	client := server.serve(t)
	subscription := client.Subscribe(t.Context(), "q", &SubscribeOptions{NoExtend: true})
	server.deliver("a", "b")
	delivery := next(t, subscription)
	acked, closed := make(chan error, 1), make(chan struct{})
	go func() { acked <- delivery.Ack(t.Context()) }()
	until(t, "it is on its way", delivery.Settled)
	go func() {
		defer close(closed)
		subscription.Close()
	}()
	<-subscription.closing
	if _, err := subscription.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	close(goOn)
	if err := <-acked; err != nil {
		t.Fatal(err)
	}
	<-closed
	same(t, "settled", server.settlements(), []string{"ack a"})
}

// Messages of an at-most-once queue need no credit; what nobody takes is not read.
func TestABacklogWaitsWhereItComesFrom(t *testing.T) {
	server := newServer()
	client := server.serve(t)
	subscription := client.Subscribe(t.Context(), "q", &SubscribeOptions{MaxInFlight: 10})
	server.deliver("a", "", "", "", "", "", "", "", "", "", "")
	next(t, subscription)
	for range 100 {
		server.deliver("", "", "", "", "")
	}
	// It waits for room with 15 in hand, whatever has arrived meanwhile.
	until(t, "it holds more than its bound", func() bool { return subscription.waiting() == 15 })
	until(t, "the server sent all", func() bool { return len(server.outgoing) == 0 })
	for range 510 {
		if waiting := subscription.waiting(); waiting > 15 {
			t.Fatalf("%d wait", waiting)
		}
		next(t, subscription)
	}
	subscription.Close()
}

func TestAReceiveSaysWhatItsOptionsSay(t *testing.T) {
	server := newServer()
	client := server.serve(t)
	for _, options := range [][]ReceiveOption{nil, {WithLease(time.Minute), WithConsumerName("me")}} {
		if _, err := client.Receive(t.Context(), "q", 3, time.Second, options...); err != nil {
			t.Fatal(err)
		}
		lease, name := time.Duration(0), ""
		if options != nil {
			lease, name = time.Minute, "me"
		}
		if server.received.GetLeaseDuration().AsDuration() != lease || server.received.GetConsumerName() != name {
			t.Fatal(server.received)
		}
	}
}

func TestCallsAfterClosingAreRefused(t *testing.T) {
	server := newServer()
	client := server.serve(t)
	if _, err := client.Publish(t.Context(), "q", Message{}); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	_, publishing := client.Publish(t.Context(), "q", Message{})
	_, acking := client.Ack(t.Context(), "q", []string{"a"})
	_, subscribing := client.Subscribe(t.Context(), "q", nil).Next(t.Context())
	for _, err := range []error{publishing, acking, subscribing} {
		if !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	}
	if CodeOf(publishing) != connect.CodeCanceled {
		t.Fatal(publishing)
	}
}

func TestClosingEndsTheCallsUnderWay(t *testing.T) {
	server := newServer()
	waiting := make(chan struct{})
	server.onPublish = func(ctx context.Context, _ []*bbqv1.Message) error {
		close(waiting)
		<-ctx.Done()
		return ctx.Err()
	}
	client := server.serve(t)
	failed := make(chan error)
	go func() {
		_, err := client.Publish(context.Background(), "q", Message{})
		failed <- err
	}()
	<-waiting
	soon(t, "the end", func() {
		_ = client.Close()
		if err := <-failed; !errors.Is(err, ErrClosed) || CodeOf(err) != connect.CodeCanceled {
			t.Error(err)
		}
	})
}
