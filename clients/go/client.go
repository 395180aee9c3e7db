// Package bbq is the Go client of BBQ, a durable message queue: gRPC over HTTP/3, and over HTTP/2 where UDP does not get
// through.
package bbq

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	"google.golang.org/protobuf/types/known/durationpb"

	bbqv1 "bbq.internal/client/gen/bbq/v1"
	"bbq.internal/client/gen/bbq/v1/bbqv1connect"
)

// receiptsMax is the most receipts of one call.
const receiptsMax = 10_000

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
	cancel        context.CancelFunc
	subscriptions sync.Map

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

// Connect makes a client of the profile's server; without one, of that of [FindProfile].
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
	wire.choose(ctx)
	client := &Client{wire: wire, settlers: map[string]*batcher[settlement, struct{}]{}}
	client.ctx, client.cancel = context.WithCancel(context.Background())
	calls := calls{}
	if profile.Token != "" {
		calls.authorization = "Bearer " + profile.Token
	}
	options := []connect.ClientOption{connect.WithGRPC(), connect.WithInterceptors(calls), connect.WithAcceptCompression("gzip", nil, nil)}
	transport := &http.Client{Transport: wire}
	client.Queues = bbqv1connect.NewQueueServiceClient(transport, address, options...)
	client.Admin = bbqv1connect.NewAdminServiceClient(transport, address, options...)
	return client, nil
}

// Close ends all subscriptions and the connection; the server gives back at once what they held.
func (c *Client) Close() error {
	c.subscriptions.Range(func(subscription, _ any) bool {
		if subscription, ok := subscription.(*Subscription); ok {
			subscription.Close()
		}
		return true
	})
	c.cancel()
	return c.wire.close()
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
	results, err := c.publish(ctx, request, messages)
	if err != nil {
		return nil, err
	}
	routed := make([][]*bbqv1.RoutedMessage, len(results))
	for at, result := range results {
		routed[at] = result.GetRouted()
	}
	return routed, nil
}

func (c *Client) publish(ctx context.Context, request *bbqv1.PublishRequest, messages []Message) ([]*bbqv1.PublishResult, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	for _, message := range messages {
		request.Messages = append(request.Messages, message.wire())
	}
	response, err := c.Queues.Publish(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	if len(response.Msg.GetResults()) != len(messages) {
		return nil, &Error{Code: connect.CodeInternal, Message: "the server's answer to a publish does not have one result for each message"}
	}
	return response.Msg.GetResults(), nil
}

// Receive waits up to `wait` for messages and returns at most `count`, none if none came. Their leases last as long as the queue
// says and are not extended by themselves.
func (c *Client) Receive(ctx context.Context, queue string, count uint32, wait time.Duration) ([]*Delivery, error) {
	request := &bbqv1.ReceiveRequest{Queue: queue, MaxMessages: count, Wait: duration(wait)}
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

// settle waits for one settlement; those of a moment share a call, which is made whether or not anyone waits.
func (c *Client) settle(ctx context.Context, queue string, settlement settlement) error {
	select {
	case outcome := <-c.settler(queue).put(settlement):
		return outcome.err
	case <-ctx.Done():
		return typed(ctx, ctx.Err())
	}
}

// settled waits until the settlements of a queue that are on their way are answered.
func (c *Client) settled(queue string) { <-c.settler(queue).drained() }

func (c *Client) settler(queue string) *batcher[settlement, struct{}] {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	settler, ok := c.settlers[queue]
	if !ok {
		settle := func(batch []settlement) []outcome[struct{}] { return c.settleAll(queue, batch) }
		settler = newSettler(settle)
		c.settlers[queue] = settler
	}
	return settler
}

func newSettler(call func([]settlement) []outcome[struct{}]) *batcher[settlement, struct{}] {
	return &batcher[settlement, struct{}]{call: call, itemsMax: receiptsMax}
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
