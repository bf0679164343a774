package store

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/siaga112/siaga112/call"
)

// subjects checks every subject that has a sealed piece. What costs is reading the entries' JSON: it is done on all
// processors, between the read transactions.
func (v *verifier) subjects(ctx context.Context) error {
	var from []byte
	var rows []*subjectRows
	return v.s.views(ctx, func(t *txn) (more bool, err error) {
		rows, more = t.subjectRows(&from)
		return more, nil
	}, func() bool {
		checkAll(rows)
		v.take(rows)
		return true
	})
}

// subjectRows is what is stored of one sealed subject, and what is bad about it.
type subjectRows struct {
	id     call.ID
	pieces []call.Sealed
	todo   []byte
	live   bool
	keys   [][]byte // of idx, as they should be

	ended int
	bad   []Bad
}

func (r *subjectRows) add(seq uint64, format string, args ...any) {
	r.bad = append(r.bad, Bad{Seq: seq, Of: r.id, What: fmt.Sprintf(format, args...)})
}

// subjectRows copies the rows of the next subjects, each whole, and moves from.
func (t *txn) subjectRows(from *[]byte) (rows []*subjectRows, more bool) {
	var n chunk
	c := t.id.Cursor()
	k, _ := c.Seek(*from)
	for k != nil {
		r := &subjectRows{id: call.ID(k[:min(idLen, len(k))])}
		of := []byte(r.id)
		for ; bytes.HasPrefix(k, of); k, _ = c.Next() {
			t.addPiece(r, k)
		}
		r.todo = bytes.Clone(t.todo.Get(of))
		r.live = t.lastLive(r.id) > 0
		rows = append(rows, r)
		size := 0
		for _, p := range r.pieces {
			size += len(p.Body)
		}
		if n.full(size) {
			*from = bytes.Clone(k)
			return rows, k != nil
		}
	}
	return rows, false
}

func (t *txn) addPiece(r *subjectRows, key []byte) {
	id, seq, ok := splitPieceKey(key)
	if !ok {
		r.add(NoSeq, "the list of pieces has a key %x", key)
		return
	}
	v := t.rec.Get(seqKey(seq))
	if v == nil {
		r.add(seq, "it is listed, but there is no such record")
		return
	}
	p, err := readRec(seq, v)
	if err != nil {
		p.Of = "" // said by the chain's check
	} else if p.Of != id {
		r.add(seq, "it is listed, but the record is of %s", p.Of)
		return
	}
	r.pieces = append(r.pieces, p)
}

func checkAll(rows []*subjectRows) {
	var wg sync.WaitGroup
	part := (len(rows) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	for some := range slices.Chunk(rows, max(1, part)) {
		wg.Go(func() {
			for _, r := range some {
				r.check()
			}
		})
	}
	wg.Wait()
}

// check is pure: it holds each record against the fold of all entries up to it.
func (r *subjectRows) check() {
	if r.live {
		r.add(NoSeq, "it is sealed and lives")
	}
	var all []call.Entry
	var record call.Record
	for i, p := range r.pieces {
		first, lines := splitBody(p.Body)
		entries, err := r.entries(p.Seq, lines, len(all))
		if err != nil {
			r.add(p.Seq, "%v", err)
			return
		}
		all = append(all, entries...)
		r.checkEnd(p.Seq, i == 0, entries)
		record = call.Fold(slices.Values(all))
		want, err := call.AppendRecord(nil, record)
		if err != nil || !bytes.Equal(want, first) {
			r.add(p.Seq, "its first line is not the fold of its entries")
		}
		if i == 0 && r.id.Kind() == call.Call {
			r.keys = idxKeys(record, p.Seq)
		}
	}
	if r.id.Kind() == call.Call && r.ended != 1 && len(r.pieces) > 0 {
		r.add(r.pieces[0].Seq, "it has %d entries that end it", r.ended)
	}
	if len(all) > 0 && todoText(record) != string(r.todo) {
		r.add(r.pieces[0].Seq, "%q is noted as what is to do, it should be %q", r.todo, todoText(record))
	}
}

// entries reads a piece's lines; has is how many the pieces before it have.
func (r *subjectRows) entries(seq uint64, lines [][]byte, has int) ([]call.Entry, error) {
	if len(lines) == 0 {
		return nil, fmt.Errorf("%w: it has no entry", call.ErrFormat)
	}
	es := make([]call.Entry, 0, len(lines))
	for i, l := range lines {
		e, err := call.ParseEntry(l)
		if err != nil {
			return nil, err
		}
		if want := uint32(has + i + 1); e.N != want || e.Of != r.id {
			r.add(seq, "entry %d is %s %d", want, e.Of, e.N)
		}
		es = append(es, e)
	}
	return es, nil
}

// checkEnd: a subject's first piece ends with what seals it.
func (r *subjectRows) checkEnd(seq uint64, first bool, es []call.Entry) {
	for _, e := range es {
		if _, ok := e.Event.(call.Ended); ok {
			r.ended++
		}
	}
	if first && !begins(es[0]) {
		r.add(seq, "its entry 1 does not begin it")
	}
	if last := es[len(es)-1]; first && !seals(r.id, last.Event) {
		r.add(seq, "its last entry does not end it")
	}
}

// take adds up what the checks found, and looks for the keys of idx. Pieces that came after the start do not count.
func (v *verifier) take(rows []*subjectRows) {
	for _, r := range rows {
		v.report.Bad = append(v.report.Bad, r.bad...)
		if len(r.pieces) == 0 || r.pieces[0].Seq >= v.size {
			continue
		}
		v.keys += uint64(len(r.keys))
		v.unsure = v.unsure || len(r.bad) > 0
		if r.id.Kind() == call.Call {
			v.report.Ended++
		}
	}
	err := v.s.view(func(t *txn) error {
		c := t.idx.Cursor()
		for _, r := range rows {
			for _, want := range r.keys {
				if k, _ := c.Seek(want); !bytes.Equal(k, want) {
					v.bad(r.pieces[0].Seq, r.id, "the index does not find it")
				}
			}
		}
		return nil
	})
	if err != nil {
		v.bad(NoSeq, "", "the index cannot be read: %v", err)
	}
}
