package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga112/siaga112/call"
)

// verifyRows is how many rows a read transaction of Verify walks.
const verifyRows = 1024

// chainCheck holds the leaves against the tree: two cursors that only go forward.
type chainCheck struct {
	next uint64        // the record that comes
	last [64]tlog.Hash // by level, the last hash of a whole subtree, recomputed
	bad  []Bad
	root tlog.Hash
}

func (c *chainCheck) run(ctx context.Context, s *Store, size uint64) error {
	err := s.views(ctx, func(t *txn) (bool, error) { return c.chunk(t, size), nil }, func() bool { return true })
	if err != nil {
		return err
	}
	c.root, err = tlog.TreeHash(int64(c.next), tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hs := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			level, _ := tlog.SplitStoredHashIndex(at)
			hs[i] = c.last[level]
		}
		return hs, nil
	}))
	return err
}

// chunk checks the next rows; more tells whether there are others.
func (c *chainCheck) chunk(t *txn, size uint64) (more bool) {
	if c.next >= size {
		return false
	}
	rc := t.rec.Cursor()
	tree := treeCursor{c: t.tree.Cursor(), chain: c}
	tree.k, tree.v = tree.c.Seek(seqKey(uint64(tlog.StoredHashIndex(0, int64(c.next)))))
	k, v := rc.Seek(seqKey(c.next))
	for n := 0; c.next < size && n < verifyRows; n++ {
		for k != nil && len(k) != seqLen {
			c.add(NoSeq, "", "the records have a key %x, which is no number", k)
			k, v = rc.Next()
		}
		if k == nil {
			c.gap(size)
			return false
		}
		if at := binary.BigEndian.Uint64(k); at > c.next {
			c.gap(min(at, size))
			for ; c.next < min(at, size); c.next++ {
				if !tree.step(c.next, nil) {
					return false
				}
			}
			continue
		}
		tree.step(c.next, v)
		c.next++
		k, v = rc.Next()
	}
	return c.next < size
}

// gap says that the records from next on are missing, up to but not with until.
func (c *chainCheck) gap(until uint64) {
	if until == c.next+1 {
		c.add(c.next, "", "it is missing")
		return
	}
	c.add(c.next, "", "it and all up to %d are missing", until-1)
}

func (c *chainCheck) add(seq uint64, of call.ID, format string, args ...any) {
	c.bad = append(c.bad, Bad{Seq: seq, Of: of, What: fmt.Sprintf(format, args...)})
}

// treeCursor walks the tree's hashes in the order in which the leaves complete them.
type treeCursor struct {
	c     *bolt.Cursor
	k, v  []byte
	chain *chainCheck
	want  [seqLen]byte
}

// step recomputes the hashes that the record's leaf completes, and holds them against the stored ones. Where the row has
// no leaf to trust the tree's own is used: what is bad is said with the record, and the hashes above it are not bad as
// well. It is false where there is neither.
func (t *treeCursor) step(seq uint64, row []byte) bool {
	at := uint64(tlog.StoredHashIndex(0, int64(seq)))
	stored := t.read(at)
	var sum tlog.Hash
	switch {
	case len(row) >= leafLen:
		sum = leafNode(row[:leafLen])
		if !bytes.Equal(stored, sum[:]) && len(stored) == tlog.HashSize && len(row) > leafLen && sha256.Sum256(row[leafLen:]) != [32]byte(row) {
			sum = tlog.Hash(stored)
		}
	case len(stored) == tlog.HashSize:
		sum = tlog.Hash(stored)
	default:
		return false
	}
	top := bits.TrailingZeros64(seq + 1)
	for level := range top + 1 {
		if level > 0 {
			stored = t.read(at + uint64(level))
			sum = innerNode(t.chain.last[level-1], sum)
		}
		if !bytes.Equal(stored, sum[:]) {
			id, _ := rowSubject(row)
			t.chain.add(seq, call.ID(id), "the tree's hash of level %d is another", level)
		}
	}
	t.chain.last[top] = sum
	return true
}

// read is the hash with that number, nil if it is missing; the cursor then stands behind it.
func (t *treeCursor) read(at uint64) []byte {
	binary.BigEndian.PutUint64(t.want[:], at)
	for t.k != nil && (len(t.k) != seqLen || bytes.Compare(t.k, t.want[:]) < 0) {
		t.chain.add(NoSeq, "", "the tree has a key %x, which is no number of a hash", t.k)
		t.k, t.v = t.c.Next()
	}
	if !bytes.Equal(t.k, t.want[:]) {
		return nil
	}
	v := t.v
	t.k, t.v = t.c.Next()
	return v
}

// leafNode and innerNode are tlog's RecordHash and NodeHash without their garbage (RFC 6962 section 2.1).
func leafNode(leaf []byte) tlog.Hash {
	var b [1 + leafLen]byte
	copy(b[1:], leaf)
	return sha256.Sum256(b[:])
}

func innerNode(left, right tlog.Hash) tlog.Hash {
	var b [1 + 2*tlog.HashSize]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+tlog.HashSize:], right[:])
	return sha256.Sum256(b[:])
}
