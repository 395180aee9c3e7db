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
	// idle is closed when nothing is on its way any more; nil while nothing is.
	idle chan struct{}
}

type outcome[Result any] struct {
	result Result
	err    error
}

type entry[Item, Result any] struct {
	item Item
	done chan outcome[Result]
}

// put takes an item; it goes whether or not anyone waits for the outcome.
func (b *batcher[Item, Result]) put(item Item) <-chan outcome[Result] {
	done := make(chan outcome[Result], 1)
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.waiting = append(b.waiting, entry[Item, Result]{item, done})
	if b.idle == nil {
		b.idle = make(chan struct{})
		go b.run()
	}
	return done
}

// drained is closed when all that was taken is answered.
func (b *batcher[Item, Result]) drained() <-chan struct{} {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.idle == nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	return b.idle
}

func (b *batcher[Item, Result]) run() {
	for {
		batch := b.next()
		if batch == nil {
			return
		}
		items := make([]Item, len(batch))
		for at, entry := range batch {
			items[at] = entry.item
		}
		for at, outcome := range b.call(items) {
			batch[at].done <- outcome
		}
	}
}

func (b *batcher[Item, Result]) next() []entry[Item, Result] {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if len(b.waiting) == 0 {
		close(b.idle)
		b.idle = nil
		return nil
	}
	count, bytes := 0, 0
	for count < len(b.waiting) && count < b.itemsMax {
		if b.bytesMax > 0 {
			bytes += b.size(b.waiting[count].item)
			if count > 0 && bytes > b.bytesMax {
				break
			}
		}
		count++
	}
	batch := b.waiting[:count:count]
	b.waiting = b.waiting[count:]
	return batch
}
