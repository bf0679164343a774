package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
)

// The buckets. Numbers in keys are big-endian, so that keys sort as numbers do.
const (
	bucketLive  = "live"       // subject, N (4) → the entry's line
	bucketLeg   = "leg"        // call, leg (2) → dialog
	bucketRec   = "rec"        // seq (8) → leaf (32), nonce (32), body
	bucketID    = "id"         // subject, seq (8) → nothing
	bucketIdx   = "idx"        // field (1), 0, value, 0, time (12), seq (8) → nothing
	bucketTree  = "tree"       // index (8) → hash (32)
	bucketTodo  = "todo"       // call → why it is still open
	bucketTaker = "taker"      // a or b, user → account, contacts
	bucketCheck = "checkpoint" // size (8) → signed checkpoint (note)
	bucketHold  = "hold"       // what is held → why
	bucketMeta  = "meta"       // name → value
)

func bucketNames() []string {
	return []string{
		bucketLive, bucketLeg, bucketRec, bucketID, bucketIdx, bucketTree, bucketTodo, bucketTaker, bucketCheck,
		bucketHold, bucketMeta,
	}
}

// The names in meta.
const (
	metaFormat  = "format"  // decimal
	metaArrived = "arrived" // calls that arrived (8)
	metaEnded   = "ended"   // calls that ended (8)
	metaSize    = "size"    // sealed pieces (8)
	metaCommits = "commits" // transactions of the committer (8)
	metaErased  = "erased"  // pieces erased since the last compaction (8)
	metaBeat    = "beat"    // RFC 3339
	metaSecret  = "secret"  // 32 random bytes
)

// The fields of idx. Each call has them once, at its first piece.
const (
	fieldArrival = 't' // value: nothing
	fieldNumber  = 'n' // value: the caller's number
)

const (
	idLen     = 27 // a letter and a ULID
	leafLen   = 32 // all that is left of an erased record
	headLen   = 64 // leaf and nonce before the body
	timeLen   = 12
	seqLen    = 8
	numberMax = 256 // a longer number is indexed by its beginning
)

// txn is one transaction's buckets.
type txn struct {
	live, leg, rec, id, idx, tree, todo, taker, check, hold, meta bucket

	touched *keySet // keys that the transaction wrote or deleted; nil unless a copy is being made
}

// bucket is a bbolt bucket whose transaction notes which keys it touches.
type bucket struct {
	*bolt.Bucket
	t *txn
	n int // in bucketNames
}

// Put is bbolt's, noted.
func (b bucket) Put(k, v []byte) error {
	b.t.touched.add(b.n, k)
	return b.Bucket.Put(k, v)
}

// Delete is bbolt's, noted.
func (b bucket) Delete(k []byte) error {
	b.t.touched.add(b.n, k)
	return b.Bucket.Delete(k)
}

func newTxn(tx *bolt.Tx) (*txn, error) {
	t := &txn{}
	// In the order of bucketNames.
	fields := [...]*bucket{&t.live, &t.leg, &t.rec, &t.id, &t.idx, &t.tree, &t.todo, &t.taker, &t.check, &t.hold, &t.meta}
	for i, name := range bucketNames() {
		b := tx.Bucket([]byte(name))
		if b == nil {
			return nil, fmt.Errorf("%w: it has no bucket %q", ErrDamaged, name)
		}
		*fields[i] = bucket{Bucket: b, t: t, n: i}
	}
	// What only grows at its end is packed tight.
	t.rec.FillPercent, t.tree.FillPercent = 0.95, 0.95
	return t, nil
}

// count is a counter in meta.
func (t *txn) count(name string) uint64 {
	if b := t.meta.Get([]byte(name)); len(b) == seqLen {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (t *txn) setCount(name string, n uint64) error {
	return t.meta.Put([]byte(name), seqKey(n))
}

func checkID(id call.ID) error {
	if p, err := call.ParseID(string(id)); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	} else if p != id {
		return fmt.Errorf("%w: id %q is not as it was minted", ErrInvalid, id)
	}
	return nil
}

func liveKey(id call.ID, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, idLen+4), id...), n)
}

func legKey(id call.ID, l call.Leg) []byte {
	return binary.BigEndian.AppendUint16(append(make([]byte, 0, idLen+2), id...), uint16(l))
}

// legOf reads what legKey made. A key that it has not made has leg 0, of what stands there.
func legOf(key []byte) call.LegID {
	if len(key) != idLen+2 {
		return call.LegID{Of: call.ID(key[:min(idLen, len(key))])}
	}
	return call.LegID{Of: call.ID(key[:idLen]), Leg: call.Leg(binary.BigEndian.Uint16(key[idLen:]))}
}

func seqKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, seqLen), seq)
}

func pieceKey(id call.ID, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, idLen+seqLen), id...), seq)
}

// splitPieceKey reads a key of id; ok is false for one that pieceKey did not make.
func splitPieceKey(k []byte) (id call.ID, seq uint64, ok bool) {
	if len(k) != idLen+seqLen {
		return "", 0, false
	}
	return call.ID(k[:idLen]), binary.BigEndian.Uint64(k[idLen:]), true
}

func idxPrefix(field byte, value string) []byte {
	if len(value) > numberMax {
		value = value[:numberMax]
	}
	return append(append([]byte{field, 0}, value...), 0)
}

// appendTime appends 12 bytes that sort as times do.
func appendTime(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix())^(1<<63))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

func idxKey(field byte, value string, at time.Time, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendTime(idxPrefix(field, value), at), seq)
}

// idxKeys are the keys of idx for a call whose first piece is seq. The first finds it by time.
func idxKeys(r call.Record, seq uint64) [][]byte {
	keys := [][]byte{idxKey(fieldArrival, "", r.FirstAt, seq)}
	if r.Caller.Number != "" {
		keys = append(keys, idxKey(fieldNumber, r.Caller.Number, r.FirstAt, seq))
	}
	return keys
}

// after is the least key that sorts after all keys which begin with prefix and are at most 64 bytes longer.
func after(prefix []byte) []byte {
	k := append(make([]byte, 0, len(prefix)+64), prefix...)
	for range 64 {
		k = append(k, math.MaxUint8)
	}
	return k
}

func recValue(s call.Sealed) []byte {
	b := make([]byte, 0, headLen+len(s.Body))
	return append(append(append(b, s.Leaf[:]...), s.Nonce[:]...), s.Body...)
}

// bodyStart is how every body begins: AppendRecord writes the subject first.
const bodyStart = `{"of":"`

// readRec copies a row of rec. Of an erased one only the leaf is there, and Of is "". The error wraps call.ErrFormat; what
// could be read is returned with it.
func readRec(seq uint64, v []byte) (call.Sealed, error) {
	s := call.Sealed{Seq: seq}
	if len(v) == leafLen {
		copy(s.Leaf[:], v)
		return s, nil
	}
	if len(v) < headLen {
		return s, fmt.Errorf("record %d: %w: %d bytes", seq, call.ErrFormat, len(v))
	}
	copy(s.Leaf[:], v)
	copy(s.Nonce[:], v[len(s.Leaf):])
	s.Body = append([]byte(nil), v[headLen:]...)
	var err error
	s.Of, err = bodyOf(seq, s.Body)
	return s, err
}

// bodyOf is the subject of a body. The error wraps call.ErrFormat.
func bodyOf(seq uint64, body []byte) (call.ID, error) {
	if len(body) < len(bodyStart)+idLen || string(body[:len(bodyStart)]) != bodyStart {
		return "", fmt.Errorf("record %d: %w: its subject cannot be read", seq, call.ErrFormat)
	}
	id := call.ID(body[len(bodyStart) : len(bodyStart)+idLen])
	if err := checkID(id); err != nil {
		return "", fmt.Errorf("record %d: %w: its subject: %w", seq, call.ErrFormat, err)
	}
	return id, nil
}
