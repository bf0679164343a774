package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	"github.com/siaga112/siaga112/call"
)

// Query says which ended calls Find looks for.
type Query struct {
	From, To time.Time // of arrival: From is in, To is not; a zero one does not bound
	Number   string    // the caller's; "" is any. Of a number over 256 bytes only the beginning counts
	Newest   bool      // the latest arrival first
}

// findRows is how many rows the first transaction of Find reads; each further one twice as many.
const findRows = 64

// Find yields the ended calls that the query names, in order of arrival. A call that ends meanwhile may be missing.
func (s *Store) Find(ctx context.Context, q Query) iter.Seq2[call.ID, error] {
	prefix := idxPrefix(fieldArrival, "")
	if q.Number != "" {
		prefix = idxPrefix(fieldNumber, q.Number)
	}
	low, high := prefix, after(prefix)
	if !q.From.IsZero() {
		low = appendTime(bytes.Clone(prefix), q.From)
	}
	if !q.To.IsZero() {
		high = appendTime(bytes.Clone(prefix), q.To)
	}
	return func(yield func(call.ID, error) bool) {
		f := finder{keyLen: len(prefix) + timeLen + seqLen, low: low, high: high, newest: q.Newest, rows: findRows}
		pull(ctx, s, f.chunk)(yield)
	}
}

// finder walks the keys of idx in [low, high); each chunk narrows them to what is left.
type finder struct {
	keyLen    int // keys of another length are those of a longer value
	low, high []byte
	newest    bool
	rows      int // of the next transaction: few at first, as many ask for one page of calls only
}

func (f *finder) chunk(t *txn, add func(call.ID, error)) (more bool, err error) {
	var n chunk
	c := t.idx.Cursor()
	for k := f.first(c.Seek, c.Last, c.Prev); k != nil && bytes.Compare(k, f.low) >= 0 && bytes.Compare(k, f.high) < 0; {
		if len(k) == f.keyLen {
			add(t.found(binary.BigEndian.Uint64(k[f.keyLen-seqLen:])))
		}
		if n.full(0) || n.rows == f.rows {
			f.rows *= 2
			f.narrow(k)
			return true, nil
		}
		if f.newest {
			k, _ = c.Prev()
		} else {
			k, _ = c.Next()
		}
	}
	return false, nil
}

// first is where a walk begins: the least key of the range, or the greatest.
func (f *finder) first(seek func([]byte) (k, v []byte), last, prev func() (k, v []byte)) []byte {
	if !f.newest {
		k, _ := seek(f.low)
		return k
	}
	if k, _ := seek(f.high); k == nil {
		k, _ = last()
		return k
	}
	k, _ := prev()
	return k
}

// narrow leaves out what has been walked, up to and with k.
func (f *finder) narrow(k []byte) {
	if f.newest {
		f.high = bytes.Clone(k)
		return
	}
	f.low = append(bytes.Clone(k), 0)
}

func (t *txn) found(seq uint64) (call.ID, error) {
	v := t.rec.Get(seqKey(seq))
	if v == nil {
		return "", fmt.Errorf("find: %w: record %d is missing", call.ErrFormat, seq)
	}
	if len(v) < headLen {
		return "", fmt.Errorf("find: %w: record %d is found, but erased", call.ErrFormat, seq)
	}
	return bodyOf(seq, v[headLen:])
}
