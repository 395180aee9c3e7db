package bbq

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const (
	// One attempt to connect.
	connectTimeout = 5 * time.Second
	// How long HTTP/3 may take to connect before HTTP/2 is tried, where the profile leaves the choice.
	headStart = time.Second
	// As the server's: both sides notice within the idle timeout that the other one vanished.
	keepAlive   = 3 * time.Second
	idleTimeout = 10 * time.Second
)

// wire sends requests over HTTP/3 or HTTP/2, as the profile has it or as it gets through.
type wire struct {
	address string
	http3   *http3.Transport
	http2   *http.Transport

	mutex  sync.Mutex
	chosen http.RoundTripper
}

func newWire(profile *Profile, address string) (*wire, error) {
	config, err := profile.tls()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: connectTimeout}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	wire := &wire{address: address}
	wire.http3 = &http3.Transport{
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
			return conn, nil
		},
		DisableCompression: true,
	}
	wire.http2 = &http.Transport{
		TLSClientConfig: config,
		Protocols:       protocols,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: keepAlive, PingTimeout: idleTimeout - keepAlive},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, unreached{err}
			}
			return conn, nil
		},
		DisableCompression: true,
	}
	switch {
	case profile.Transport == "http2" || address[:5] == "http:":
		wire.chosen = wire.http2
	case profile.Transport == "http3":
		wire.chosen = wire.http3
	}
	return wire, nil
}

// RoundTrip sends a request.
func (w *wire) RoundTrip(request *http.Request) (*http.Response, error) {
	return w.choose(request.Context()).RoundTrip(request)
}

// choose keeps what connects first.
func (w *wire) choose(ctx context.Context) http.RoundTripper {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.chosen == nil {
		ctx, cancel := context.WithTimeout(ctx, headStart)
		defer cancel()
		w.chosen = w.http2
		// Any answer will do.
		if request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.address+"/", nil); err == nil {
			if response, err := w.http3.RoundTrip(request); err == nil {
				_ = response.Body.Close()
				w.chosen = w.http3
			}
		}
	}
	return w.chosen
}

func (w *wire) close() error {
	w.http2.CloseIdleConnections()
	return errors.Join(w.http3.Close())
}
