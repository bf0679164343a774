package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
)

// NoSeq is the Seq of a Bad that is about no record.
const NoSeq = audit.NoSeq

// Bad is one thing that is not as it was written.
type Bad = audit.Bad

// Report is what Verify found.
type Report struct {
	Arrived     uint64 // calls, as the ledger counted them
	Ended       uint64 // calls with a sealed record
	Live        uint64 // calls that have not ended
	Records     uint64 // sealed pieces
	Erased      uint64 // of them: gone on an order, as an act says
	Expired     uint64 // of them: gone after their time, as an act says
	Checkpoints uint64 // stored ones
	Root        tlog.Hash
	Bad         []Bad // by Seq; empty: all is as it was written
}

// OK tells whether nothing is bad.
func (r Report) OK() bool { return len(r.Bad) == 0 }

// Verify recomputes everything that can be recomputed from the records as they are when it starts: leaves, tree,
// folds, numbers, counters, indexes, what erasures took, and what stored checkpoints say of the tree. It goes on past
// what is bad and reports all of it. The gateway may run meanwhile. Beside the records it needs 24 bytes of memory for each.
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
	if err := v.passes(ctx); err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	for _, step := range []func(context.Context) error{v.exactly, v.indexes, v.erasures, v.lives, v.checkpoints} {
		if err := step(ctx); err != nil {
			return Report{}, fmt.Errorf("verify: %w", err)
		}
	}
	v.totals()
	slices.SortStableFunc(v.report.Bad, func(a, b Bad) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Of, b.Of))
	})
	v.report.Bad = slices.Compact(v.report.Bad)
	return v.report, nil
}

// verifier is one Verify.
type verifier struct {
	s      *Store
	size   uint64 // pieces when it started
	ended  uint64 // the counter
	list   list
	index  keySum // of idx, as it is
	keys   keySum // of idx, as it should be
	erased []uint64
	acts   map[string][]audit.Range // by Acted.What
	doubt  map[call.ID]bool         // subjects that are looked at again, one by one
	report Report
}

func (v *verifier) bad(seq uint64, of call.ID, format string, args ...any) {
	v.report.Bad = append(v.report.Bad, Bad{Seq: seq, Of: of, What: fmt.Sprintf(format, args...)})
}

// passes walks each bucket once, in order of its keys: id with todo, then rec; beside them idx, and rec with tree.
func (v *verifier) passes(ctx context.Context) error {
	var chain chainCheck
	var chainErr, indexErr error
	var wg sync.WaitGroup
	v.doubt, v.acts = map[call.ID]bool{}, map[string][]audit.Range{}
	v.index, v.keys = newKeySums()
	wg.Go(func() { indexErr = v.sumIndex(ctx) })
	err := v.lists(ctx)
	wg.Go(func() { chainErr = chain.run(ctx, v.s, v.size) })
	if err == nil {
		err = v.records(ctx)
	}
	wg.Wait()
	v.report.Root = chain.root
	v.report.Bad = append(v.report.Bad, chain.bad...)
	return cmp.Or(err, chainErr, indexErr)
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
func (v *verifier) lives(context.Context) error {
	for es, err := range v.s.Live() { //nolint:contextcheck // short: only what lives now
		if err != nil {
			v.bad(NoSeq, "", "%v", err)
			continue
		}
		of := es[0].Of
		if es[0].N > 1 || !es[0].Begins() {
			v.bad(NoSeq, of, "live entry 1 does not begin it")
		}
		for i, e := range es {
			if e.Of != of || e.N != uint32(i)+1 {
				v.bad(NoSeq, of, "live entry %d is %s %d", i+1, e.Of, e.N)
			}
			if e.Seals() {
				v.bad(NoSeq, of, "entry %d ends it, yet it lives", e.N)
			}
		}
	}
	return v.s.view(func(t *txn) error {
		var last []byte
		c := t.live.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			of := k[:min(idLen, len(k))]
			if string(of) == string(last) {
				continue
			}
			last = of
			if t.isSealed(of) {
				v.bad(NoSeq, call.ID(of), "it is sealed and lives")
			}
		}
		return nil
	})
}

func (t *txn) isSealed(of []byte) bool {
	k, _ := t.id.Cursor().Seek(of)
	return len(k) >= len(of) && string(k[:len(of)]) == string(of)
}
