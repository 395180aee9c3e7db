package bbq

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"time"

	"connectrpc.com/connect"

	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

// Deadline is how long a call may take whose context has no deadline.
const Deadline = 30 * time.Second

// tries is how often a call is tried.
const tries = 6

// Doing these twice does them twice.
var once = map[string]bool{
	"Publish": true, "Receive": true, "DeleteQueue": true, "PurgeQueue": true, "DeleteTopic": true, "Unbind": true,
	"CreateToken": true, "RevokeToken": true,
}

// calls is the way of every call: a token, a deadline, other tries where they are safe, and errors of our own.
//
// A call that would do its work twice is repeated only if the server certainly did nothing.
type calls struct {
	authorization string
	// ctx is the client's: its end is that of all calls.
	ctx context.Context
}

// calling is the context of a call, which the end of the client cancels too.
func (c calls) calling(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(errClientClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

func (c calls) sign(header http.Header) {
	if c.authorization != "" {
		header.Set("Authorization", c.authorization)
	}
}

func (c calls) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if _, ok := ctx.Deadline(); !ok {
			limit := Deadline
			if receive, ok := request.Any().(*bbqv1.ReceiveRequest); ok {
				limit += receive.GetWait().AsDuration()
			}
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		if c.ctx.Err() != nil {
			return nil, errClientClosed
		}
		ctx, done := c.calling(ctx)
		defer done()
		onlyOnce := once[path.Base(request.Spec().Procedure)]
		if transact, ok := request.Any().(*bbqv1.TransactRequest); ok {
			onlyOnce = transact.GetTransactionId() == ""
		}
		c.sign(request.Header())
		pause := newBackoff()
		for try := 1; ; try++ {
			response, err := next(ctx, request)
			if err == nil {
				return response, nil
			}
			err = typed(ctx, err)
			own, _ := errors.AsType[*Error](err)
			again := own.Unprocessed() || (own.Code == connect.CodeUnavailable && !onlyOnce)
			delay := pause.delay(err)
			if end, _ := ctx.Deadline(); !again || own.final || try == tries || time.Now().Add(delay).After(end) {
				return nil, err
			}
			if sleep(ctx, delay) != nil {
				if errors.Is(context.Cause(ctx), ErrClosed) {
					return nil, errClientClosed
				}
				return nil, err
			}
		}
	}
}

func (c calls) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		ctx, done := c.calling(ctx)
		conn := next(ctx, spec)
		c.sign(conn.RequestHeader())
		return stream{conn, ctx, done}
	}
}

func (c calls) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// stream gives errors of our own.
type stream struct {
	connect.StreamingClientConn
	ctx  context.Context
	done func()
}

func (s stream) CloseResponse() error {
	defer s.done()
	return s.StreamingClientConn.CloseResponse()
}

func (s stream) Receive(message any) error {
	err := s.StreamingClientConn.Receive(message)
	if errors.Is(err, io.EOF) {
		return err
	}
	if err != nil {
		err = typed(s.ctx, err)
		s.done()
	}
	return err
}

// backoff gives delays between tries: a random part of a bound that doubles from 100 ms to 5 s, and what the server asked for.
type backoff struct{ bound time.Duration }

func newBackoff() *backoff { return &backoff{bound: 100 * time.Millisecond} }

func (b *backoff) delay(err error) time.Duration {
	jittered := rand.N(b.bound)
	b.bound = min(2*b.bound, 5*time.Second)
	if own, ok := errors.AsType[*Error](err); ok {
		return own.RetryAfter + jittered
	}
	return jittered
}

func sleep(ctx context.Context, delay time.Duration) error {
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
