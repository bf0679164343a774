package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
)

// Latest yields the pieces [from, size) in chunks, each read in one short transaction, for those who need of every call
// what is known of it now: Body is the record of its last piece before size (one line with its newline), Seq and Leaf
// are those of its first piece, where it stands in the order. Of is left out: Body says it. Pieces of shifts and acts are
// left out, and so are amendments. An erased piece has no Body; a call whose first piece is erased is that piece alone.
//
// Before each chunk a commit that is under way is waited for, 4 ms at most.
//
// A chunk is valid until the next one is asked for. The last element of a chunk tells where the next one begins: at its
// Seq + 1; where a chunk would be empty, it does not come. An error ends it, and wraps call.ErrFormat where a record is
// damaged.
func (s *Store) Latest(ctx context.Context, from, size uint64) iter.Seq2[[]call.Sealed, error] {
	return func(yield func([]call.Sealed, error) bool) {
		r := rows{next: from, size: size}
		rows := pull(ctx, s, func(t *txn, add func([]call.Sealed, error)) (bool, error) {
			more, err := r.chunk(t)
			if len(r.out) > 0 {
				add(r.out, nil)
			}
			if err != nil { // what was read before it still comes
				add(nil, fmt.Errorf("record %d: %w", r.next, err))
			}
			return more && err == nil, nil
		})
		rows(func(chunk []call.Sealed, err error) bool {
			s.giveWay(ctx)
			return yield(chunk, err)
		})
	}
}

// How long a reader of much waits at most for a commit, before each chunk, and how often it looks.
const (
	wayMost = 8
	wayEach = 500 * time.Microsecond
)

// giveWay lets a commit that is under way end first, for somebody waits for it; but not for long: there may be one after the
// other.
func (s *Store) giveWay(ctx context.Context) {
	for i := 0; i < wayMost && s.busy.Load(); i++ {
		t := time.NewTimer(wayEach)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// rows reads the chunks of Latest.
type rows struct {
	next, size uint64
	ahead      ahead
	out        []call.Sealed // of one chunk
	text       []byte        // its bodies; each is a part of it
}

func (r *rows) chunk(t *txn) (more bool, err error) {
	var n chunk
	r.out, r.text = r.out[:0], r.text[:0]
	c, ids := t.rec.Cursor(), t.id.Cursor()
	for k, v := c.Seek(seqKey(r.next)); k != nil; k, v = c.Next() {
		if len(k) != seqLen {
			continue
		}
		seq := binary.BigEndian.Uint64(k)
		if seq >= r.size {
			return false, nil
		}
		r.next = seq
		r.ahead.at(v)
		read, err := r.piece(t, ids, seq, v)
		if err != nil {
			return false, err
		}
		r.next = seq + 1
		if n.full(read) {
			return true, nil
		}
	}
	return false, nil
}

// piece adds what the piece has to tell and returns how many bytes that were.
func (r *rows) piece(t *txn, ids *bolt.Cursor, seq uint64, v []byte) (read int, err error) {
	if len(v) < leafLen {
		return 0, fmt.Errorf("%w: %d bytes", call.ErrFormat, len(v))
	}
	p := call.Sealed{Seq: seq, Leaf: [leafLen]byte(v)}
	if len(v) == leafLen {
		r.out = append(r.out, p)
		return 0, nil
	}
	of, err := subjectOf(v)
	if err != nil || of[0] != call.Call {
		return 0, err
	}
	k, _ := ids.Seek(of)
	if !bytes.HasPrefix(k, of) || len(k) != idLen+seqLen {
		return 0, fmt.Errorf("%w: it is not among the pieces of %s", call.ErrFormat, of)
	}
	if binary.BigEndian.Uint64(k[idLen:]) != seq {
		return 0, nil
	}
	last := v
	for k, _ = ids.Next(); bytes.HasPrefix(k, of) && len(k) == idLen+seqLen; k, _ = ids.Next() {
		later := binary.BigEndian.Uint64(k[idLen:])
		if later >= r.size {
			break
		}
		w := t.rec.Get(k[idLen:])
		if w == nil {
			return 0, fmt.Errorf("%s: %w: its record %d is missing", of, call.ErrFormat, later)
		}
		if len(w) > leafLen {
			last = w
		}
	}
	if len(last) < headLen {
		return 0, fmt.Errorf("%s: %w: its latest record has %d bytes", of, call.ErrFormat, len(last))
	}
	line := last[headLen:]
	line = line[:bytes.IndexByte(line, '\n')+1]
	if len(line) == 0 {
		return 0, fmt.Errorf("%s: %w: a body has at least two lines", of, call.ErrFormat)
	}
	at := len(r.text)
	r.text = append(r.text, line...) // where it moves, what stands before stays as it is in the old place
	p.Body = r.text[at:len(r.text):len(r.text)]
	r.out = append(r.out, p)
	return len(line), nil
}

// subjectOf is the id of a row of rec that is not erased.
func subjectOf(v []byte) ([]byte, error) {
	if len(v) < headLen+len(bodyStart)+idLen || string(v[headLen:headLen+len(bodyStart)]) != bodyStart {
		return nil, fmt.Errorf("%w: its subject cannot be read", call.ErrFormat)
	}
	return v[headLen+len(bodyStart):][:idLen], nil
}
