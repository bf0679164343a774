package store

import "sync"

// keySet is a set of keys, by the number of their bucket in bucketNames.
type keySet struct{ keys map[int]map[string]struct{} }

func (k *keySet) add(bucket int, key []byte) {
	if k == nil {
		return
	}
	if k.keys[bucket] == nil {
		k.keys[bucket] = map[string]struct{}{}
	}
	k.keys[bucket][string(key)] = struct{}{}
}

func (k *keySet) len() (n int) {
	for _, keys := range k.keys {
		n += len(keys)
	}
	return n
}

func newKeySet() *keySet { return &keySet{keys: map[int]map[string]struct{}{}} }

// changes are the keys that transactions have touched since a copy began: what it must look at again. That a key is in it
// says only that its value may have changed.
type changes struct {
	mu  sync.Mutex
	all *keySet // nil: nobody copies
}

// begin is the set for one transaction; nil where nobody copies.
func (c *changes) begin() *keySet {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		return nil
	}
	return newKeySet()
}

// merge adds what a transaction has touched, once it has ended: who takes a key finds its value committed.
func (c *changes) merge(k *keySet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k == nil || c.all == nil {
		return
	}
	for bucket, keys := range k.keys {
		for key := range keys {
			c.all.add(bucket, []byte(key))
		}
	}
}

// start begins to note; to be called between two transactions.
func (c *changes) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = newKeySet()
}

// take is what was touched since start or the last take.
func (c *changes) take() *keySet {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.all
	c.all = newKeySet()
	return k
}

func (c *changes) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = nil
}
