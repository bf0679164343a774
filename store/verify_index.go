package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
)

// sumIndex adds up the keys of idx that find a record below size.
func (v *verifier) sumIndex(ctx context.Context) error {
	return v.walkIndex(ctx, func(_ *txn, k []byte) { v.index.add(k) })
}

// walkIndex hands over each key of idx that is not of a record which came after the start.
func (v *verifier) walkIndex(ctx context.Context, f func(t *txn, k []byte)) error {
	var from []byte
	return v.s.views(ctx, func(t *txn) (bool, error) {
		c := t.idx.Cursor()
		n := 0
		for k, _ := c.Seek(from); k != nil; k, _ = c.Next() {
			if len(k) < seqLen || binary.BigEndian.Uint64(k[len(k)-seqLen:]) < v.size {
				f(t, k)
			}
			if n++; n == verifyRows {
				from = append(bytes.Clone(k), 0)
				return true, nil
			}
		}
		return false, nil
	}, func() bool { return true })
}

// indexes holds the sums of idx against each other. Where they differ each call is looked for, and each key's call: the
// store may have changed meanwhile, or something is bad.
func (v *verifier) indexes(ctx context.Context) error {
	if v.keys == v.index {
		return nil
	}
	from := uint64(0)
	err := v.s.views(ctx, func(t *txn) (bool, error) {
		c := t.rec.Cursor()
		n := 0
		for k, row := c.Seek(seqKey(from)); len(k) == seqLen; k, row = c.Next() {
			seq := binary.BigEndian.Uint64(k)
			if seq >= v.size {
				return false, nil
			}
			id, keys := t.keysOf(seq, row)
			for _, want := range keys {
				if k, _ := t.idx.Cursor().Seek(want); !bytes.Equal(k, want) {
					v.bad(seq, id, "the index does not find it")
				}
			}
			if n++; n == verifyRows {
				from = seq + 1
				return true, nil
			}
		}
		return false, nil
	}, func() bool { return true })
	if err != nil {
		return err
	}
	return v.walkIndex(ctx, v.strayKey)
}

// keysOf are the keys of idx that should find the record: none but for the first piece of a call.
func (t *txn) keysOf(seq uint64, row []byte) (call.ID, [][]byte) {
	of, ok := rowSubject(row)
	if !ok || of[0] != call.Call {
		return "", nil
	}
	id := call.ID(of)
	if k, _ := t.id.Cursor().Seek(of); !bytes.Equal(k, pieceKey(id, seq)) {
		return id, nil
	}
	var checker audit.Checker
	got := checker.Check(id, []call.Sealed{{Seq: seq, Of: id, Body: row[headLen:]}})
	if got.First.Of != id {
		return id, nil
	}
	return id, idxKeys(got.First, seq)
}

// strayKey says of a key that it finds no record, or one that it should not find.
func (v *verifier) strayKey(t *txn, k []byte) {
	if len(k) < seqLen {
		v.bad(NoSeq, "", "the index has a key %x, which is of no record", k)
		return
	}
	seq := binary.BigEndian.Uint64(k[len(k)-seqLen:])
	row := t.rec.Get(seqKey(seq))
	if len(row) == leafLen {
		v.bad(seq, "", "the index still has a key of it, and it is erased")
		return
	}
	id, keys := t.keysOf(seq, row)
	known := slices.ContainsFunc(v.report.Bad, func(b Bad) bool { return b.Seq == seq })
	if !known && !slices.ContainsFunc(keys, func(want []byte) bool { return bytes.Equal(k, want) }) {
		v.bad(seq, id, "the index has a key %x, which does not fit it", k)
	}
}
