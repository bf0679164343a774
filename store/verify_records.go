package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
)

// rowSubject reads the subject of a row of rec; ok is false where none can be read.
func rowSubject(row []byte) (id []byte, ok bool) {
	if len(row) < headLen {
		return nil, false
	}
	return audit.BodyOf(row[headLen:])
}

// records checks every record. What costs is its hash and the JSON of its entries: each processor takes the next rows,
// with a transaction of its own, and looks at them where they lie.
func (v *verifier) records(ctx context.Context) error {
	var next atomic.Uint64
	workers := make([]*recordsWorker, runtime.GOMAXPROCS(0))
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i := range workers {
		_, keys := newKeySums()
		keys.seed = v.keys.seed
		w := &recordsWorker{size: v.size, list: v.list.view(), keys: keys}
		workers[i] = w
		wg.Go(func() {
			for errs[i] == nil {
				from := next.Add(verifyRows) - verifyRows
				if from >= v.size {
					return
				}
				if errs[i] = ctx.Err(); errs[i] == nil {
					errs[i] = v.s.view(func(t *txn) error { w.chunk(t, from, &next); return nil })
				}
			}
		})
	}
	wg.Wait()
	for i, w := range workers {
		if errs[i] != nil {
			return errs[i]
		}
		v.report.Bad = append(v.report.Bad, w.bad...)
		v.erased = append(v.erased, w.erased...)
		v.keys.sum += w.keys.sum
		v.keys.n += w.keys.n
		for _, id := range w.doubt {
			v.doubt[id] = true
		}
		for _, a := range w.acts {
			v.act(a)
		}
	}
	return nil
}

// act notes which records an act took away.
func (v *verifier) act(a call.Acted) {
	if a.What != audit.ActErased && a.What != audit.ActExpired {
		return
	}
	if rs, ok := audit.Erased(a.Detail); ok {
		v.acts[a.What] = append(v.acts[a.What], rs...)
	}
}

// recordsWorker checks rows of rec. Where listing and record do not fit it only doubts: exactly finds out why.
type recordsWorker struct {
	size    uint64
	list    list
	checker audit.Checker
	keys    keySum
	key     []byte
	pieces  []call.Sealed

	bad    []Bad
	erased []uint64
	acts   []call.Acted
	doubt  []call.ID

	rows  [][]byte // of this chunk, by seq - from
	from  uint64
	ahead ahead
}

func (w *recordsWorker) add(seq uint64, of call.ID, format string, args ...any) {
	w.bad = append(w.bad, Bad{Seq: seq, Of: of, What: fmt.Sprintf(format, args...)})
}

// chunk checks the rows from a seq on. Where none are near, it moves next on to those that are.
func (w *recordsWorker) chunk(t *txn, from uint64, next *atomic.Uint64) {
	w.from, w.rows = from, w.rows[:0]
	until := min(from+verifyRows, w.size)
	c := t.rec.Cursor()
	k, row := c.Seek(seqKey(from))
	for ; k != nil; k, row = c.Next() {
		if len(k) != seqLen {
			continue
		}
		seq := binary.BigEndian.Uint64(k)
		if seq >= until {
			break
		}
		for uint64(len(w.rows)) < seq-from {
			w.rows = append(w.rows, nil)
		}
		w.rows = append(w.rows, row)
		w.ahead.at(row)
	}
	if len(w.rows) == 0 {
		to := w.size
		if len(k) == seqLen {
			to = min(to, binary.BigEndian.Uint64(k)/verifyRows*verifyRows)
		}
		raise(next, to)
		return
	}
	for i, row := range w.rows {
		if row != nil {
			w.record(t, from+uint64(i), row)
		}
	}
}

// raise makes a number at least to.
func raise(n *atomic.Uint64, to uint64) {
	for {
		at := n.Load()
		if at >= to || n.CompareAndSwap(at, to) {
			return
		}
	}
}

// record checks one row, and with the first piece of a subject all of its pieces.
func (w *recordsWorker) record(t *txn, seq uint64, row []byte) {
	e := w.list.at(seq, false)
	if e != nil {
		e.seen = true
	}
	if len(row) == leafLen {
		w.erased = append(w.erased, seq)
		if e == nil || e.subject == 0 {
			w.add(seq, "", "it is erased, and not listed under any subject")
		}
		if e != nil && e.subject != 0 && !e.later {
			w.restOfErased(t, e)
		}
		return
	}
	id, ok := rowSubject(row)
	if !ok {
		_, err := readRec(seq, row)
		w.add(seq, "", "%v", err)
	}
	if len(row) >= headLen && sha256.Sum256(row[leafLen:]) != [32]byte(row) {
		w.add(seq, call.ID(id), "its leaf is not the hash of its body")
	}
	switch {
	case !ok:
	case e == nil || e.subject != w.list.hash(id):
		w.doubt = append(w.doubt, call.ID(id))
	case !e.later:
		w.subject(t, seq, call.ID(id), row, e)
	}
}

// restOfErased checks the pieces of a subject whose first is erased.
func (w *recordsWorker) restOfErased(t *txn, e *listed) {
	for at := e.next; at != 0; {
		row := w.row(t, at)
		if id, ok := rowSubject(row); ok {
			w.doubt = append(w.doubt, call.ID(id))
			return
		}
		next := w.list.at(at, false)
		if next == nil {
			return
		}
		at = next.next
	}
}

func (w *recordsWorker) row(t *txn, seq uint64) []byte {
	if seq >= w.from && seq-w.from < uint64(len(w.rows)) {
		return w.rows[seq-w.from]
	}
	return t.rec.Get(seqKey(seq))
}

// subject checks a subject as its pieces are listed.
func (w *recordsWorker) subject(t *txn, seq uint64, id call.ID, row []byte, e *listed) {
	todo, whole := w.list.todos[e.todo], true
	w.pieces = append(w.pieces[:0], call.Sealed{Seq: seq, Of: id, Body: row[headLen:]})
	for at := e.next; at != 0; {
		row, next := w.row(t, at), w.list.at(at, false)
		if next == nil || len(row) < headLen && len(row) != leafLen {
			w.doubt = append(w.doubt, id)
			return
		}
		p := call.Sealed{Seq: at, Of: id}
		if len(row) == leafLen {
			whole = false
		} else if p.Body = row[headLen:]; !bytes.HasPrefix(p.Body[min(len(p.Body), len(`{"of":"`)):], []byte(id)) {
			w.doubt = append(w.doubt, id)
			return
		}
		w.pieces = append(w.pieces, p)
		at = next.next
	}
	got := w.checker.Check(id, w.pieces)
	w.bad = append(w.bad, got.Bad...)
	w.acts = append(w.acts, got.Acts...)
	if len(got.Bad) == 0 && whole && todoText(got.Last) != todo {
		w.add(seq, id, "%q is noted as what is to do, it should be %q", todo, todoText(got.Last))
	}
	if e.call && got.First.Of == id {
		w.sum(got.First, seq)
	}
}

// sum adds the keys of idx that find the call.
func (w *recordsWorker) sum(r call.Record, seq uint64) {
	w.key = appendIdx(w.key[:0], fieldArrival, "", r, seq)
	w.keys.add(w.key)
	if r.Caller.Number != "" {
		w.key = appendIdx(w.key[:0], fieldNumber, r.Caller.Number, r, seq)
		w.keys.add(w.key)
	}
}

// appendIdx appends what idxKey makes.
func appendIdx(b []byte, field byte, value string, r call.Record, seq uint64) []byte {
	b = append(append(append(b, field, 0), value[:min(len(value), numberMax)]...), 0)
	return binary.BigEndian.AppendUint64(appendTime(b, r.FirstAt), seq)
}
