package bbq

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/net/http2"

	"bbq.internal/client/gen/bbq/v1/bbqv1connect"
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

func TestARefusedStreamIsRepeated(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var requests atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go refuse(conn, func() http2.ErrCode {
				if requests.Add(1) < 3 {
					return http2.ErrCodeRefusedStream
				}
				return http2.ErrCodeInternal
			})
		}
	}()
	client := &Client{}
	client.wire = choosing(t, &Profile{URL: "http://" + listener.Addr().String()})
	client.ctx = t.Context()
	transport := &http.Client{Transport: client.wire.http2}
	options := []connect.ClientOption{connect.WithGRPC(), connect.WithInterceptors(calls{ctx: client.ctx})}
	client.Queues = bbqv1connect.NewQueueServiceClient(transport, client.wire.address, options...)
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	_, err = client.Publish(ctx, "q", Message{})
	own, ok := errors.AsType[*Error](err)
	if !ok || own.Unprocessed() || requests.Load() != 3 {
		t.Fatal(requests.Load(), err)
	}
}

// refuse resets every request on a connection.
func refuse(conn net.Conn, with func() http2.ErrCode) {
	defer func() { _ = conn.Close() }()
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	_ = framer.WriteSettings()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if frame, ok := frame.(*http2.SettingsFrame); ok && !frame.IsAck() {
			_ = framer.WriteSettingsAck()
		}
		if frame.Header().Flags.Has(http2.FlagDataEndStream) && frame.Header().StreamID != 0 {
			_ = framer.WriteRSTStream(frame.Header().StreamID, with())
		}
	}
}

func TestARefusedStreamDidNothing(t *testing.T) {
	for code, unprocessed := range map[string]bool{"REFUSED_STREAM": true, "INTERNAL_ERROR": false} {
		reset := connect.NewError(connect.CodeUnavailable, errors.New("stream error: stream ID 3; "+code+"; received from peer"))
		own, ok := errors.AsType[*Error](typed(t.Context(), reset))
		if !ok || own.Unprocessed() != unprocessed {
			t.Fatal(code, own)
		}
	}
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
