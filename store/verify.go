package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga112/siaga112/call"
)

// NoSeq is the Seq of a Bad that is about no record.
const NoSeq = math.MaxUint64

// Report is what Verify found.
type Report struct {
	Arrived uint64 // calls, as the ledger counted them
	Ended   uint64 // calls with a sealed record
	Live    uint64 // calls that have not ended
	Records uint64 // sealed pieces
	Root    tlog.Hash
	Bad     []Bad // by Seq; empty: all is as it was written
}

// OK tells whether nothing is bad.
func (r Report) OK() bool { return len(r.Bad) == 0 }

// Bad is one thing that is not as it was written.
type Bad struct {
	Seq  uint64  // NoSeq: of no record
	Of   call.ID // "": of no subject, or it cannot be read
	What string
}

// String is the finding in one line.
func (b Bad) String() string {
	switch {
	case b.Seq != NoSeq:
		return fmt.Sprintf("record %d %s: %s", b.Seq, b.Of, b.What)
	case b.Of != "":
		return fmt.Sprintf("%s: %s", b.Of, b.What)
	}
	return b.What
}

// Verify recomputes everything that can be recomputed from the records as they are when it starts: leaves, tree,
// folds, numbers, counters, indexes. It goes on past what is bad and reports all of it. The gateway may run meanwhile.
// The error is only that the store could not be read.
func (s *Store) Verify(ctx context.Context) (Report, error) {
	v := &verifier{s: s}
	err := s.view(func(t *txn) error {
		v.size, v.ended = t.count(metaSize), t.count(metaEnded)
		v.report = Report{Arrived: t.count(metaArrived), Live: t.liveCalls(), Records: v.size}
		v.ends(t)
		return nil
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	var chain chainCheck
	var chainErr error
	var wg sync.WaitGroup
	wg.Go(func() { chainErr = chain.run(ctx, s, v.size) })
	err = v.subjects(ctx)
	wg.Wait()
	for _, step := range []func() error{
		func() error { return chainErr },
		func() error { return err },
		v.lives,
		func() error { return v.indexes(ctx) },
		func() error { return v.todos(ctx) },
	} {
		if err := step(); err != nil {
			return Report{}, fmt.Errorf("verify: %w", err)
		}
	}
	v.report.Root = chain.root
	v.report.Bad = append(v.report.Bad, chain.bad...)
	v.totals()
	slices.SortStableFunc(v.report.Bad, func(a, b Bad) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Of, b.Of))
	})
	return v.report, nil
}

// verifier is one Verify, but for the chain.
type verifier struct {
	s      *Store
	size   uint64 // pieces when it started
	ended  uint64 // the counter
	keys   uint64 // of idx, as they should be
	unsure bool   // a record was bad: keys may be short
	report Report
}

func (v *verifier) bad(seq uint64, of call.ID, format string, args ...any) {
	v.report.Bad = append(v.report.Bad, Bad{Seq: seq, Of: of, What: fmt.Sprintf(format, args...)})
}

// ends looks whether records and tree are as long as the counter says.
func (v *verifier) ends(t *txn) {
	for _, e := range []struct {
		name      string
		last      []byte
		got, want uint64
	}{
		{name: "records", last: lastKey(t.rec.Cursor().Last()), want: v.size},
		{name: "hashes", last: lastKey(t.tree.Cursor().Last()), want: uint64(tlog.StoredHashCount(int64(v.size)))},
	} {
		if len(e.last) == seqLen {
			e.got = binary.BigEndian.Uint64(e.last) + 1
		}
		if e.got != e.want {
			v.bad(NoSeq, "", "the last of the %s is number %d, it should be %d", e.name, int64(e.got)-1, int64(e.want)-1)
		}
	}
}

func lastKey(k, _ []byte) []byte { return k }

func (v *verifier) totals() {
	if v.ended != v.report.Ended {
		v.bad(NoSeq, "", "the counter of ended calls is %d, %d have a record", v.ended, v.report.Ended)
	}
	if v.report.Arrived != v.report.Ended+v.report.Live {
		v.bad(NoSeq, "", "%d calls arrived, but %d ended and %d live", v.report.Arrived, v.report.Ended, v.report.Live)
	}
}

// lives checks what has not ended.
func (v *verifier) lives() error {
	for es, err := range v.s.Live() {
		if err != nil {
			v.bad(NoSeq, "", "%v", err)
			continue
		}
		of := es[0].Of
		if !begins(es[0]) {
			v.bad(NoSeq, of, "live entry 1 does not begin it")
		}
		for i, e := range es {
			if e.Of != of || e.N != uint32(i)+1 {
				v.bad(NoSeq, of, "live entry %d is %s %d", i+1, e.Of, e.N)
			}
			if seals(e.Of, e.Event) {
				v.bad(NoSeq, of, "entry %d ends it, yet it lives", e.N)
			}
		}
	}
	return nil
}

// indexes counts the keys of idx; that those of each record are there has been seen with the record.
func (v *verifier) indexes(ctx context.Context) error {
	var from []byte
	got := uint64(0)
	err := v.s.views(ctx, func(t *txn) (bool, error) {
		c := t.idx.Cursor()
		n := 0
		for k, _ := c.Seek(from); k != nil; k, _ = c.Next() {
			if len(k) < seqLen || binary.BigEndian.Uint64(k[len(k)-seqLen:]) < v.size {
				got++
			}
			if n++; n == 16*chunkRows {
				from = append(bytes.Clone(k), 0)
				return true, nil
			}
		}
		return false, nil
	}, func() bool { return true })
	if err == nil && got != v.keys && !v.unsure {
		v.bad(NoSeq, "", "the index has %d keys, it should have %d", got, v.keys)
	}
	return err
}

// todos looks for what is to do for a call that has no record.
func (v *verifier) todos(ctx context.Context) error {
	for id, err := range v.s.Todo(ctx) {
		if err != nil {
			return err
		}
		has := false
		if err := v.s.view(func(t *txn) error {
			k, _ := t.id.Cursor().Seek([]byte(id))
			has = bytes.HasPrefix(k, []byte(id))
			return nil
		}); err != nil {
			return err
		}
		if !has {
			v.bad(NoSeq, id, "something is to do for it, but it has no record")
		}
	}
	return nil
}

// chainCheck holds each record against its leaf, and the leaves against the tree.
type chainCheck struct {
	last [64]tlog.Hash // by level, the last hash of a whole subtree, recomputed
	bad  []Bad
	root tlog.Hash
}

func (c *chainCheck) run(ctx context.Context, s *Store, size uint64) error {
	next := uint64(0)
	err := s.views(ctx, func(t *txn) (bool, error) {
		for n := 0; next < size && n < chunkRows; n++ {
			if !c.record(t, next, size) {
				return false, nil
			}
			next++
		}
		return next < size, nil
	}, func() bool { return true })
	if err != nil {
		return err
	}
	c.root, err = tlog.TreeHash(int64(next), tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hs := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			level, _ := tlog.SplitStoredHashIndex(at)
			hs[i] = c.last[level]
		}
		return hs, nil
	}))
	return err
}

// record checks one row; false: there is none from here on.
func (c *chainCheck) record(t *txn, seq, size uint64) bool {
	v := t.rec.Get(seqKey(seq))
	if v == nil {
		if k, _ := t.rec.Cursor().Seek(seqKey(seq)); k == nil {
			c.add(seq, "", "it and all up to %d are missing", size-1)
			return false
		}
		c.add(seq, "", "it is missing")
		c.leaf(t, seq, "", nil)
		return true
	}
	p, err := readRec(seq, v)
	if err != nil {
		c.add(seq, "", "%v", err)
	}
	whole := len(v) >= headLen && call.LeafHash(p.Nonce, p.Body) == p.Leaf
	if !whole {
		c.add(seq, p.Of, "its leaf is not the hash of its body")
	}
	if p.Of != "" {
		if k, _ := t.id.Cursor().Seek(pieceKey(p.Of, seq)); !bytes.Equal(k, pieceKey(p.Of, seq)) {
			c.add(seq, p.Of, "it is not listed under its subject")
		}
	}
	h := tlog.RecordHash(p.Leaf[:])
	if !whole && t.treeHash(seq, 0) != h {
		c.leaf(t, seq, p.Of, nil)
		return true
	}
	c.leaf(t, seq, p.Of, &h)
	return true
}

// leaf recomputes the hashes that the leaf completes. Without a leaf to trust, the tree's own is used: what is bad has
// been said, and the hashes above it are not bad as well.
func (c *chainCheck) leaf(t *txn, seq uint64, of call.ID, h *tlog.Hash) {
	if h == nil {
		h = new(t.treeHash(seq, 0))
	}
	sum, top := *h, bits.TrailingZeros64(seq+1)
	for level := range top + 1 {
		if level > 0 {
			sum = tlog.NodeHash(c.last[level-1], sum)
		}
		if t.treeHash(seq, level) != sum {
			c.add(seq, of, "the tree's hash of level %d is another", level)
		}
	}
	c.last[top] = sum
}

// treeHash is a stored hash that the leaf completed; zero if it is missing.
func (t *txn) treeHash(seq uint64, level int) (h tlog.Hash) {
	at := uint64(tlog.StoredHashIndex(0, int64(seq))) + uint64(level)
	copy(h[:], t.tree.Get(seqKey(at)))
	return h
}

func (c *chainCheck) add(seq uint64, of call.ID, format string, args ...any) {
	c.bad = append(c.bad, Bad{Seq: seq, Of: of, What: fmt.Sprintf(format, args...)})
}
