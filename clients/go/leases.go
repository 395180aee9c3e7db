package bbq

import (
	"context"
	"sync"
	"time"
)

// The shortest lease there is, and the longest that is believed where its length is read from two clocks.
const (
	leaseMin      = time.Second
	leaseGuessMax = 30 * time.Second
)

// leases are those of one subscription. They are extended at half their time, from delivery until they are settled or their
// stream ends. A nil *leases keeps nothing.
type leases struct {
	client *Client
	queue  string
	length time.Duration

	mutex sync.Mutex
	kept  map[string]lease
	held  chan struct{}
}

type lease struct {
	due  time.Time
	half time.Duration
}

func newLeases(client *Client, queue string, length time.Duration) *leases {
	return &leases{
		client: client, queue: queue, length: length, kept: map[string]lease{}, held: make(chan struct{}, 1),
	}
}

func (l *leases) hold(receipt string, expiresAt time.Time) {
	if l == nil || receipt == "" {
		return
	}
	length := l.length
	if length == 0 {
		length = min(time.Until(expiresAt), leaseGuessMax)
	}
	half := max(length, leaseMin) / 2
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.kept[receipt] = lease{time.Now().Add(half), half}
	select {
	case l.held <- struct{}{}:
	default:
	}
}

func (l *leases) release(receipt string) {
	if l == nil {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	delete(l.kept, receipt)
}

// clear forgets all: their stream has ended, and they with it.
func (l *leases) clear() {
	if l == nil {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	clear(l.kept)
}

// keep extends what is due until the context ends.
func (l *leases) keep(ctx context.Context) {
	for ctx.Err() == nil {
		wait, due := l.due()
		if len(due) > 0 {
			l.extend(ctx, due)
			continue
		}
		select {
		case <-time.After(wait):
		case <-l.held:
			// It may be due before all others, and none is due sooner than half the shortest lease.
			_ = sleep(ctx, min(wait, leaseMin/4))
		case <-ctx.Done():
		}
	}
}

// due says how long nothing is due, or what is, with what nearly is.
func (l *leases) due() (time.Duration, map[string]time.Duration) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	now := time.Now()
	wait := time.Hour
	for _, lease := range l.kept {
		wait = min(wait, lease.due.Sub(now))
	}
	due := map[string]time.Duration{}
	if wait > 0 {
		return wait, due
	}
	for receipt, lease := range l.kept {
		if lease.due.Before(now.Add(lease.half / 4)) {
			due[receipt] = lease.half
		}
	}
	return 0, due
}

func (l *leases) extend(ctx context.Context, due map[string]time.Duration) {
	receipts, shortest := make([]string, 0, len(due)), time.Hour
	for receipt, half := range due {
		receipts = append(receipts, receipt)
		shortest = min(shortest, half)
	}
	// An answer that takes longer than what is left of the leases is worth nothing.
	ctx, cancel := context.WithTimeout(ctx, shortest)
	defer cancel()
	failed, err := l.client.Extend(ctx, l.queue, receipts, l.length)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, failure := range failed {
		delete(l.kept, failure.Receipt)
	}
	for receipt, half := range due {
		if _, ok := l.kept[receipt]; ok {
			pause := half
			if err != nil {
				pause = half / 4
			}
			l.kept[receipt] = lease{time.Now().Add(pause), half}
		}
	}
}
