package bbq

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"weak"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

// PublisherOptions say what a publisher may do at once; zeros mean the defaults.
type PublisherOptions struct {
	// CallMessagesMax is the most messages of one call: 1,000 by default.
	CallMessagesMax int
	// CallBytesMax is the most bytes of one call's encoded messages, 1 MiB by default; a larger message goes alone.
	CallBytesMax int
	// CallsInFlight is how many calls may be under way: 1 by default. More than one hides the round trip, and gives up the order
	// between calls.
	CallsInFlight int
	// UnconfirmedMax is how many messages may be unconfirmed before Publish waits: 10,000 by default.
	UnconfirmedMax int
}

// Publisher publishes many messages to one queue, many to a call, stored in the order of Publish unless several calls may be in flight.
// A call that is refused because of one message is split until that one is alone. Safe for use by several goroutines.
type Publisher struct {
	client  *Client
	queue   string
	batcher *batcher[*bbqv1.Message, Published]
	window  chan struct{}
	closing chan struct{}

	mutex  sync.Mutex
	closed bool
	failed error
}

// Confirmation is what becomes of one message. The message is published whether or not anyone waits for it.
type Confirmation struct {
	// done is closed after outcome was set.
	done    chan struct{}
	outcome outcome[Published]
}

// aboutOne are reasons of refusals that may be about one message of many; what is an invalid argument may be too.
var aboutOne = map[string]bool{
	"PRIORITY_IN_FIFO": true, "NOT_BY_KEY": true, "DEDUPLICATION_OFF": true, "LIMIT_EXCEEDED": true, "REQUEST_TOO_LARGE": true,
	"TOO_MANY_DELAYED_MESSAGES": true, "TOO_MANY_DEDUPLICATION_IDS": true,
}

// Publisher makes a publisher; nil options mean the defaults.
func (c *Client) Publisher(queue string, options *PublisherOptions) *Publisher {
	chosen := PublisherOptions{CallMessagesMax: 1_000, CallBytesMax: 1 << 20, CallsInFlight: 1, UnconfirmedMax: 10_000}
	if options != nil {
		for of, given := range map[*int]int{
			&chosen.CallMessagesMax: options.CallMessagesMax,
			&chosen.CallBytesMax:    options.CallBytesMax,
			&chosen.CallsInFlight:   options.CallsInFlight,
			&chosen.UnconfirmedMax:  options.UnconfirmedMax,
		} {
			if given > 0 {
				*of = given
			}
		}
	}
	publisher := &Publisher{
		client: c, queue: queue, window: make(chan struct{}, chosen.UnconfirmedMax), closing: make(chan struct{}),
	}
	publisher.batcher = &batcher[*bbqv1.Message, Published]{
		call:     publisher.call,
		itemsMax: chosen.CallMessagesMax,
		bytesMax: chosen.CallBytesMax,
		callsMax: chosen.CallsInFlight,
		// A field of the request: a tag and a length of up to 4 bytes go with it.
		size: func(message *bbqv1.Message) int { return proto.Size(message) + 5 },
	}
	// One that nobody has any more, and that is through, need not be closed.
	reference := weak.Make(publisher)
	c.publishers.Store(reference, nil)
	runtime.AddCleanup(publisher, func(reference weak.Pointer[Publisher]) { c.publishers.Delete(reference) }, reference)
	return publisher
}

// Publish waits for room, then takes the message: it was taken if and only if the error is nil. Not safe to repeat.
func (p *Publisher) Publish(ctx context.Context, message Message) (*Confirmation, error) {
	select {
	case p.window <- struct{}{}:
	case <-p.closing:
		return nil, errPublisherClosed
	case <-ctx.Done():
		return nil, typed(ctx, ctx.Err())
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.closed {
		<-p.window
		return nil, errPublisherClosed
	}
	confirmation := &Confirmation{done: make(chan struct{})}
	p.batcher.put(message.wire(), func(outcome outcome[Published]) {
		// Before anyone is told: whoever knows of it and closes the client has nothing more to be told.
		if outcome.err != nil {
			p.fail(outcome.err)
		}
		confirmation.outcome = outcome
		close(confirmation.done)
		<-p.window
	})
	return confirmation, nil
}

// Wait returns once the message is confirmed, or could not be.
func (c *Confirmation) Wait(ctx context.Context) (Published, error) {
	select {
	case <-c.done:
		return c.outcome.result, c.outcome.err
	case <-ctx.Done():
		return Published{}, typed(ctx, ctx.Err())
	}
}

// Flush waits until all that was taken is answered, and returns the first error since the last flush.
func (p *Publisher) Flush(ctx context.Context) error {
	select {
	case <-p.batcher.flushed():
		return p.takeFailed()
	case <-ctx.Done():
		return typed(ctx, ctx.Err())
	}
}

// Close takes no more, and flushes. A client that is closed closes its publishers.
func (p *Publisher) Close(ctx context.Context) error {
	p.stop()
	return p.Flush(ctx)
}

func (p *Publisher) stop() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if !p.closed {
		p.closed = true
		close(p.closing)
	}
}

func (p *Publisher) fail(err error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.failed == nil {
		p.failed = err
	}
}

func (p *Publisher) takeFailed() error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	failed := p.failed
	p.failed = nil
	return failed
}

func (p *Publisher) call(messages []*bbqv1.Message) []outcome[Published] {
	published, err := p.client.publishToQueue(p.client.ctx, p.queue, messages)
	outcomes := make([]outcome[Published], len(messages))
	if err == nil {
		for at := range outcomes {
			outcomes[at].result = published[at]
		}
		return outcomes
	}
	if len(messages) > 1 && isAboutOne(err) {
		// All or none: nothing of it was stored, so the halves may be sent, the first one first.
		half := len(messages) / 2
		return append(p.call(messages[:half]), p.call(messages[half:])...)
	}
	for at := range outcomes {
		outcomes[at].err = err
	}
	return outcomes
}

func isAboutOne(err error) bool {
	own, ok := errors.AsType[*Error](err)
	return ok && (own.Code == connect.CodeInvalidArgument || aboutOne[own.Reason])
}
