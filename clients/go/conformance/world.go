package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"time"

	"connectrpc.com/connect"

	bbq "bbq.internal/client"
	bbqv1 "bbq.internal/client/gen/bbq/v1"
)

const (
	bound = time.Minute
	// What takes less did not wait for an idle timeout, or for another transport.
	atOnce = 5 * time.Second
	// A lease that ends in no scenario.
	longLease = 10 * time.Minute
)

// world is what every scenario has.
type world struct {
	ctx           context.Context
	client        *bbq.Client
	profile       bbq.Profile
	queue         string
	messages      int
	subscriptions int
}

var stdin = bufio.NewReader(os.Stdin)

// ask has the host do something, and decodes its answer when it is done.
func ask(what string, answer any) {
	say(map[string]string{"ask": what})
	line, err := stdin.ReadBytes('\n')
	must(err)
	var done struct{ Done string }
	must(json.Unmarshal(line, &done))
	same("the answer", done.Done, what)
	if answer != nil {
		must(json.Unmarshal(line, answer))
	}
}

func say(what map[string]string) {
	line, err := json.Marshal(what)
	must(err)
	fmt.Println(string(line))
}

// failure ends a scenario.
type failure struct{ error }

func must(err error) {
	if err != nil {
		panic(failure{err})
	}
}

func get[T any](value T, err error) T {
	must(err)
	return value
}

func same(what string, actual, expected any) {
	if !reflect.DeepEqual(actual, expected) {
		panic(failure{fmt.Errorf("%s is %.300v, not %.300v", what, actual, expected)})
	}
}

func refused(what string, err error, code connect.Code, reason string) *bbq.Error {
	own, ok := errors.AsType[*bbq.Error](err)
	if !ok {
		panic(failure{fmt.Errorf("%s is not refused: %v", what, err)})
	}
	same(what, [2]string{own.Code.String(), own.Reason}, [2]string{code.String(), reason})
	return own
}

func (w *world) create(queue string, settings *bbqv1.QueueSettings) error {
	_, err := w.client.Admin.CreateQueue(w.ctx, connect.NewRequest(&bbqv1.CreateQueueRequest{Name: queue, Settings: settings}))
	return err
}

func (w *world) subscribe(inFlight uint32) *bbq.Subscription {
	return w.client.Subscribe(w.ctx, w.queue, &bbq.SubscribeOptions{MaxInFlight: inFlight, Lease: longLease})
}

func (w *world) publish(bodies ...string) {
	var messages []bbq.Message
	for _, body := range bodies {
		messages = append(messages, bbq.Message{Body: []byte(body)})
	}
	get(w.client.PublishAll(w.ctx, w.queue, messages))
}

func (w *world) publishNumbers(count int) {
	var numbers []string
	for number := range count {
		numbers = append(numbers, strconv.Itoa(number))
	}
	w.publish(numbers...)
}

func (w *world) counts(ready, leased uint64) {
	w.until(fmt.Sprintf("%d ready, %d leased", ready, leased), func(stats *bbqv1.QueueStats) bool {
		return stats.GetReady() == ready && stats.GetLeased() == leased
	})
}

func (w *world) consumers(count uint64) {
	w.until(fmt.Sprintf("%d consumers", count), func(stats *bbqv1.QueueStats) bool { return stats.GetConsumers() == count })
}

// until waits until the queue's counts are so.
func (w *world) until(what string, fact func(*bbqv1.QueueStats) bool) {
	for end := time.Now().Add(bound); ; time.Sleep(20 * time.Millisecond) {
		shown := get(w.client.Admin.GetQueue(w.ctx, connect.NewRequest(&bbqv1.GetQueueRequest{Name: w.queue})))
		stats := shown.Msg.GetQueue().GetStats()
		if fact(stats) {
			return
		}
		if time.Now().After(end) {
			panic(failure{fmt.Errorf("never %s, but %v", what, stats)})
		}
	}
}

func (w *world) next(subscription *bbq.Subscription) *bbq.Delivery {
	ctx, cancel := context.WithTimeout(w.ctx, bound)
	defer cancel()
	delivery, err := subscription.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no delivery within %v", bound)
	}
	return get(delivery, err)
}

func (w *world) take(subscription *bbq.Subscription, count int) []*bbq.Delivery {
	var deliveries []*bbq.Delivery
	for range count {
		deliveries = append(deliveries, w.next(subscription))
	}
	return deliveries
}

func number(delivery *bbq.Delivery) int { return get(strconv.Atoi(string(delivery.Body))) }

func why(failed []*bbq.ReceiptError, err error) string {
	must(err)
	if len(failed) == 0 {
		return ""
	}
	return failed[0].Why
}
