package bbq

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
)

func TestAHandlerThatGivesAMessageBackAndReturnsDoesNotAckIt(t *testing.T) {
	server := newServer()
	client := server.serve(t)
	subscription := client.Subscribe(t.Context(), "q", &SubscribeOptions{NoExtend: true, OnError: func(*Delivery, error) {}})
	server.deliver("a", "b", "c")
	handled := make(chan error)
	go func() {
		handled <- subscription.Handle(t.Context(), 1, func(ctx context.Context, delivery *Delivery) error {
			switch delivery.Receipt {
			case "a":
				delay := time.Minute
				return delivery.NackWith(ctx, Nack{Delay: &delay})
			case "b":
				if err := delivery.Ack(ctx); err != nil {
					return err
				}
				return errors.New("after the ack")
			default:
				return nil
			}
		})
	}()
	until(t, "c is acked", func() bool { return slices.Contains(server.settlements(), "ack c") })
	subscription.Close()
	if err := <-handled; err != nil {
		t.Fatal(err)
	}
	same(t, "settled", server.settlements(), []string{"nack a", "ack b", "ack c"})
}

func TestTheFirstSettlementOfADeliveryCounts(t *testing.T) {
	server := newServer()
	client := server.serve(t)
	subscription := client.Subscribe(t.Context(), "q", nil)
	server.deliver("a")
	delivery := next(t, subscription)
	if delivery.Settled() {
		t.Fatal("settled before")
	}
	for _, settle := range []func(context.Context) error{delivery.Nack, delivery.Ack, delivery.Nack} {
		if err := settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !delivery.Settled() {
		t.Fatal("not settled")
	}
	same(t, "settled", server.settlements(), []string{"nack a"})
}

func TestASettlementWithoutAnAnswerMayBeTriedAgainButNotTurnedRound(t *testing.T) {
	server := newServer()
	client := server.serve(t)
	subscription := client.Subscribe(t.Context(), "q", &SubscribeOptions{NoExtend: true})
	var mutex sync.Mutex
	refusing := true
	server.onSettle = func(context.Context) error {
		mutex.Lock()
		defer mutex.Unlock()
		if refusing {
			return connect.NewError(connect.CodeInternal, errors.New("not now"))
		}
		return nil
	}
	server.deliver("a")
	delivery := next(t, subscription)
	refused := func(err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "not now") {
			t.Fatal(err)
		}
	}
	refused(delivery.Nack(t.Context()))
	mutex.Lock()
	refusing = false
	mutex.Unlock()
	refused(delivery.Ack(t.Context()))
	if err := delivery.Nack(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "settled", server.settlements(), []string{"nack a"})
}

func TestWhatFailsInAHandlerIsTold(t *testing.T) {
	server := newServer()
	server.onSettle = func(context.Context) error { return refusal(connect.CodeInvalidArgument, "INVALID_FIELD") }
	client := server.serve(t)
	var mutex sync.Mutex
	var told []string
	subscription := client.Subscribe(t.Context(), "q", &SubscribeOptions{NoExtend: true, OnError: func(delivery *Delivery, err error) {
		mutex.Lock()
		defer mutex.Unlock()
		told = append(told, delivery.Receipt+" "+err.Error())
	}})
	server.deliver("a", "b")
	handled := make(chan error)
	go func() {
		handled <- subscription.Handle(t.Context(), 1, func(_ context.Context, delivery *Delivery) error {
			if delivery.Receipt == "b" {
				return errors.New("it broke")
			}
			return nil
		})
	}()
	until(t, "three errors", func() bool {
		mutex.Lock()
		defer mutex.Unlock()
		return len(told) == 3
	})
	subscription.Close()
	<-handled
	same(t, "told", told, []string{"a refused as INVALID_FIELD", "b it broke", "b refused as INVALID_FIELD"})
}

func TestAReasonFitsTheServerAndIsWhole(t *testing.T) {
	for _, text := range []string{strings.Repeat("ж", 2000), "x" + strings.Repeat("🔥", 2000), strings.Repeat("x\xff", 2000)} {
		cut := reason(errors.New(text))
		if !utf8.ValidString(cut) || len(cut) > 1000 || len(cut) < 900 {
			t.Fatalf("%d bytes, valid: %v", len(cut), utf8.ValidString(cut))
		}
	}
}
