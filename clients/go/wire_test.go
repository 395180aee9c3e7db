package bbq

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
)

func TestNothingGoesInTheClearButOnLoopback(t *testing.T) {
	for _, url := range []string{"http://example.com", "http://10.0.0.1:6789", "http://127.0.0.1.example.com"} {
		if _, err := Connect(t.Context(), &Profile{URL: url, Token: "secret"}); err == nil || !strings.Contains(err.Error(), "in the clear") {
			t.Fatal(url, err)
		}
	}
	for _, url := range []string{"http://127.0.0.1:1", "http://localhost", "http://[::1]:1", "http://127.1.2.3"} {
		if _, err := (&Profile{URL: url}).address(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoServerFailsTheConnecting(t *testing.T) {
	for _, transport := range []string{"http2", "auto"} {
		_, err := Connect(t.Context(), &Profile{URL: "https://127.0.0.1:1", Transport: transport})
		own, ok := errors.AsType[*Error](err)
		if !ok || own.Code != connect.CodeUnavailable || !own.Unprocessed() || !strings.Contains(own.Message, "is the server running") {
			t.Fatal(transport, err)
		}
	}
}

func TestACertificateOfSomebodyElseIsFinal(t *testing.T) {
	profile, serveHTTP3 := newServer().serveTLS(t)
	t.Cleanup(serveHTTP3())
	// Without `ca` it is the system's that count.
	profile.CA = ""
	for _, transport := range []string{"http2", "http3", "auto"} {
		profile.Transport = transport
		since := time.Now()
		_, err := Connect(t.Context(), profile)
		own, ok := errors.AsType[*Error](err)
		if !ok || !own.final || !strings.Contains(own.Message, "the profile's `ca`") {
			t.Fatal(transport, err)
		}
		if took := time.Since(since); took > bound {
			t.Fatal(transport, took)
		}
	}
}

func TestASubscriptionThatNeverHadAConnectionFails(t *testing.T) {
	server := newServer()
	profile, _ := server.serveTLS(t)
	profile.Transport = "http2"
	client := connected(t, profile)
	// The server is gone before the first open.
	client.wire.address = "https://127.0.0.1:1"
	client.wire.links[0].alive = func() bool { return false }
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	_, err := client.Subscribe(t.Context(), "q", nil).Next(ctx)
	if own, ok := errors.AsType[*Error](err); !ok || !own.unreached {
		t.Fatal(err)
	}
}

func TestASubscriptionThatHadAConnectionGoesOn(t *testing.T) {
	server := newServer()
	client := server.serve(t)
	subscription := client.Subscribe(t.Context(), "q", &SubscribeOptions{NoExtend: true})
	server.deliver("a")
	next(t, subscription)
	server.outgoing <- nil
	server.deliver("b")
	if delivery := next(t, subscription); delivery.Receipt != "b" {
		t.Fatal(delivery.Receipt)
	}
	subscription.Close()
}

// choosing is a wire to both.
func choosing(t *testing.T, profile *Profile) *wire {
	t.Helper()
	address, err := profile.address()
	if err != nil {
		t.Fatal(err)
	}
	wire, err := newWire(profile, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = wire.close() })
	return wire
}

// overUDP says whether the connection is HTTP/3; HTTP/2 is tried after the head start.
func (w *wire) overUDP(t *testing.T, headStart time.Duration) bool {
	t.Helper()
	w.headStart = headStart
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	link, err := w.connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return link == w.http3
}

func TestHTTP2IsKeptNoLongerThanItsConnection(t *testing.T) {
	profile, serveHTTP3 := newServer().serveTLS(t)
	wire := choosing(t, profile)
	if wire.overUDP(t, 0) {
		t.Fatal("there is no HTTP/3")
	}
	t.Cleanup(serveHTTP3())
	if wire.overUDP(t, bound) {
		t.Fatal("the connection is still there")
	}
	wire.http2.idle()
	until(t, "the connection is gone", func() bool { return !wire.http2.alive() })
	if !wire.overUDP(t, bound) {
		t.Fatal("HTTP/2 is kept for ever")
	}
}

func TestWhereHTTP3IsLostHTTP2TakesOver(t *testing.T) {
	profile, serveHTTP3 := newServer().serveTLS(t)
	stop := serveHTTP3()
	wire := choosing(t, profile)
	if !wire.overUDP(t, bound) {
		t.Fatal("it is not preferred")
	}
	stop()
	until(t, "the connection is gone", func() bool { return !wire.http3.alive() })
	if wire.overUDP(t, 0) {
		t.Fatal("there is no HTTP/3")
	}
}

func TestFailuresChooseNothing(t *testing.T) {
	// A port that nobody listens on, and that nobody gets without naming it.
	wire := choosing(t, &Profile{URL: "https://127.0.0.1:1"})
	if link, err := wire.connect(t.Context()); err == nil || wire.chosen != nil {
		t.Fatal(link, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := wire.connect(canceled); err == nil {
		t.Fatal("nobody waits")
	}
	if wire.chosen != nil {
		t.Fatal("chosen by somebody who had left")
	}
}

func TestACallerThatLeavesDoesNotEndTheAttemptOfOthers(t *testing.T) {
	profile, _ := newServer().serveTLS(t)
	wire := choosing(t, profile)
	wire.headStart = 0
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, left := wire.connect(canceled)
	link, err := wire.connect(t.Context())
	if left == nil || err != nil || link != wire.http2 {
		t.Fatal(left, err)
	}
}
