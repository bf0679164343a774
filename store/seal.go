package store

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga112/siaga112/call"
)

// seal writes a piece: record, id, indexes, hashes, counters; the first of a subject takes the live rows and the
// dialogs away. All is in one transaction: a crash leaves the subject live or sealed, never both and never neither.
func (t *txn) seal(id call.ID, p piece, first bool) error {
	seq := t.count(metaSize)
	s := call.Sealed{Seq: seq, Of: id, Body: p.body}
	if _, err := rand.Read(s.Nonce[:]); err != nil {
		return err
	}
	s.Leaf = call.LeafHash(s.Nonce, s.Body)
	if err := t.rec.Put(seqKey(seq), recValue(s)); err != nil {
		return err
	}
	if err := t.id.Put(pieceKey(id, seq), nil); err != nil {
		return err
	}
	if err := t.addLeaf(seq, s.Leaf); err != nil {
		return err
	}
	if err := t.setCount(metaSize, seq+1); err != nil {
		return err
	}
	if err := t.setTodo(p.record); err != nil {
		return err
	}
	if !first {
		return nil
	}
	return t.retire(p.record, seq)
}

// retire ends a subject's life: what is kept of the living goes, what finds the dead comes.
func (t *txn) retire(r call.Record, seq uint64) error {
	if err := deletePrefix(t.live, []byte(r.Of)); err != nil {
		return err
	}
	if err := deletePrefix(t.leg, []byte(r.Of)); err != nil {
		return err
	}
	if r.Of.Kind() != call.Call {
		return nil
	}
	for _, k := range idxKeys(r, seq) {
		if err := t.idx.Put(k, nil); err != nil {
			return err
		}
	}
	return t.setCount(metaEnded, t.count(metaEnded)+1)
}

// addLeaf stores the hashes that the leaf completes.
func (t *txn) addLeaf(seq uint64, leaf [32]byte) error {
	hashes, err := tlog.StoredHashes(int64(seq), leaf[:], tlog.HashReaderFunc(t.readHashes))
	if err != nil {
		return err
	}
	at := uint64(tlog.StoredHashIndex(0, int64(seq)))
	for i, h := range hashes {
		if err := t.tree.Put(seqKey(at+uint64(i)), h[:]); err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) readHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		b := t.tree.Get(seqKey(uint64(at)))
		if len(b) != tlog.HashSize {
			return nil, fmt.Errorf("the tree has no hash %d", at)
		}
		copy(hashes[i][:], b)
	}
	return hashes, nil
}

func todoText(r call.Record) string { return strings.Join(r.Open, ",") }

func (t *txn) setTodo(r call.Record) error {
	if len(r.Open) == 0 {
		return t.todo.Delete([]byte(r.Of))
	}
	return t.todo.Put([]byte(r.Of), []byte(todoText(r)))
}

// lastLive is the highest N among the subject's live rows, 0 if it has none. It walks forward: in a transaction that
// has deleted, a bbolt cursor that goes back stops at a page that has become empty.
func (t *txn) lastLive(id call.ID) uint32 {
	var last []byte
	c := t.live.Cursor()
	for k, _ := c.Seek([]byte(id)); bytes.HasPrefix(k, []byte(id)); k, _ = c.Next() {
		last = k
	}
	if len(last) != idLen+4 {
		return 0
	}
	return binary.BigEndian.Uint32(last[idLen:])
}

// liveLines are copies of the subject's live rows, in order.
func (t *txn) liveLines(id call.ID) [][]byte {
	var lines [][]byte
	c := t.live.Cursor()
	for k, v := c.Seek([]byte(id)); bytes.HasPrefix(k, []byte(id)); k, v = c.Next() {
		lines = append(lines, bytes.Clone(v))
	}
	return lines
}

// liveCalls counts the calls that have live rows: one look for each.
func (t *txn) liveCalls() uint64 {
	n := uint64(0)
	c := t.live.Cursor()
	for k, _ := c.Seek([]byte{call.Call}); len(k) >= idLen && k[0] == call.Call; k, _ = c.Seek(after(k[:idLen])) {
		n++
	}
	return n
}

// pieces are copies of all pieces of the subject, in order.
func (t *txn) pieces(id call.ID) ([]call.Sealed, error) {
	var ps []call.Sealed
	c := t.id.Cursor()
	for k, _ := c.Seek([]byte(id)); bytes.HasPrefix(k, []byte(id)); k, _ = c.Next() {
		_, seq, ok := splitPieceKey(k)
		if !ok {
			continue
		}
		v := t.rec.Get(seqKey(seq))
		if v == nil {
			return ps, fmt.Errorf("%s: %w: its record %d is missing", id, call.ErrFormat, seq)
		}
		p, err := readRec(seq, v)
		if err != nil {
			return ps, err
		}
		p.Of = id
		ps = append(ps, p)
	}
	return ps, nil
}

// deletePrefix deletes all keys that begin with the prefix. A cursor that deletes may skip: the keys are read first.
func deletePrefix(b bucket, prefix []byte) error {
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, k := range keys {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// hasPieces tells whether the subject is sealed.
func (t *txn) hasPieces(id call.ID) bool {
	k, _ := t.id.Cursor().Seek([]byte(id))
	return bytes.HasPrefix(k, []byte(id))
}
