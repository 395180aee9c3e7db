package bbq

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

// Message is a body and what goes with it. Limits are the server's to check.
type Message struct {
	Body            []byte
	Attributes      map[string]string
	OrderingKey     string
	Priority        uint32
	Delay           time.Duration
	TimeToLive      time.Duration
	DeduplicationID string
}

// Published says where a message went: its number in its queue, and whether one with its deduplication id was there before.
type Published struct {
	Sequence  uint64
	Duplicate bool
}

// Nack says how messages are given back; the zero value is another attempt after the queue's backoff.
type Nack struct {
	// Delay takes the place of the queue's backoff; 0 means at once, nil the backoff.
	Delay *time.Duration
	// DeadLetter gives the message up now.
	DeadLetter bool
	// Reason is kept with a dead letter.
	Reason string
}

// Delivery is a message, leased to this consumer until it is settled or the lease ends.
//
// A subscription extends the lease until the delivery is settled, unless that was switched off. A delivery of an
// at-most-once queue has no receipt: it is settled already.
type Delivery struct {
	Message
	Queue          string
	Sequence       uint64
	Attempt        uint32
	Receipt        string
	PublishedAt    time.Time
	LeaseExpiresAt time.Time

	client *Client
	leases *leases

	mutex   sync.Mutex
	settled *settled
}

// settled is the settlement of a delivery: its error is there when done is closed.
type settled struct {
	verdict verdict
	done    chan struct{}
	err     error
}

// Ack settles the message for good. The error is a *ReceiptError if somebody else holds the message by now.
//
// The first settlement of a delivery counts: any further one, of either kind, has the outcome of the first. The same one may be tried
// again if no answer came.
func (d *Delivery) Ack(ctx context.Context) error { return d.settle(ctx, verdict{ack: true}) }

// Settled says whether the message was acked or nacked here.
func (d *Delivery) Settled() bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	return d.settled != nil
}

// Nack gives the message back for another attempt after the queue's backoff. See Ack.
func (d *Delivery) Nack(ctx context.Context) error { return d.NackWith(ctx, Nack{}) }

// NackWith gives the message back in a way of its own.
func (d *Delivery) NackWith(ctx context.Context, how Nack) error {
	verdict := verdict{deadLetter: how.DeadLetter, reason: how.Reason}
	if how.Delay != nil {
		verdict.delayed, verdict.delay = true, *how.Delay
	}
	return d.settle(ctx, verdict)
}

// Extend moves the end of the lease to so long from now.
func (d *Delivery) Extend(ctx context.Context, lease time.Duration) error {
	if d.Receipt == "" {
		return nil
	}
	failed, err := d.client.Extend(ctx, d.Queue, []string{d.Receipt}, lease)
	if err == nil && len(failed) > 0 {
		return failed[0]
	}
	return err
}

func (d *Delivery) settle(ctx context.Context, verdict verdict) error {
	if d.Receipt == "" {
		return nil
	}
	settled := d.settlement(verdict)
	select {
	case <-settled.done:
		return settled.err
	case <-ctx.Done():
		return typed(ctx, ctx.Err())
	}
}

// settlement is the first one, or this one if it is the first.
func (d *Delivery) settlement(verdict verdict) *settled {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.settled != nil && (d.settled.verdict != verdict || !d.settled.unanswered()) {
		return d.settled
	}
	current := &settled{verdict: verdict, done: make(chan struct{})}
	d.settled = current
	d.client.settler(d.Queue).put(settlement{d.Receipt, verdict}, func(outcome outcome[struct{}]) {
		// The lease is kept until the settlement is answered.
		d.leases.release(d.Receipt)
		current.err = outcome.err
		close(current.done)
	})
	return current
}

// unanswered says whether it failed, and not because the server said so of its receipt.
func (s *settled) unanswered() bool {
	select {
	case <-s.done:
		_, own := errors.AsType[*Error](s.err)
		return own
	default:
		return false
	}
}

func (m Message) wire() *bbqv1.Message {
	return &bbqv1.Message{
		Body:            m.Body,
		Attributes:      m.Attributes,
		OrderingKey:     m.OrderingKey,
		Priority:        m.Priority,
		Delay:           duration(m.Delay),
		TimeToLive:      duration(m.TimeToLive),
		DeduplicationId: m.DeduplicationID,
	}
}

func wires(messages []Message) []*bbqv1.Message {
	wires := make([]*bbqv1.Message, len(messages))
	for at, message := range messages {
		wires[at] = message.wire()
	}
	return wires
}

// duration is one for the wire, none if it is 0.
func duration(given time.Duration) *durationpb.Duration {
	if given == 0 {
		return nil
	}
	return durationpb.New(given)
}

func moment(given *timestamppb.Timestamp) time.Time {
	if given == nil {
		return time.Time{}
	}
	return given.AsTime()
}

func (c *Client) delivery(queue string, wire *bbqv1.Delivery, leases *leases) *Delivery {
	message := wire.GetMessage()
	return &Delivery{
		Message: Message{
			Body:            message.GetBody(),
			Attributes:      message.GetAttributes(),
			OrderingKey:     message.GetOrderingKey(),
			Priority:        message.GetPriority(),
			DeduplicationID: message.GetDeduplicationId(),
		},
		Queue:          queue,
		Sequence:       wire.GetSequence(),
		Attempt:        wire.GetAttempt(),
		Receipt:        wire.GetReceipt(),
		PublishedAt:    moment(wire.GetPublishedAt()),
		LeaseExpiresAt: moment(wire.GetLeaseExpiresAt()),
		client:         c,
		leases:         leases,
	}
}
