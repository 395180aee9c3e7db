package bbq

import "sync"

// batcher turns many items into few calls: what is there goes as soon as a call may be made, and while it is in flight the
// next one fills. Items go in the order in which they were given, one call at a time.
type batcher[Item, Result any] struct {
	// call answers each of its items.
	call func([]Item) []outcome[Result]
	// A call has at most so many items and bytes, but at least one item; 0 bytes means any.
	itemsMax, bytesMax int
	size               func(Item) int

	mutex   sync.Mutex
	waiting []entry[Item, Result]
	running bool
	// How many were taken, and how many of them are answered.
	taken, answered uint64
	flushes         []flush
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

// flush is done when so many are answered.
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
	if !b.running {
		b.running = true
		go b.run()
	}
}

// flushed is closed when all that was taken before is answered, whatever comes after it.
func (b *batcher[Item, Result]) flushed() <-chan struct{} {
	done := make(chan struct{})
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.answered == b.taken {
		close(done)
	} else {
		b.flushes = append(b.flushes, flush{b.taken, done})
	}
	return done
}

func (b *batcher[Item, Result]) run() {
	for batch := b.next(); batch != nil; batch = b.next() {
		items := make([]Item, len(batch))
		for at, entry := range batch {
			items[at] = entry.item
		}
		for at, outcome := range b.call(items) {
			batch[at].done(outcome)
		}
		b.answer(len(batch))
	}
}

func (b *batcher[Item, Result]) answer(count int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.answered += uint64(count)
	for len(b.flushes) > 0 && b.flushes[0].taken <= b.answered {
		close(b.flushes[0].done)
		b.flushes = b.flushes[1:]
	}
}

func (b *batcher[Item, Result]) next() []entry[Item, Result] {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if len(b.waiting) == 0 {
		b.running = false
		return nil
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
	return batch
}
