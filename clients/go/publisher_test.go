package bbq

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

func TestOneBadMessageFailsAlone(t *testing.T) {
	for reason, code := range map[string]connect.Code{
		"DELAY_IN_ORDER":    connect.CodeInvalidArgument,
		"PRIORITY_IN_FIFO":  connect.CodeFailedPrecondition,
		"NOT_BY_KEY":        connect.CodeFailedPrecondition,
		"DEDUPLICATION_OFF": connect.CodeFailedPrecondition,
		"LIMIT_EXCEEDED":    connect.CodeResourceExhausted,
		"REQUEST_TOO_LARGE": connect.CodeResourceExhausted,

		"TOO_MANY_DELAYED_MESSAGES":  connect.CodeResourceExhausted,
		"TOO_MANY_DEDUPLICATION_IDS": connect.CodeResourceExhausted,
	} {
		t.Run(reason, func(t *testing.T) {
			server := newServer()
			server.onPublish = func(_ context.Context, messages []*bbqv1.Message) error {
				if slices.ContainsFunc(messages, func(message *bbqv1.Message) bool { return string(message.GetBody()) == "bad" }) {
					return refusal(code, reason)
				}
				return nil
			}
			publisher := server.serve(t).Publisher("q", nil)
			var bodies []string
			var confirmations []*Confirmation
			for at := range 100 {
				body := strconv.Itoa(at)
				if at == 37 {
					body = "bad"
				}
				bodies = append(bodies, body)
				confirmations = append(confirmations, taken(t, publisher, Message{Body: []byte(body)}))
			}
			if err := publisher.Close(t.Context()); CodeOf(err) != code {
				t.Fatal(err)
			}
			for at, confirmation := range confirmations {
				if _, err := confirmation.Wait(t.Context()); (err != nil) != (at == 37) {
					t.Fatalf("%d: %v", at, err)
				}
			}
			same(t, "stored", slices.Concat(server.published...), append(bodies[:37:37], bodies[38:]...))
		})
	}
}

func TestWhatIsNoFaultOfOneMessageIsNotSplit(t *testing.T) {
	server := newServer()
	goOn := make(chan struct{})
	var calls atomic.Int32
	server.onPublish = func(context.Context, []*bbqv1.Message) error {
		calls.Add(1)
		<-goOn
		return refusal(connect.CodeResourceExhausted, "QUEUE_FULL")
	}
	publisher := server.serve(t).Publisher("q", nil)
	for range 100 {
		taken(t, publisher, Message{})
	}
	close(goOn)
	if err := publisher.Flush(t.Context()); CodeOf(err) != connect.CodeResourceExhausted {
		t.Fatal(err)
	}
	// The first one alone, and what had gathered meanwhile.
	if calls.Load() > 2 {
		t.Fatalf("%d calls", calls.Load())
	}
}

func TestACallCountsAllThatIsEncoded(t *testing.T) {
	server := newServer()
	publisher := server.serve(t).Publisher("q", &PublisherOptions{CallBytesMax: 10_000})
	for range 20 {
		taken(t, publisher, Message{Attributes: map[string]string{"a": strings.Repeat("x", 3000)}})
	}
	if err := publisher.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, call := range server.published {
		if len(call) > 3 {
			t.Fatalf("a call has %d messages", len(call))
		}
	}
}

func TestWhatCannotBeEncodedIsRefusedHereAndHarmsNobody(t *testing.T) {
	server := newServer()
	goOn := make(chan struct{})
	server.onPublish = func(context.Context, []*bbqv1.Message) error {
		<-goOn
		return nil
	}
	client := server.serve(t)
	publisher := client.Publisher("q", nil)
	bad := Message{Attributes: map[string]string{"a": "\xff"}}
	var confirmations []*Confirmation
	for _, message := range []Message{{}, {}, bad, {}} {
		confirmations = append(confirmations, taken(t, publisher, message))
	}
	close(goOn)
	_, alone := client.Publish(t.Context(), "q", bad)
	_, among := confirmations[2].Wait(t.Context())
	for _, err := range []error{alone, among} {
		own, ok := errors.AsType[*Error](err)
		if !ok || own.Code != connect.CodeInvalidArgument || !own.Unprocessed() {
			t.Fatal(err)
		}
	}
	if _, err := confirmations[3].Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// waitForPublishers sets how long closing a client waits for what publishers took, in this test.
func waitForPublishers(t *testing.T, bound time.Duration) {
	t.Helper()
	before := closePublishers
	closePublishers = bound
	t.Cleanup(func() { closePublishers = before })
}

func TestClosingTheClientSendsWhatPublishersTook(t *testing.T) {
	waitForPublishers(t, bound)
	server := newServer()
	client := server.serve(t)
	publisher := client.Publisher("q", &PublisherOptions{CallMessagesMax: 10})
	for range 1000 {
		taken(t, publisher, Message{Body: []byte("x")})
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if stored := len(slices.Concat(server.published...)); stored != 1000 {
		t.Fatalf("%d are stored", stored)
	}
	if _, err := publisher.Publish(t.Context(), Message{}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestSeveralCallsMayBeInFlight(t *testing.T) {
	server := newServer()
	began, goOn := make(chan string), map[string]chan struct{}{"a": make(chan struct{}), "b": make(chan struct{}), "c": make(chan struct{})}
	server.onPublish = func(_ context.Context, messages []*bbqv1.Message) error {
		body := string(messages[0].GetBody())
		began <- body
		<-goOn[body]
		return nil
	}
	publisher := server.serve(t).Publisher("q", &PublisherOptions{CallMessagesMax: 1, CallsInFlight: 2})
	var confirmations []*Confirmation
	var flushed <-chan struct{}
	for _, body := range []string{"a", "b", "c"} {
		confirmations = append(confirmations, taken(t, publisher, Message{Body: []byte(body)}))
		if body == "a" {
			flushed = publisher.batcher.flushed()
		}
	}
	var both []string
	soon(t, "two calls", func() { both = []string{<-began, <-began} })
	slices.Sort(both)
	same(t, "in flight", both, []string{"a", "b"})
	// The later ones are answered first: that is no flush of the first one.
	close(goOn["b"])
	soon(t, "the third call", func() { same(t, "in flight", []string{<-began}, []string{"c"}) })
	close(goOn["c"])
	for _, confirmation := range confirmations[1:] {
		if _, err := confirmation.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all others are answered", func() bool {
		publisher.batcher.mutex.Lock()
		defer publisher.batcher.mutex.Unlock()
		return len(publisher.batcher.inFlight) == 1 && publisher.batcher.gone == 3
	})
	select {
	case <-flushed:
		t.Fatal("flushed before the first one was answered")
	default:
	}
	close(goOn["a"])
	soon(t, "the flush", func() { <-flushed })
	if err := publisher.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestClosingTheClientWaitsNoLongerThanItsBound(t *testing.T) {
	waitForPublishers(t, 100*time.Millisecond)
	server := newServer()
	server.onPublish = func(ctx context.Context, _ []*bbqv1.Message) error {
		<-ctx.Done()
		return ctx.Err()
	}
	client := server.serve(t)
	confirmation := taken(t, client.Publisher("q", nil), Message{})
	soon(t, "the end", func() {
		if err := client.Close(); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	if _, err := confirmation.Wait(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestAPublisherThatNobodyHasIsForgotten(t *testing.T) {
	client := newServer().serve(t)
	taken(t, client.Publisher("q", nil), Message{})
	until(t, "it is forgotten", func() bool {
		runtime.GC()
		count := 0
		client.publishers.Range(func(any, any) bool {
			count++
			return true
		})
		return count == 0
	})
}

func taken(t *testing.T, publisher *Publisher, message Message) *Confirmation {
	t.Helper()
	confirmation, err := publisher.Publish(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	return confirmation
}
