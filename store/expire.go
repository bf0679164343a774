package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
)

// chunkExpire is how many calls one transaction lets expire at most.
const chunkExpire = 256

// Expire erases the calls that arrived before a time, but for those that are held, as Erase does; the acts are audit.ActExpired, and
// why stands in them. A call that has not ended stays. After a crash it is to be run again.
func (s *Store) Expire(ctx context.Context, before time.Time, why string) (Erased, error) {
	var done Erased
	var from []byte
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		var ids []call.ID
		err := s.view(func(t *txn) (err error) {
			ids, from, err = t.old(from, before)
			return err
		})
		if err == nil && len(ids) > 0 {
			err = (&tombs{s: s, what: audit.ActExpired, reason: why, order: "retention", ids: ids}).run(&done)
		}
		if err != nil {
			return done, fmt.Errorf("expire: %w", err)
		}
		more = from != nil
	}
	return done, nil
}

// old are the next calls that arrived before a time and are not held, and where to go on; nil: there are no more.
func (t *txn) old(from []byte, before time.Time) (ids []call.ID, next []byte, err error) {
	prefix := idxPrefix(fieldArrival, "")
	end := appendTime(bytes.Clone(prefix), before)
	if from == nil {
		from = prefix
	}
	c := t.idx.Cursor()
	for k, _ := c.Seek(from); bytes.HasPrefix(k, prefix) && bytes.Compare(k, end) < 0; k, _ = c.Next() {
		if len(ids) == chunkExpire {
			return ids, bytes.Clone(k), nil
		}
		seq := binary.BigEndian.Uint64(k[len(k)-seqLen:])
		p, err := readRec(seq, t.rec.Get(seqKey(seq)))
		if err != nil {
			return nil, nil, err
		}
		held, err := t.keeps(p)
		if err != nil {
			return nil, nil, err
		}
		if !held {
			ids = append(ids, p.Of)
		}
	}
	return ids, nil, nil
}

// keeps tells whether a hold keeps a call, by its first piece.
func (t *txn) keeps(p call.Sealed) (bool, error) {
	if _, held, err := t.heldCall(p.Of); held || err != nil {
		return held, err
	}
	r, err := call.ParseRecord(p.Body)
	if err != nil || r.Caller.Number == "" {
		return false, err
	}
	_, held, err := t.heldNumber(r.Caller.Number)
	return held, err
}
