package bbq

import (
	"context"
	"sync"

	"connectrpc.com/connect"
)

// PublisherOptions say what a publisher may do at once; zeros mean the defaults.
type PublisherOptions struct {
	// CallMessagesMax is the most messages of one call: 1,000 by default.
	CallMessagesMax int
	// CallBytesMax is the most bytes of one call, 1 MiB by default; a larger message goes alone.
	CallBytesMax int
	// UnconfirmedMax is how many messages may be unconfirmed before Publish waits: 10,000 by default.
	UnconfirmedMax int
}

// Publisher publishes many messages to one queue, many to a call, stored in the order of Publish. A call that is refused
// because of one message is split until that one is alone. Safe for use by several goroutines.
type Publisher struct {
	client  *Client
	queue   string
	batcher *batcher[Message, Published]
	window  chan struct{}

	mutex  sync.Mutex
	failed error
}

// Confirmation is what becomes of one message. The message is published whether or not anyone waits for it.
type Confirmation struct {
	done    <-chan outcome[Published]
	outcome outcome[Published]
	once    sync.Once
}

// Publisher makes a publisher; nil options mean the defaults.
func (c *Client) Publisher(queue string, options *PublisherOptions) *Publisher {
	chosen := PublisherOptions{CallMessagesMax: 1_000, CallBytesMax: 1 << 20, UnconfirmedMax: 10_000}
	if options != nil {
		for of, given := range map[*int]int{
			&chosen.CallMessagesMax: options.CallMessagesMax,
			&chosen.CallBytesMax:    options.CallBytesMax,
			&chosen.UnconfirmedMax:  options.UnconfirmedMax,
		} {
			if given > 0 {
				*of = given
			}
		}
	}
	publisher := &Publisher{client: c, queue: queue, window: make(chan struct{}, chosen.UnconfirmedMax)}
	publisher.batcher = &batcher[Message, Published]{
		call:     publisher.call,
		itemsMax: chosen.CallMessagesMax,
		bytesMax: chosen.CallBytesMax,
		size:     func(message Message) int { return len(message.Body) + 64 },
	}
	return publisher
}

// Publish waits for room, then takes the message: it was taken if and only if the error is nil. Not safe to repeat.
func (p *Publisher) Publish(ctx context.Context, message Message) (*Confirmation, error) {
	select {
	case p.window <- struct{}{}:
		return &Confirmation{done: p.batcher.put(message)}, nil
	case <-ctx.Done():
		return nil, typed(ctx, ctx.Err())
	}
}

// Wait returns once the message is confirmed, or could not be.
func (c *Confirmation) Wait(ctx context.Context) (Published, error) {
	select {
	case outcome, ok := <-c.done:
		if ok {
			c.once.Do(func() { c.outcome = outcome })
		}
		return c.outcome.result, c.outcome.err
	case <-ctx.Done():
		return Published{}, typed(ctx, ctx.Err())
	}
}

// Flush waits until all that was taken is answered, and returns the first error since the last flush.
func (p *Publisher) Flush(ctx context.Context) error {
	select {
	case <-p.batcher.drained():
	case <-ctx.Done():
		return typed(ctx, ctx.Err())
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	failed := p.failed
	p.failed = nil
	return failed
}

func (p *Publisher) call(messages []Message) []outcome[Published] {
	outcomes := p.split(messages)
	for _, outcome := range outcomes {
		<-p.window
		if outcome.err != nil {
			p.mutex.Lock()
			if p.failed == nil {
				p.failed = outcome.err
			}
			p.mutex.Unlock()
		}
	}
	return outcomes
}

func (p *Publisher) split(messages []Message) []outcome[Published] {
	published, err := p.client.PublishAll(p.client.ctx, p.queue, messages)
	outcomes := make([]outcome[Published], len(messages))
	if err == nil {
		for at := range outcomes {
			outcomes[at].result = published[at]
		}
		return outcomes
	}
	if CodeOf(err) == connect.CodeInvalidArgument && len(messages) > 1 {
		// All or none: nothing of it was stored, so the halves may be sent, the first one first.
		half := len(messages) / 2
		return append(p.split(messages[:half]), p.split(messages[half:])...)
	}
	for at := range outcomes {
		outcomes[at].err = err
	}
	return outcomes
}
