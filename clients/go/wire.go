package bbq

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const (
	// One attempt to connect.
	connectTimeout = 5 * time.Second
	// How long HTTP/3 may take to connect before HTTP/2 is tried beside it, where the profile leaves the choice.
	headStart = 300 * time.Millisecond
	// How long HTTP/3 may still take once HTTP/2 was refused: a server that listens answers well within it.
	lastChance = time.Second
	// As the server's: both sides notice within the idle timeout that the other one vanished.
	keepAlive   = 3 * time.Second
	idleTimeout = 10 * time.Second
)

// wire sends requests over HTTP/3 or HTTP/2, as the profile has it or as it gets through.
//
// At most one attempt to connect runs; all callers wait for the same one, and it goes on if they leave. Only what has connected is
// chosen, and the choice lasts no longer than its connection.
type wire struct {
	address      string
	http3, http2 *link
	// How long the first of links has before the second is tried beside it.
	headStart time.Duration
	// links are those that the profile allows, the preferred one first.
	links []*link

	ctx    context.Context
	cancel context.CancelFunc

	mutex   sync.Mutex
	chosen  *link
	attempt *attempt
}

// link is one HTTP, and what is known of its connection.
type link struct {
	http.RoundTripper
	over  string
	alive func() bool
	// idle closes what nobody uses.
	idle func()
}

// attempt is to connect; its results are there when done is closed.
type attempt struct {
	done   chan struct{}
	chosen *link
	err    error
}

func newWire(profile *Profile, address string) (*wire, error) {
	config, err := profile.tls()
	if err != nil {
		return nil, err
	}
	w := &wire{address: address, headStart: headStart, http3: newHTTP3(config.Clone()), http2: newHTTP2(config.Clone())}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	switch {
	case profile.Transport == "http2" || strings.HasPrefix(address, "http:"):
		w.links = []*link{w.http2}
	case profile.Transport == "http3":
		w.links = []*link{w.http3}
	default:
		w.links = []*link{w.http3, w.http2}
	}
	return w, nil
}

func newHTTP3(config *tls.Config) *link {
	var last atomic.Pointer[quic.Conn]
	transport := &http3.Transport{
		TLSClientConfig: config,
		QUICConfig: &quic.Config{
			HandshakeIdleTimeout: connectTimeout,
			KeepAlivePeriod:      keepAlive,
			MaxIdleTimeout:       idleTimeout,
		},
		Dial: func(ctx context.Context, addr string, tlsConfig *tls.Config, config *quic.Config) (*quic.Conn, error) {
			conn, err := quic.DialAddr(ctx, addr, tlsConfig, config)
			if err != nil {
				return nil, unreached{err}
			}
			last.Store(conn)
			return conn, nil
		},
		DisableCompression: true,
	}
	alive := func() bool {
		conn := last.Load()
		return conn != nil && conn.Context().Err() == nil
	}
	return &link{transport, "UDP", alive, transport.CloseIdleConnections}
}

func newHTTP2(config *tls.Config) *link {
	dialer := &net.Dialer{Timeout: connectTimeout}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	var open atomic.Int64
	transport := &http.Transport{
		TLSClientConfig: config,
		Protocols:       protocols,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: keepAlive, PingTimeout: idleTimeout - keepAlive},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, unreached{err}
			}
			open.Add(1)
			return &counted{Conn: conn, open: &open}, nil
		},
		DisableCompression: true,
	}
	return &link{transport, "TCP", func() bool { return open.Load() > 0 }, transport.CloseIdleConnections}
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	open *atomic.Int64
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// RoundTrip sends a request.
func (w *wire) RoundTrip(request *http.Request) (*http.Response, error) {
	link, err := w.connect(request.Context())
	if err != nil {
		return nil, err
	}
	return link.RoundTrip(request)
}

// connect gives the HTTP of the connection there is, or of a new one.
func (w *wire) connect(ctx context.Context) (*link, error) {
	w.mutex.Lock()
	if w.chosen != nil && w.chosen.alive() {
		defer w.mutex.Unlock()
		return w.chosen, nil
	}
	current := w.attempt
	if current == nil {
		current = &attempt{done: make(chan struct{})}
		w.attempt = current
		go w.run(current)
	}
	w.mutex.Unlock()
	select {
	case <-current.done:
		return current.chosen, current.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *wire) run(attempt *attempt) {
	chosen, err := w.race()
	w.mutex.Lock()
	defer w.mutex.Unlock()
	attempt.chosen, attempt.err = chosen, err
	w.chosen, w.attempt = chosen, nil
	close(attempt.done)
}

// race tries all that the profile allows, the first with a head start; the first to connect wins.
func (w *wire) race() (*link, error) {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	type result struct {
		link *link
		err  error
	}
	results := make(chan result, len(w.links))
	waiting, running := w.links, 0
	start := func() {
		if len(waiting) > 0 {
			link := waiting[0]
			waiting = waiting[1:]
			running++
			go func() { results <- result{link, w.probe(ctx, link)} }()
		}
	}
	start()
	head := time.After(w.headStart)
	var last <-chan time.Time
	var failed error
	for {
		select {
		case result := <-results:
			if result.err == nil {
				cancel()
				for _, link := range w.links {
					if link != result.link {
						link.idle()
					}
				}
				return result.link, nil
			}
			running--
			// TCP knows why: a refusal comes at once, while UDP is silent where nobody listens.
			if failed == nil || result.link == w.http2 {
				failed = result.err
			}
			if result.link == w.http2 {
				last = time.After(lastChance)
			}
			start()
			if running == 0 {
				return nil, failed
			}
		case <-head:
			start()
		case <-last:
			return nil, failed
		case <-ctx.Done():
			return nil, errClientClosed
		}
	}
}

// probe connects. Any answer will do.
func (w *wire) probe(ctx context.Context, link *link) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.address+"/", nil)
	if err != nil {
		return err
	}
	response, err := link.RoundTrip(request)
	if err != nil {
		return w.unreachable(link, err)
	}
	return response.Body.Close()
}

// unreachable is what a failed attempt to connect is to the caller, with the way out.
func (w *wire) unreachable(link *link, cause error) error {
	why, hint := cause.Error(), ""
	switch {
	case isCertificate(cause):
		hint = "; the profile's `ca` is not what signed this server's certificate, or the host is not in it"
	case strings.Contains(why, "refused"):
		hint = "; is the server running? start it with `bbq serve`"
	case isTimeout(cause):
		why = "no answer over " + link.over + " within " + connectTimeout.String()
		if link == w.http3 {
			hint = "; is UDP blocked? transport = \"auto\" in the profile falls back to HTTP/2"
		}
	}
	return &Error{
		Code:        connect.CodeUnavailable,
		Message:     "cannot reach " + w.address + ": " + why + hint,
		unprocessed: true,
		unreached:   true,
		final:       isCertificate(cause),
		cause:       cause,
	}
}

// isCertificate says whether the server's certificate, or the client's own, was not accepted.
func isCertificate(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	return verification || strings.Contains(strings.ToLower(err.Error()), "certificate")
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return errors.Is(err, context.DeadlineExceeded) || (ok && timeout.Timeout())
}

func (w *wire) close() error {
	w.cancel()
	w.http2.idle()
	if transport, ok := w.http3.RoundTripper.(*http3.Transport); ok {
		return transport.Close()
	}
	return nil
}
