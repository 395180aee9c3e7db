package bbq

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/quic-go/quic-go/http3"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	bbqv1 "bbq.internal/client/gen/bbq/v1"
	"bbq.internal/client/gen/bbq/v1/bbqv1connect"
)

// What must happen happens within this time; nothing waits for it to pass.
const bound = time.Minute

// idle is the name of a consumer that is sent nothing.
const idle = "idle"

// server takes all that is asked, unless a test puts something else in its place.
type server struct {
	bbqv1connect.UnimplementedQueueServiceHandler

	mutex     sync.Mutex
	published [][]string
	settled   []string
	onPublish func(context.Context, []*bbqv1.Message) error
	onSettle  func(context.Context) error
	received  *bbqv1.ReceiveRequest
	// outgoing is what subscriptions get; nil ends one.
	outgoing chan *bbqv1.SubscribeResponse
}

func newServer() *server { return &server{outgoing: make(chan *bbqv1.SubscribeResponse, 1000)} }

func (s *server) Publish(ctx context.Context, request *connect.Request[bbqv1.PublishRequest]) (*connect.Response[bbqv1.PublishResponse], error) {
	if s.onPublish != nil {
		if err := s.onPublish(ctx, request.Msg.GetMessages()); err != nil {
			return nil, err
		}
	}
	response := &bbqv1.PublishResponse{}
	var bodies []string
	for _, message := range request.Msg.GetMessages() {
		bodies = append(bodies, string(message.GetBody()))
		response.Results = append(response.Results, &bbqv1.PublishResult{Sequence: 1})
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.published = append(s.published, bodies)
	return connect.NewResponse(response), nil
}

func (s *server) Subscribe(
	ctx context.Context, request *connect.Request[bbqv1.SubscribeRequest], stream *connect.ServerStream[bbqv1.SubscribeResponse],
) error {
	// The head leaves as soon as the subscription stands.
	if err := stream.Send(nil); err != nil {
		return err
	}
	outgoing := s.outgoing
	if request.Msg.GetConsumerName() == idle {
		outgoing = nil
	}
	for {
		select {
		case response := <-outgoing:
			if response == nil {
				return connect.NewError(connect.CodeUnavailable, errors.New("going away"))
			}
			if err := stream.Send(response); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *server) Receive(_ context.Context, request *connect.Request[bbqv1.ReceiveRequest]) (*connect.Response[bbqv1.ReceiveResponse], error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.received = request.Msg
	return connect.NewResponse(&bbqv1.ReceiveResponse{}), nil
}

func (s *server) Ack(ctx context.Context, request *connect.Request[bbqv1.AckRequest]) (*connect.Response[bbqv1.AckResponse], error) {
	return connect.NewResponse(&bbqv1.AckResponse{}), s.settle(ctx, "ack", request.Msg.GetReceipts())
}

func (s *server) Nack(ctx context.Context, request *connect.Request[bbqv1.NackRequest]) (*connect.Response[bbqv1.NackResponse], error) {
	return connect.NewResponse(&bbqv1.NackResponse{}), s.settle(ctx, "nack", request.Msg.GetReceipts())
}

func (s *server) settle(ctx context.Context, how string, receipts []string) error {
	if s.onSettle != nil {
		if err := s.onSettle(ctx); err != nil {
			return err
		}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, receipt := range receipts {
		s.settled = append(s.settled, how+" "+receipt)
	}
	return nil
}

func (s *server) settlements() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Clone(s.settled)
}

// deliver sends one response; an empty receipt is a message of an at-most-once queue.
func (s *server) deliver(receipts ...string) {
	response := &bbqv1.SubscribeResponse{}
	for at, receipt := range receipts {
		message := &bbqv1.Message{Body: []byte("x")}
		response.Deliveries = append(response.Deliveries, &bbqv1.Delivery{Receipt: receipt, Sequence: uint64(at), Message: message})
	}
	s.outgoing <- response
}

func refusal(code connect.Code, reason string) error {
	err := connect.NewError(code, errors.New("refused as "+reason))
	detail, failed := connect.NewErrorDetail(&errdetails.ErrorInfo{Reason: reason, Domain: "bbq.v1"})
	if failed != nil {
		return failed
	}
	err.AddDetail(detail)
	return err
}

// serve serves it over HTTP/2 without TLS, until the test ends.
func (s *server) serve(t *testing.T) *Client {
	t.Helper()
	over := httptest.NewUnstartedServer(s.handler())
	over.Config.Protocols = new(http.Protocols)
	over.Config.Protocols.SetUnencryptedHTTP2(true)
	over.Start()
	t.Cleanup(over.Close)
	client := connected(t, &Profile{URL: over.URL})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle(bbqv1connect.NewQueueServiceHandler(s))
	return mux
}

// pair is a TCP and a UDP port of the same number.
func pair(t *testing.T) (net.Listener, net.PacketConn) {
	t.Helper()
	for {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		// The same port may be somebody's over UDP.
		if udp, err := net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			t.Cleanup(func() { _ = udp.Close() })
			return tcp, udp
		}
		_ = tcp.Close()
	}
}

// serveTLS serves it over HTTP/2 and TLS, and over HTTP/3 on the same port from when the returned function is called, which may be
// once. Until then nobody answers there.
func (s *server) serveTLS(t *testing.T) (*Profile, func() (stop func())) {
	t.Helper()
	tcp, udp := pair(t)
	over := httptest.NewUnstartedServer(s.handler())
	_ = over.Listener.Close()
	over.Listener = tcp
	over.EnableHTTP2 = true
	over.StartTLS()
	t.Cleanup(over.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: over.Certificate().Raw})
	serveHTTP3 := func() func() {
		config := http3.ConfigureTLSConfig(&tls.Config{Certificates: over.TLS.Certificates})
		over := &http3.Server{Handler: s.handler(), TLSConfig: config}
		go func() { _ = over.Serve(udp) }()
		return func() {
			_ = over.Close()
			_ = udp.Close()
		}
	}
	return &Profile{URL: over.URL, CA: string(ca)}, serveHTTP3
}

func connected(t *testing.T, profile *Profile) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	client, err := Connect(ctx, profile)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func next(t *testing.T, subscription *Subscription) *Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	delivery, err := subscription.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return delivery
}

func until(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for end := time.Now().Add(bound); !fact(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// soon fails the test if it does not return.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(bound):
		t.Fatalf("%s: not within %v", what, bound)
	}
}

func same(t *testing.T, what string, actual, expected []string) {
	t.Helper()
	if !slices.Equal(actual, expected) {
		t.Fatalf("%s: %s, not %s", what, strings.Join(actual, ", "), strings.Join(expected, ", "))
	}
}
