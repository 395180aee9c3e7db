// Package bbq is the Go client of BBQ, a durable message queue: gRPC over HTTP/3, and over HTTP/2 where UDP does not get
// through.
package bbq

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
	"weak"

	"connectrpc.com/connect"

	"google.golang.org/protobuf/types/known/durationpb"

	bbqv1 "bbq.internal/client/gen/bbq/v1"
	"bbq.internal/client/gen/bbq/v1/bbqv1connect"
)

const (
	// receiptsMax is the most receipts of one call.
	receiptsMax = 10_000
	// How long Close waits for settlements, whose loss only brings their messages again.
	closeSettlements = time.Second
)

// closePublishers is how long Close waits for what publishers took, whose loss loses messages. A variable for a test.
var closePublishers = 10 * time.Second

// Client is a client of one server, for use by any number of goroutines.
//
// A call whose context has no deadline may take [Deadline]. A call that failed because the server was not reached, or said that
// it did nothing, is repeated within its deadline with backoff and jitter; those that do their work only once however often they
// are made (all but publishing, receiving and transactions) also after a lost connection.
type Client struct {
	// Queues and Admin are the generated clients, for everything that has no method here: the same token, deadline, repeats and
	// errors.
	Queues bbqv1connect.QueueServiceClient
	Admin  bbqv1connect.AdminServiceClient

	wire          *wire
	ctx           context.Context
	cancel        context.CancelCauseFunc
	subscriptions sync.Map
	// publishers has weak pointers.
	publishers sync.Map

	mutex    sync.Mutex
	settlers map[string]*batcher[settlement, struct{}]
}

// settlement is a receipt and what becomes of its message.
type settlement struct {
	receipt string
	verdict verdict
}

// verdict is an ack or a nack; those that are equal share a call.
type verdict struct {
	ack        bool
	delayed    bool
	delay      time.Duration
	deadLetter bool
	reason     string
}

// Connect makes a client of the profile's server; without one, of that of [FindProfile]. It fails if there is no connection; later
// it is made again whenever it is lost.
func Connect(ctx context.Context, profile *Profile) (*Client, error) {
	if profile == nil {
		found, err := FindProfile()
		if err != nil {
			return nil, err
		}
		profile = found
	}
	address, err := profile.address()
	if err != nil {
		return nil, err
	}
	wire, err := newWire(profile, address)
	if err != nil {
		return nil, err
	}
	if _, err := wire.connect(ctx); err != nil {
		_ = wire.close()
		return nil, typed(ctx, err)
	}
	client := &Client{wire: wire, settlers: map[string]*batcher[settlement, struct{}]{}}
	client.ctx, client.cancel = context.WithCancelCause(context.Background())
	calls := calls{ctx: client.ctx}
	if profile.Token != "" {
		calls.authorization = "Bearer " + profile.Token
	}
	options := []connect.ClientOption{connect.WithGRPC(), connect.WithInterceptors(calls), connect.WithAcceptCompression("gzip", nil, nil)}
	transport := &http.Client{Transport: wire}
	client.Queues = bbqv1connect.NewQueueServiceClient(transport, address, options...)
	client.Admin = bbqv1connect.NewAdminServiceClient(transport, address, options...)
	return client, nil
}

// Close waits for what publishers took, for 10 s at most, and for settlements on their way, for 1 s; then it ends all subscriptions,
// calls and the connection. The server gives back at once what was held. Calls after it fail with an error that wraps [ErrClosed].
//
// The error is the first one of a message that was still on its way from a publisher.
func (c *Client) Close() error {
	subscriptions, publishers := c.stop()
	within(closePublishers, func() {
		for _, publisher := range publishers {
			<-publisher.batcher.flushed()
		}
	})
	c.mutex.Lock()
	settlers := slices.Collect(maps.Values(c.settlers))
	c.mutex.Unlock()
	within(closeSettlements, func() {
		for _, settler := range settlers {
			<-settler.flushed()
		}
	})
	c.cancel(errClientClosed)
	for _, subscription := range subscriptions {
		subscription.end()
	}
	var failed error
	for _, publisher := range publishers {
		// What was still on its way fails now.
		<-publisher.batcher.flushed()
		failed = cmp.Or(failed, publisher.takeFailed())
	}
	return cmp.Or(failed, c.wire.close())
}

// stop has publishers take no more and subscriptions hand out no more, and returns them.
func (c *Client) stop() ([]*Subscription, []*Publisher) {
	var subscriptions []*Subscription
	for each := range c.subscriptions.Range {
		if subscription, ok := each.(*Subscription); ok {
			subscription.stop()
			subscriptions = append(subscriptions, subscription)
		}
	}
	var publishers []*Publisher
	for each := range c.publishers.Range {
		reference, _ := each.(weak.Pointer[Publisher])
		publisher := reference.Value()
		if publisher == nil {
			continue
		}
		publisher.stop()
		// What failed before is for Flush.
		_ = publisher.takeFailed()
		publishers = append(publishers, publisher)
	}
	return subscriptions, publishers
}

// within waits until it is done, but no longer.
func within(bound time.Duration, do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(bound):
	}
}

// Publish publishes one message and returns its number in the queue once it is confirmed. Not safe to repeat, unless it has a
// deduplication id and the queue a window.
func (c *Client) Publish(ctx context.Context, queue string, message Message) (uint64, error) {
	published, err := c.PublishAll(ctx, queue, []Message{message})
	if err != nil {
		return 0, err
	}
	return published[0].Sequence, nil
}

// PublishAll publishes messages, all or none, in order.
func (c *Client) PublishAll(ctx context.Context, queue string, messages []Message) ([]Published, error) {
	return c.publishToQueue(ctx, queue, wires(messages))
}

func (c *Client) publishToQueue(ctx context.Context, queue string, messages []*bbqv1.Message) ([]Published, error) {
	results, err := c.publish(ctx, &bbqv1.PublishRequest{Target: &bbqv1.PublishRequest_Queue{Queue: queue}}, messages)
	if err != nil {
		return nil, err
	}
	published := make([]Published, len(results))
	for at, result := range results {
		published[at] = Published{result.GetSequence(), result.GetDuplicate()}
	}
	return published, nil
}

// PublishToTopic publishes messages to a topic, all or none: for each the queues that took it, with its number in each.
func (c *Client) PublishToTopic(ctx context.Context, topic, routingKey string, messages []Message) ([][]*bbqv1.RoutedMessage, error) {
	request := &bbqv1.PublishRequest{Target: &bbqv1.PublishRequest_Topic{Topic: topic}, RoutingKey: routingKey}
	results, err := c.publish(ctx, request, wires(messages))
	if err != nil {
		return nil, err
	}
	routed := make([][]*bbqv1.RoutedMessage, len(results))
	for at, result := range results {
		routed[at] = result.GetRouted()
	}
	return routed, nil
}

func (c *Client) publish(ctx context.Context, request *bbqv1.PublishRequest, messages []*bbqv1.Message) ([]*bbqv1.PublishResult, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	request.Messages = messages
	response, err := c.Queues.Publish(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	if len(response.Msg.GetResults()) != len(messages) {
		return nil, &Error{Code: connect.CodeInternal, Message: "the server's answer to a publish does not have one result for each message"}
	}
	return response.Msg.GetResults(), nil
}

// ReceiveOption is what a Receive may say besides.
type ReceiveOption func(*bbqv1.ReceiveRequest)

// WithLease has leases last so long, instead of what the queue says.
func WithLease(lease time.Duration) ReceiveOption {
	return func(request *bbqv1.ReceiveRequest) { request.LeaseDuration = duration(lease) }
}

// WithConsumerName is what `bbq leases` shows.
func WithConsumerName(name string) ReceiveOption {
	return func(request *bbqv1.ReceiveRequest) { request.ConsumerName = name }
}

// Receive waits up to `wait` for messages and returns at most `count`, none if none came. Their leases last as long as the queue
// says, unless an option does, and are not extended by themselves.
func (c *Client) Receive(ctx context.Context, queue string, count uint32, wait time.Duration, options ...ReceiveOption) ([]*Delivery, error) {
	request := &bbqv1.ReceiveRequest{Queue: queue, MaxMessages: count, Wait: duration(wait)}
	for _, option := range options {
		option(request)
	}
	response, err := c.Queues.Receive(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	var deliveries []*Delivery
	for _, wire := range response.Msg.GetDeliveries() {
		deliveries = append(deliveries, c.delivery(queue, wire, nil))
	}
	return deliveries, nil
}

// Ack settles messages for good; returns the receipts that settled nothing. Safe to repeat.
func (c *Client) Ack(ctx context.Context, queue string, receipts []string) ([]*ReceiptError, error) {
	return inParts(receipts, func(part []string) ([]*bbqv1.ReceiptFailure, error) {
		response, err := c.Queues.Ack(ctx, connect.NewRequest(&bbqv1.AckRequest{Queue: queue, Receipts: part}))
		if err != nil {
			return nil, err
		}
		return response.Msg.GetFailures(), nil
	})
}

// Nack gives messages back; returns the receipts that gave nothing back. Safe to repeat.
func (c *Client) Nack(ctx context.Context, queue string, receipts []string, how Nack) ([]*ReceiptError, error) {
	return inParts(receipts, func(part []string) ([]*bbqv1.ReceiptFailure, error) {
		request := &bbqv1.NackRequest{Queue: queue, Receipts: part, DeadLetter: how.DeadLetter, Reason: how.Reason}
		if how.Delay != nil {
			request.Delay = durationpb.New(*how.Delay)
		}
		response, err := c.Queues.Nack(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, err
		}
		return response.Msg.GetFailures(), nil
	})
}

// Extend moves the end of leases to `lease` from now, or, if that is 0, to what the queue says; returns the receipts that extended
// nothing. Safe to repeat.
func (c *Client) Extend(ctx context.Context, queue string, receipts []string, lease time.Duration) ([]*ReceiptError, error) {
	return inParts(receipts, func(part []string) ([]*bbqv1.ReceiptFailure, error) {
		request := &bbqv1.ExtendRequest{Queue: queue, Receipts: part, LeaseDuration: duration(lease)}
		response, err := c.Queues.Extend(ctx, connect.NewRequest(request))
		if err != nil {
			return nil, err
		}
		return response.Msg.GetFailures(), nil
	})
}

// inParts makes as many calls as the receipts need.
func inParts(receipts []string, call func([]string) ([]*bbqv1.ReceiptFailure, error)) ([]*ReceiptError, error) {
	var failed []*bbqv1.ReceiptFailure
	for part := range slices.Chunk(receipts, receiptsMax) {
		more, err := call(part)
		if err != nil {
			return nil, err
		}
		failed = append(failed, more...)
	}
	return failures(failed), nil
}

func (c *Client) settler(queue string) *batcher[settlement, struct{}] {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	settler, ok := c.settlers[queue]
	if !ok {
		settle := func(batch []settlement) []outcome[struct{}] { return c.settleAll(queue, batch) }
		settler = &batcher[settlement, struct{}]{call: settle, itemsMax: receiptsMax}
		c.settlers[queue] = settler
	}
	return settler
}

func (c *Client) settleAll(queue string, batch []settlement) []outcome[struct{}] {
	groups := map[verdict][]string{}
	for _, settlement := range batch {
		groups[settlement.verdict] = append(groups[settlement.verdict], settlement.receipt)
	}
	var mutex sync.Mutex
	var running sync.WaitGroup
	failed := map[settlement]error{}
	for verdict, receipts := range groups {
		running.Go(func() {
			errs, err := c.settleGroup(queue, receipts, verdict)
			mutex.Lock()
			defer mutex.Unlock()
			for _, failure := range errs {
				failed[settlement{failure.Receipt, verdict}] = failure
			}
			if err != nil {
				for _, receipt := range receipts {
					failed[settlement{receipt, verdict}] = err
				}
			}
		})
	}
	running.Wait()
	outcomes := make([]outcome[struct{}], len(batch))
	for at, settlement := range batch {
		outcomes[at].err = failed[settlement]
	}
	return outcomes
}

func (c *Client) settleGroup(queue string, receipts []string, verdict verdict) ([]*ReceiptError, error) {
	if verdict.ack {
		return c.Ack(c.ctx, queue, receipts)
	}
	how := Nack{DeadLetter: verdict.deadLetter, Reason: verdict.reason}
	if verdict.delayed {
		how.Delay = &verdict.delay
	}
	return c.Nack(c.ctx, queue, receipts, how)
}
