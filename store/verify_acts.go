package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
)

// erasures holds what is gone against the acts that took it away.
func (v *verifier) erasures(ctx context.Context) error {
	slices.Sort(v.erased)
	acts := v.union()
	if slices.ContainsFunc(v.erased, func(seq uint64) bool { return !audit.Holds(acts, seq) }) {
		// It may have gone meanwhile: its act is then behind the records that were there at the start.
		if err := v.lateActs(ctx); err != nil {
			return err
		}
	}
	before := acts
	acts = v.union()
	expired := audit.Union(v.acts[audit.ActExpired])
	for _, seq := range v.erased {
		switch {
		case !audit.Holds(acts, seq):
			v.bad(seq, "", "it is gone, and no act erased it")
		case audit.Holds(expired, seq):
			v.report.Expired++
		default:
			v.report.Erased++
		}
	}
	for _, r := range before {
		for seq := r.First; seq <= r.Last && seq < v.size; seq++ {
			if _, gone := slices.BinarySearch(v.erased, seq); !gone {
				v.bad(seq, "", "an act erased it, and it is there")
			}
		}
		if r.Last >= v.size {
			v.bad(NoSeq, "", "an act erased the records %d-%d, and there are only %d", r.First, r.Last, v.size)
		}
	}
	return nil
}

func (v *verifier) union() []audit.Range {
	return audit.Union(append(slices.Clone(v.acts[audit.ActErased]), v.acts[audit.ActExpired]...))
}

// lateActs reads the acts that came after the start.
func (v *verifier) lateActs(ctx context.Context) error {
	var checker audit.Checker
	for p, err := range v.s.Scan(ctx, v.size) {
		if err != nil {
			return err
		}
		if p.Of.Kind() == call.Act && len(p.Body) > 0 {
			for _, a := range checker.Check(p.Of, []call.Sealed{p}).Acts {
				v.act(a)
			}
		}
	}
	return nil
}

// checkpoints holds the stored checkpoints against the tree, whose hashes have been verified, and the records.
func (v *verifier) checkpoints(ctx context.Context) error {
	ended := v.endedAt()
	var from []byte
	return v.s.views(ctx, func(t *txn) (bool, error) {
		key, keyErr := t.verifierKey()
		c := t.check.Cursor()
		n := 0
		for k, signed := c.Seek(from); k != nil; k, signed = c.Next() {
			v.report.Checkpoints++
			if keyErr != nil {
				v.bad(NoSeq, "", "the key of the checkpoints: %v", keyErr)
				return false, nil
			}
			v.checkpoint(t, k, signed, key, ended)
			if n++; n == verifyRows {
				from = append(bytes.Clone(k), 0)
				return true, nil
			}
		}
		return false, nil
	}, func() bool { return true })
}

func (v *verifier) checkpoint(t *txn, k, signed []byte, key note.Verifier, ended func(uint64) uint64) {
	if len(k) != seqLen {
		v.bad(NoSeq, "", "the checkpoints have a key %x, which is no number of records", k)
		return
	}
	size := binary.BigEndian.Uint64(k)
	at, err := audit.OpenCheckpoint(signed, key)
	switch {
	case err != nil:
		v.bad(NoSeq, "", "checkpoint %d: %v", size, err)
		return
	case at.Size != size:
		v.bad(NoSeq, "", "checkpoint %d: it is of %d records", size, at.Size)
		return
	case at.Size > t.count(metaSize):
		v.bad(NoSeq, "", "checkpoint %d: there are only %d records: some are gone from the end", size, t.count(metaSize))
		return
	case at.Origin != key.Name():
		v.bad(NoSeq, "", "checkpoint %d: it is of the ledger %s", size, at.Origin)
	}
	if now := t.count(metaArrived); at.Arrived > now {
		v.bad(NoSeq, "", "checkpoint %d: %d calls had arrived, the counter says %d: a call was hidden", size, at.Arrived, now)
	}
	if at.Size <= v.size && at.Ended != ended(at.Size) {
		v.bad(NoSeq, "", "checkpoint %d: %d calls had ended, the records say %d", size, at.Ended, ended(at.Size))
	}
	root, err := tlog.TreeHash(int64(at.Size), tlog.HashReaderFunc(t.readHashes))
	if err != nil || root != at.Root {
		v.bad(NoSeq, "", "checkpoint %d of %s: its root is another: the history was rewritten", size, at.Time.Format("2006-01-02 15:04"))
	}
}

// endedAt tells how many calls had ended when there were so many records. It is asked in ascending order.
func (v *verifier) endedAt() func(size uint64) uint64 {
	l, next, n := v.list.view(), uint64(0), uint64(0)
	return func(size uint64) uint64 {
		for ; next < size; next++ {
			if e := l.at(next, false); e != nil && e.call {
				n++
			}
		}
		return n
	}
}
