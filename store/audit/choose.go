package audit

import (
	"context"
	"iter"
	"sync/atomic"

	"github.com/siaga112/siaga112/call"
)

// latest is a Source that finds by itself which piece is the last of a call, and is much faster for it.
type latest interface {
	// Latest yields the calls whose first piece is in [from, size), in order and in chunks: Body is the record line of the
	// last one before size. An erased piece has no Body. The first error ends it.
	Latest(ctx context.Context, from, size uint64) iter.Seq2[[]call.Sealed, error]
}

// chosen is a source with the pieces below size of the calls that are wanted.
type chosen struct {
	src  Source
	size uint64
	want func(call.Record) bool // nil: all pieces of everything
	bits []uint64               // a bit for each record: it is in the bundle

	progress     func(next uint64)
	pass, passes uint64 // over all records: which one this is, of how many
	next         atomic.Uint64
}

func newChosen(o Order, size uint64) *chosen {
	c := &chosen{src: o.Source, size: size, want: o.Want, progress: o.Progress, passes: 2}
	if c.want != nil {
		c.passes++
	}
	if c.progress == nil {
		c.progress = func(uint64) {}
	}
	return c
}

// tell calls progress. Only who writes may call it.
func (c *chosen) tell() { c.progress((c.pass*c.size + c.next.Load()) / c.passes) }

// choose marks all pieces of the calls that are wanted, as their latest record below size says. An erased call is not
// wanted: nobody can tell.
func (c *chosen) choose(ctx context.Context) error {
	if c.want == nil {
		return nil
	}
	for some, err := range c.calls(ctx) {
		if err != nil {
			return err
		}
		for _, p := range some {
			if err := c.call(p); err != nil {
				return err
			}
			c.next.Store(p.Seq + 1)
		}
		c.tell()
	}
	c.pass++
	c.next.Store(0)
	return nil
}

// calls are the calls as latest yields them, from whatever source.
func (c *chosen) calls(ctx context.Context) iter.Seq2[[]call.Sealed, error] {
	if l, ok := c.src.(latest); ok {
		return l.Latest(ctx, 0, c.size)
	}
	return func(yield func([]call.Sealed, error) bool) {
		for p, err := range c.src.Scan(ctx, 0) {
			if err != nil {
				yield(nil, err)
				return
			}
			if p.Seq >= c.size {
				return
			}
			if len(p.Body) == 0 || p.Of.Kind() != call.Call || !isFirst(p) {
				continue
			}
			pieces, err := c.Pieces(p.Of)
			if len(pieces) > 0 {
				p.Body = pieces[len(pieces)-1].Body
			}
			if !yield([]call.Sealed{p}, err) {
				return
			}
		}
	}
}

// call marks the pieces of a call, if it is wanted. p is its first, with the latest record.
func (c *chosen) call(p call.Sealed) error {
	if len(p.Body) == 0 {
		return nil
	}
	r, err := call.ParseRecord(p.Body)
	if err != nil || !c.want(r) {
		return err
	}
	pieces, err := c.Pieces(r.Of)
	for _, q := range pieces {
		c.mark(q.Seq)
	}
	return err
}

func (c *chosen) mark(seq uint64) {
	for uint64(len(c.bits)) <= seq/64 {
		c.bits = append(c.bits, 0)
	}
	c.bits[seq/64] |= 1 << (seq % 64)
}

func (c *chosen) isMarked(seq uint64) bool {
	return seq/64 < uint64(len(c.bits)) && c.bits[seq/64]&(1<<(seq%64)) != 0
}

// Size implements Source.
func (c *chosen) Size() (uint64, error) { return c.size, nil }

// Scan implements Source.
func (c *chosen) Scan(ctx context.Context, from uint64) iter.Seq2[call.Sealed, error] {
	return func(yield func(call.Sealed, error) bool) {
		if from >= c.size {
			return
		}
		for p, err := range c.src.Scan(ctx, from) {
			if err == nil && p.Seq >= c.size {
				return
			}
			c.next.Store(p.Seq)
			if (err != nil || c.want == nil || c.isMarked(p.Seq)) && !yield(p, err) {
				return
			}
			if p.Seq+1 == c.size {
				return
			}
		}
	}
}

// Pieces implements Source.
func (c *chosen) Pieces(id call.ID) ([]call.Sealed, error) {
	all, err := c.src.Pieces(id)
	if err != nil {
		return nil, err
	}
	below := all[:0:0]
	for _, p := range all {
		if p.Seq < c.size {
			below = append(below, p)
		}
	}
	return below, nil
}
