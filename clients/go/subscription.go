package bbq

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

// A stream that lasted so long was a success: the next one is opened without a long wait.
const steady = 10 * time.Second

// What the server takes for a MaxInFlight of 0.
const inFlightDefault = 100

// How much of what a handler fails with is told to the server, which takes 1 KiB.
const reasonBytesMax = 1000

// SubscribeOptions say how to subscribe; zeros mean the server's defaults.
type SubscribeOptions struct {
	// MaxInFlight is the most messages held unsettled: 100 by default.
	MaxInFlight uint32
	// MaxInFlightBytes is the most bytes held unsettled: 16 MiB by default. One message always fits.
	MaxInFlightBytes uint64
	// Lease is how long each lease lasts; what the queue says by default.
	Lease time.Duration
	// ConsumerName is what `bbq leases` shows.
	ConsumerName string
	// NoExtend switches off that leases are extended at half their time until their delivery is settled.
	NoExtend bool
	// OnError gets what handlers of Handle fail with, and what their settlements fail with, after which the message may come again.
	// Without it they are warnings of log/slog.
	OnError func(*Delivery, error)
}

// Subscription gives deliveries until it is closed, its context ends or an error ends it.
//
// It opens its stream again, with backoff and jitter, when the connection is lost or the server is unavailable; that there is no
// connection at the start is an error that ends it. No more than MaxInFlight deliveries wait in it, besides those of one response:
// credit bounds what is leased, and what is gone once it was sent waits where it comes from. Closing it cancels the stream, and the server
// gives back at once what is still held.
type Subscription struct {
	client  *Client
	request *bbqv1.SubscribeRequest
	leases  *leases
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	onError func(*Delivery, error)
	// readyMax is how many may wait before the stream is read no further.
	readyMax int

	mutex sync.Mutex
	ready []*Delivery
	// news has room for one: something came, or the end.
	news chan struct{}
	// room has room for one: something may have been taken.
	room chan struct{}
	// closing is closed when nothing is handed out any more.
	closing chan struct{}
	closed  bool
	// ended is closed after err was set.
	ended chan struct{}
	err   error
}

// Subscribe subscribes to a queue until the context ends or the subscription is closed; nil options mean the defaults.
// Whatever refuses the subscription comes as its first error.
func (c *Client) Subscribe(ctx context.Context, queue string, options *SubscribeOptions) *Subscription {
	if options == nil {
		options = &SubscribeOptions{}
	}
	ctx, cancel := context.WithCancel(ctx)
	subscription := &Subscription{
		client: c,
		request: &bbqv1.SubscribeRequest{
			Queue:            queue,
			MaxInFlight:      options.MaxInFlight,
			MaxInFlightBytes: options.MaxInFlightBytes,
			LeaseDuration:    duration(options.Lease),
			ConsumerName:     options.ConsumerName,
		},
		cancel:   cancel,
		onError:  options.OnError,
		readyMax: inFlightDefault,
		news:     make(chan struct{}, 1),
		room:     make(chan struct{}, 1),
		closing:  make(chan struct{}),
		ended:    make(chan struct{}),
	}
	if options.MaxInFlight > 0 {
		subscription.readyMax = int(options.MaxInFlight)
	}
	if subscription.onError == nil {
		subscription.onError = logError
	}
	c.subscriptions.Store(subscription, nil)
	// All tasks see it, so it is there before them.
	if !options.NoExtend {
		subscription.leases = newLeases(c, queue, options.Lease)
		subscription.tasks.Go(func() { subscription.leases.keep(ctx) })
	}
	// A client that is closed ends it too.
	stop := context.AfterFunc(c.ctx, cancel)
	subscription.tasks.Go(func() {
		defer stop()
		defer c.subscriptions.Delete(subscription)
		subscription.read(ctx)
	})
	return subscription
}

// Next waits for a delivery.
func (s *Subscription) Next(ctx context.Context) (*Delivery, error) {
	for {
		if delivery := s.pop(); delivery != nil {
			return delivery, nil
		}
		select {
		case <-s.news:
		case <-s.closing:
			return nil, errSubscriptionClosed
		case <-s.ended:
			return nil, s.err
		case <-ctx.Done():
			return nil, typed(ctx, ctx.Err())
		}
	}
}

// All ranges over deliveries until the loop is left, the subscription is closed, or its error comes as the last pair.
func (s *Subscription) All() iter.Seq2[*Delivery, error] {
	return func(yield func(*Delivery, error) bool) {
		for {
			delivery, err := s.Next(context.Background())
			if errors.Is(err, ErrClosed) || !yield(delivery, err) || err != nil {
				return
			}
		}
	}
}

// Handle calls handler for each delivery, so many at once. A delivery whose handler returns nil is acked, and nacked
// otherwise, unless the handler has settled it by itself. Goes on until the subscription ends; being closed is no error.
func (s *Subscription) Handle(ctx context.Context, concurrency int, handler func(context.Context, *Delivery) error) error {
	var workers sync.WaitGroup
	var mutex sync.Mutex
	var first error
	for range max(concurrency, 1) {
		workers.Go(func() {
			for {
				delivery, err := s.Next(ctx)
				if err != nil {
					mutex.Lock()
					defer mutex.Unlock()
					if first == nil && !errors.Is(err, ErrClosed) {
						first = err
					}
					return
				}
				s.settle(context.WithoutCancel(ctx), delivery, handler(ctx, delivery))
			}
		})
	}
	workers.Wait()
	return first
}

// settle acks or nacks what a handler is through with. If the handler has settled it, this is how that went.
func (s *Subscription) settle(ctx context.Context, delivery *Delivery, failed error) {
	var err error
	if failed != nil {
		s.onError(delivery, failed)
		err = delivery.NackWith(ctx, Nack{Reason: reason(failed)})
	} else {
		err = delivery.Ack(ctx)
	}
	if err != nil {
		s.onError(delivery, err)
	}
}

func reason(failed error) string {
	text := strings.ToValidUTF8(failed.Error(), "\uFFFD")
	if len(text) <= reasonBytesMax {
		return text
	}
	return strings.ToValidUTF8(text[:reasonBytesMax], "")
}

func logError(delivery *Delivery, err error) {
	slog.Warn("bbq: the message may come again", "queue", delivery.Queue, "sequence", delivery.Sequence, "error", err)
}

// Close hands out no more, waits until the settlements on their way are answered, then ends the subscription.
func (s *Subscription) Close() {
	s.stop()
	<-s.client.settler(s.request.GetQueue()).flushed()
	s.end()
}

// stop hands out no more.
func (s *Subscription) stop() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.ready = nil
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
}

func (s *Subscription) end() {
	s.cancel()
	s.tasks.Wait()
}

func (s *Subscription) pop() *Delivery {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.ready) == 0 {
		return nil
	}
	delivery := s.ready[0]
	s.ready = s.ready[1:]
	if len(s.ready) > 0 {
		s.ring()
	}
	if len(s.ready) <= s.readyMax {
		select {
		case s.room <- struct{}{}:
		default:
		}
	}
	return delivery
}

func (s *Subscription) ring() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *Subscription) read(ctx context.Context) {
	pause := newBackoff()
	for first := true; ; first = false {
		opened := time.Now()
		err := s.readOne(ctx)
		s.forget()
		if ctx.Err() != nil {
			err = errSubscriptionClosed
		}
		if !reopens(err, first) {
			s.err = err
			close(s.ended)
			return
		}
		if time.Since(opened) >= steady {
			pause = newBackoff()
		}
		_ = sleep(ctx, pause.delay(err))
	}
}

// readOne hands out what comes until the stream ends, and says why it did.
func (s *Subscription) readOne(ctx context.Context) error {
	stream, err := s.client.Queues.Subscribe(ctx, connect.NewRequest(s.request))
	if err != nil {
		return typed(ctx, err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		s.mutex.Lock()
		for _, wire := range stream.Msg().GetDeliveries() {
			delivery := s.client.delivery(s.request.GetQueue(), wire, s.leases)
			s.leases.hold(delivery.Receipt, delivery.LeaseExpiresAt)
			if !s.closed {
				s.ready = append(s.ready, delivery)
			}
		}
		s.ring()
		s.mutex.Unlock()
		for s.waiting() > s.readyMax && ctx.Err() == nil {
			select {
			case <-s.room:
			case <-ctx.Done():
			}
		}
	}
	if err := stream.Err(); err != nil {
		return typed(ctx, err)
	}
	return &Error{Code: connect.CodeUnavailable, Message: "the server ended the subscription"}
}

func (s *Subscription) waiting() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.ready)
}

// forget drops what was delivered on a stream that has ended: the server has given it back, unless it was settled as it was sent.
func (s *Subscription) forget() {
	s.leases.clear()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var kept []*Delivery
	for _, delivery := range s.ready {
		if delivery.Receipt == "" {
			kept = append(kept, delivery)
		}
	}
	s.ready = kept
}

// reopens says whether opening the stream again may help.
func reopens(err error, first bool) bool {
	own, ok := errors.AsType[*Error](err)
	if !ok || own.final || (first && own.unreached) {
		return false
	}
	switch own.Code {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return true
	case connect.CodeResourceExhausted:
		return own.RetryAfter > 0
	default:
		return false
	}
}
