package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

// How much one short read transaction reads.
const (
	chunkRows  = 512
	chunkBytes = 1 << 20
)

// chunk counts what a read transaction has read.
type chunk struct{ rows, bytes int }

// full adds a row and tells whether the transaction should end.
func (c *chunk) full(n int) bool {
	c.rows++
	c.bytes += n
	return c.rows >= chunkRows || c.bytes >= chunkBytes
}

// pull makes a sequence out of a chunked read: f reads a chunk from where the last one ended. Between chunks, while the
// consumer runs, no transaction is open.
func pull[T any](ctx context.Context, s *Store, f func(t *txn, add func(T, error)) (more bool, err error)) iter.Seq2[T, error] {
	type item struct {
		v   T
		err error
	}
	return func(yield func(T, error) bool) {
		var items []item
		add := func(v T, err error) { items = append(items, item{v, err}) }
		stopped := false
		err := s.views(ctx, func(t *txn) (bool, error) { return f(t, add) }, func() bool {
			for _, it := range items {
				if stopped = !yield(it.v, it.err); stopped {
					return false
				}
			}
			items = items[:0]
			return true
		})
		if err != nil && !stopped {
			var none T
			yield(none, err)
		}
	}
}

// Live yields the entries of every subject that has not ended, in order of N, subject by subject in order of their
// ids. A subject that cannot be read is an error, after which the others follow.
func (s *Store) Live() iter.Seq2[[]call.Entry, error] {
	return func(yield func([]call.Entry, error) bool) {
		var from []byte
		rows := pull(context.Background(), s, func(t *txn, add func([]call.Entry, error)) (bool, error) {
			return t.liveChunk(&from, add)
		})
		rows(yield)
	}
}

// liveChunk reads whole subjects from *from on and moves it.
func (t *txn) liveChunk(from *[]byte, add func([]call.Entry, error)) (more bool, err error) {
	var n chunk
	c := t.live.Cursor()
	k, v := c.Seek(*from)
	for k != nil {
		of := bytes.Clone(k[:min(idLen, len(k))])
		var es []call.Entry
		var bad error
		size := 0
		for ; bytes.HasPrefix(k, of); k, v = c.Next() {
			e, err := call.ParseEntry(v)
			if err != nil && bad == nil {
				bad = fmt.Errorf("live %s: %w", of, err)
			}
			es, size = append(es, e), size+len(v)
		}
		if bad != nil {
			es = nil
		}
		add(es, bad)
		*from = bytes.Clone(k)
		if n.full(size) {
			return k != nil, nil
		}
	}
	return false, nil
}

// Kept yields every dialog that is kept, in order of call and leg.
func (s *Store) Kept() iter.Seq2[call.LegID, []byte] {
	type kept struct {
		leg    call.LegID
		dialog []byte
	}
	return func(yield func(call.LegID, []byte) bool) {
		var from []byte
		rows := pull(context.Background(), s, func(t *txn, add func(kept, error)) (bool, error) {
			var n chunk
			c := t.leg.Cursor()
			for k, v := c.Seek(from); k != nil; k, v = c.Next() {
				add(kept{legOf(k), bytes.Clone(v)}, nil)
				if n.full(len(v)) {
					from = append(bytes.Clone(k), 0)
					return true, nil
				}
			}
			return false, nil
		})
		for row, err := range rows {
			if err != nil {
				s.o.Log.Error("store: kept dialogs", zap.Error(err))
				return
			}
			if !yield(row.leg, row.dialog) {
				return
			}
		}
	}
}

// Todo yields the ended calls that still wait for something (Record.Open), in order of their ids.
func (s *Store) Todo(ctx context.Context) iter.Seq2[call.ID, error] {
	return func(yield func(call.ID, error) bool) {
		var from []byte
		rows := pull(ctx, s, func(t *txn, add func(call.ID, error)) (bool, error) {
			var n chunk
			c := t.todo.Cursor()
			for k, _ := c.Seek(from); k != nil; k, _ = c.Next() {
				add(call.ID(k), nil)
				if n.full(0) {
					from = append(bytes.Clone(k), 0)
					return true, nil
				}
			}
			return false, nil
		})
		rows(yield)
	}
}

// Scan yields the sealed pieces from seq on, in order, up to the last there is when it gets there. A damaged one comes
// with an error that wraps call.ErrFormat, after which the others follow; any other error ends it.
func (s *Store) Scan(ctx context.Context, from uint64) iter.Seq2[call.Sealed, error] {
	return func(yield func(call.Sealed, error) bool) {
		next := from
		var ahead ahead
		rows := pull(ctx, s, func(t *txn, add func(call.Sealed, error)) (bool, error) {
			var n chunk
			c := t.rec.Cursor()
			for k, v := c.Seek(seqKey(next)); k != nil; k, v = c.Next() {
				if len(k) != seqLen {
					continue
				}
				seq := binary.BigEndian.Uint64(k)
				ahead.at(v)
				add(readRec(seq, v))
				next = seq + 1
				if n.full(len(v)) {
					return true, nil
				}
			}
			return false, nil
		})
		rows(yield)
	}
}

// Pieces are the sealed pieces of a subject, in order: the whole of it when it ended, then its amendments. None for a
// subject that lives or does not exist.
func (s *Store) Pieces(id call.ID) ([]call.Sealed, error) {
	if err := checkID(id); err != nil {
		return nil, fmt.Errorf("pieces: %w", err)
	}
	var ps []call.Sealed
	err := s.view(func(t *txn) (err error) {
		ps, err = t.pieces(id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pieces: %w", err)
	}
	return ps, nil
}
