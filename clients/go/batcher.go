package bbq

import (
	"slices"
	"sync"
)

// batcher turns many items into few calls: what is there goes as soon as a call may be made, and while it is in flight the
// next one fills. Items go in the order in which they were given; one call at a time unless more are allowed.
type batcher[Item, Result any] struct {
	// call answers each of its items.
	call func([]Item) []outcome[Result]
	// A call has at most so many items and bytes, but at least one item; 0 bytes means any.
	itemsMax, bytesMax int
	size               func(Item) int
	// callsMax is how many calls may be in flight; 0 means one.
	callsMax int

	mutex   sync.Mutex
	waiting []entry[Item, Result]
	// How many goroutines make calls.
	running int
	// How many items were taken, and how many of them have gone into calls.
	taken, gone uint64
	// inFlight has the number of the first item of each call.
	inFlight []uint64
	flushes  []flush
}

type outcome[Result any] struct {
	result Result
	err    error
}

type entry[Item, Result any] struct {
	item Item
	size int
	done func(outcome[Result])
}

// flush is done when the first so many are answered.
type flush struct {
	taken uint64
	done  chan struct{}
}

// put takes an item; it goes whether or not anyone waits for the outcome, which done is called with.
func (b *batcher[Item, Result]) put(item Item, done func(outcome[Result])) {
	entry := entry[Item, Result]{item: item, done: done}
	if b.bytesMax > 0 {
		entry.size = b.size(item)
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.waiting = append(b.waiting, entry)
	b.taken++
	if b.running < max(b.callsMax, 1) {
		b.running++
		go b.run()
	}
}

// flushed is closed when all that was taken before is answered, whatever comes after it.
func (b *batcher[Item, Result]) flushed() <-chan struct{} {
	done := make(chan struct{})
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.answered() == b.taken {
		close(done)
	} else {
		b.flushes = append(b.flushes, flush{b.taken, done})
	}
	return done
}

func (b *batcher[Item, Result]) run() {
	for first, batch := b.next(); batch != nil; first, batch = b.next() {
		items := make([]Item, len(batch))
		for at, entry := range batch {
			items[at] = entry.item
		}
		for at, outcome := range b.call(items) {
			batch[at].done(outcome)
		}
		b.answer(first)
	}
}

// answered is the number of the first item that is not answered.
func (b *batcher[Item, Result]) answered() uint64 {
	if len(b.inFlight) == 0 {
		return b.gone
	}
	return slices.Min(b.inFlight)
}

// answer says that the call is answered whose first item has this number.
func (b *batcher[Item, Result]) answer(first uint64) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	at := slices.Index(b.inFlight, first)
	b.inFlight = slices.Delete(b.inFlight, at, at+1)
	for answered := b.answered(); len(b.flushes) > 0 && b.flushes[0].taken <= answered; {
		close(b.flushes[0].done)
		b.flushes = b.flushes[1:]
	}
}

// next is the next call and the number of its first item; without items there is none, and whoever asked ends.
func (b *batcher[Item, Result]) next() (uint64, []entry[Item, Result]) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if len(b.waiting) == 0 {
		b.running--
		return 0, nil
	}
	count, bytes := 0, 0
	for count < len(b.waiting) && count < b.itemsMax {
		bytes += b.waiting[count].size
		if count > 0 && b.bytesMax > 0 && bytes > b.bytesMax {
			break
		}
		count++
	}
	batch := b.waiting[:count:count]
	b.waiting = b.waiting[count:]
	first := b.gone
	b.inFlight = append(b.inFlight, first)
	b.gone += uint64(count)
	return first, batch
}
