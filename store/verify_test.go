package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// history leaves a closed store with 20 calls (answered ones are classified later), a shift and an act:
// seq 0 … 19 the calls, 20 … 29 the amendments of the even ones, 30 the shift, 31 the act.
func history(tb testing.TB, dir string) {
	tb.Helper()
	if err := os.WriteFile(filepath.Join(dir, store.File), written(tb), 0o600); err != nil {
		tb.Fatal(err)
	}
}

var file struct {
	once sync.Once
	text []byte
}

// written is the file of a history. It is made once: each of its entries is a commit that waits for the disk.
func written(tb testing.TB) []byte {
	tb.Helper()
	file.once.Do(func() {
		dir := storetest.Dir(tb)
		write(tb, dir)
		var err error
		if file.text, err = os.ReadFile(filepath.Join(dir, store.File)); err != nil {
			tb.Fatal(err)
		}
	})
	return file.text
}

func write(tb testing.TB, dir string) {
	tb.Helper()
	s := open(tb, dir, store.Options{})
	for i := range 20 {
		if i%2 == 0 {
			must(tb, s, storetest.Answered(callID(i), storetest.Start(), "+628115550001", "t1")...)
		} else {
			must(tb, s, storetest.Abandoned(callID(i), storetest.Start(), "+628115550002")...)
		}
	}
	for i := 0; i < 20; i += 2 {
		must(tb, s, call.Entry{Of: callID(i), At: storetest.Start(), Event: call.Classified{By: "t1", Kind: call.Information}})
	}
	must(tb, s, storetest.Shift(storetest.ID(call.Shift, 1, storetest.Start()), storetest.Start(), "t1")...)
	must(tb, s, call.Entry{Of: storetest.ID(call.Act, 1, storetest.Start()), Event: call.Acted{What: "export"}})
	must(tb, s, storetest.Answered(callID(90), storetest.Start(), "+628115550001", "t1")[:4]...)
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// flip changes one bit of a value.
func flip(b *bolt.Bucket, k []byte, at int) error {
	v := append([]byte(nil), b.Get(k)...)
	v[at] ^= 1
	return b.Put(k, v)
}

func move(b *bolt.Bucket, from, to []byte) error {
	v := append([]byte{}, b.Get(from)...)
	return errors.Join(b.Delete(from), b.Put(to, v))
}

func count(b *bolt.Bucket, name string, n uint64) error { return b.Put([]byte(name), key(n)) }

func TestVerifyNamesWhatIsBad(t *testing.T) {
	piece := func(i int, seq uint64) []byte { return append([]byte(callID(i)), key(seq)...) }
	live := append([]byte(callID(90)), 0, 0, 0, 3)
	for _, c := range []struct {
		name   string
		bucket string
		change func(b *bolt.Bucket) error
		seq    uint64
		of     call.ID
		what   string
	}{
		{"leaf", "rec", func(b *bolt.Bucket) error { return flip(b, key(3), 5) }, 3, callID(3), "leaf"},
		{"nonce", "rec", func(b *bolt.Bucket) error { return flip(b, key(3), 40) }, 3, callID(3), "leaf"},
		{"body", "rec", func(b *bolt.Bucket) error { return flip(b, key(6), 64+200) }, 6, callID(6), "leaf"},
		{"body of an amendment", "rec", func(b *bolt.Bucket) error { return flip(b, key(21), 64+300) }, 21, callID(2), "leaf"},
		{"subject", "rec", func(b *bolt.Bucket) error { return flip(b, key(3), 64+7+26) }, 3, "", "not listed"},
		{"start of a body", "rec", func(b *bolt.Bucket) error { return flip(b, key(3), 64) }, 3, "", "cannot be read"},
		{"short record", "rec", func(b *bolt.Bucket) error { return b.Put(key(3), []byte("x")) }, 3, "", "1 bytes"},
		{"missing record", "rec", func(b *bolt.Bucket) error { return b.Delete(key(3)) }, 3, "", "missing"},
		{"missing last record", "rec", func(b *bolt.Bucket) error { return b.Delete(key(31)) }, 31, "", "missing"},
		{"record too many", "rec", func(b *bolt.Bucket) error { return b.Put(key(32), []byte("x")) }, store.NoSeq, "", "records"},
		{"swapped records", "rec", func(b *bolt.Bucket) error {
			return errors.Join(move(b, key(1), key(99)), move(b, key(3), key(1)), move(b, key(99), key(3)))
		}, 1, callID(3), "not listed"},
		{"leaf hash", "tree", func(b *bolt.Bucket) error { return flip(b, key(0), 0) }, 0, callID(0), "level 0"},
		{"inner hash", "tree", func(b *bolt.Bucket) error { return flip(b, key(2), 31) }, 1, callID(1), "level 1"},
		{"missing hash", "tree", func(b *bolt.Bucket) error { return b.Delete(key(6)) }, 3, callID(3), "level 2"},
		{"hash too many", "tree", func(b *bolt.Bucket) error { return b.Put(key(99), key(1)) }, store.NoSeq, "", "hashes"},
		{"id", "id", func(b *bolt.Bucket) error { return move(b, piece(3, 3), piece(3, 77)) }, 3, callID(3), "not listed"},
		{"id of none", "id", func(b *bolt.Bucket) error { return move(b, piece(3, 3), piece(3, 77)) }, 77, callID(3), "no such record"},
		{"id of another", "id", func(b *bolt.Bucket) error { return b.Put(piece(3, 5), nil) }, 5, callID(3), "is of"},
		{"odd id", "id", func(b *bolt.Bucket) error { return b.Put([]byte(callID(3)+"x"), nil) }, store.NoSeq, callID(3), "has a key"},
		{"index", "idx", func(b *bolt.Bucket) error {
			k, _ := b.Cursor().First()
			return b.Delete(k)
		}, 0, callID(0), "index"},
		{"index too many", "idx", func(b *bolt.Bucket) error { return b.Put([]byte("tx"), nil) }, store.NoSeq, "", "has a key 7478"},
		{"todo", "todo", func(b *bolt.Bucket) error { return b.Put([]byte(callID(1)), []byte("callback")) }, 1, callID(1), "to do"},
		{"todo of none", "todo", func(b *bolt.Bucket) error { return b.Put([]byte(callID(91)), []byte("x")) }, store.NoSeq, callID(91), "to do"},
		{"arrived", "meta", func(b *bolt.Bucket) error { return count(b, "arrived", 22) }, store.NoSeq, "", "22 calls arrived"},
		{"ended", "meta", func(b *bolt.Bucket) error { return count(b, "ended", 19) }, store.NoSeq, "", "counter of ended calls is 19"},
		{"size short", "meta", func(b *bolt.Bucket) error { return count(b, "size", 31) }, store.NoSeq, "", "records is number 31, it should be 30"},
		{"size long", "meta", func(b *bolt.Bucket) error { return count(b, "size", 1<<40) }, 32, "", "missing"},
		{"live entry", "live", func(b *bolt.Bucket) error { return flip(b, live, 0) }, store.NoSeq, "", string(callID(90))},
		{"live gap", "live", func(b *bolt.Bucket) error { return b.Delete(live) }, store.NoSeq, callID(90), "live entry 3 is"},
		{"live start", "live", func(b *bolt.Bucket) error {
			return b.Delete(append([]byte(callID(90)), 0, 0, 0, 1))
		}, store.NoSeq, callID(90), "does not begin"},
		{"sealed and live", "live", func(b *bolt.Bucket) error {
			return b.Put(append([]byte(callID(3)), 0, 0, 0, 1), b.Get(live))
		}, store.NoSeq, callID(3), "sealed and lives"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := storetest.Dir(t)
			history(t, dir)
			edit(t, dir, func(tx *bolt.Tx) error { return c.change(tx.Bucket([]byte(c.bucket))) })
			s := open(t, dir, store.Options{})
			r, err := s.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, bad := range r.Bad {
				if bad.Seq == c.seq && (c.of == "" || bad.Of == c.of) && strings.Contains(bad.What, c.what) {
					return
				}
			}
			t.Errorf("want %d %s %q; got %v", c.seq, c.of, c.what, r.Bad)
		})
	}
}

// forge replaces a body by one whose leaf and tree hash are right: only its content gives it away.
func forge(tx *bolt.Tx, seq uint64, change func(body string) string) error {
	rec := tx.Bucket([]byte("rec"))
	old := rec.Get(key(seq))
	nonce := [32]byte(old[32:64])
	body := change(string(old[64:]))
	leaf := call.LeafHash(nonce, []byte(body))
	return rec.Put(key(seq), append(append(leaf[:], nonce[:]...), body...))
}

func TestVerifyReadsBodies(t *testing.T) {
	ended := `"event":"ended","data":{"outcome":"abandoned"}`
	for _, c := range []struct{ name, from, to, what string }{
		{"record", `"trunk":"telkom","called"`, `"trunk":"indosat","called"`, "not the fold"},
		{"entry", `"by":"caller"`, `"by":"desk"`, "tree"},
		{"number", `"n":3`, `"n":4`, "entry 3 is"},
		{"no end", ended, `"event":"rang","data":{"leg":1}`, "0 entries that end it"},
		{"last is no end", ended, `"event":"rang","data":{"leg":1}`, "last entry does not end it"},
		{"two ends", `"event":"queued"`, `"event":"ended"`, "2 entries that end it"},
		{"start", `"event":"arrived"`, `"event":"heard"`, "does not begin"},
		{"unknown event", `"event":"queued"`, `"event":"teleported"`, "teleported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := storetest.Dir(t)
			history(t, dir)
			edit(t, dir, func(tx *bolt.Tx) error {
				return forge(tx, 3, func(body string) string { return strings.Replace(body, c.from, c.to, 1) })
			})
			r, err := open(t, dir, store.Options{}).Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, bad := range r.Bad {
				if bad.Seq == 3 && strings.Contains(bad.What, c.what) {
					return
				}
			}
			t.Errorf("want %q, got %v", c.what, r.Bad)
		})
	}
}

// TestVerifyGoesOn: all that is bad is reported, and nothing else.
func TestVerifyGoesOn(t *testing.T) {
	dir := storetest.Dir(t)
	history(t, dir)
	edit(t, dir, func(tx *bolt.Tx) error {
		rec := tx.Bucket([]byte("rec"))
		return errors.Join(flip(rec, key(1), 64+400), flip(rec, key(17), 64+400), flip(rec, key(31), 64+120))
	})
	s := open(t, dir, store.Options{})
	r, err := s.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seqs := map[uint64]bool{}
	for _, bad := range r.Bad {
		seqs[bad.Seq] = true
	}
	if len(seqs) != 3 || !seqs[1] || !seqs[17] || !seqs[31] || r.OK() {
		t.Errorf("bad: %v", r.Bad)
	}
	if r.Records != 32 || r.Arrived != 21 || r.Ended != 20 || r.Live != 1 {
		t.Errorf("report: %+v", r)
	}
	damaged := 0
	for _, err := range s.Scan(t.Context(), 0) {
		if err != nil {
			damaged++
		}
	}
	if damaged != 0 {
		t.Errorf("scan finds %d records whose subject cannot be read", damaged)
	}
}

func TestVerifyStops(t *testing.T) {
	dir := storetest.Dir(t)
	history(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, dir, store.Options{}).Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

func TestVerifyRoot(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir, store.Options{})
	seen := map[[32]byte]bool{}
	for i := range 70 {
		r, err := s.Verify(t.Context())
		if err != nil || !r.OK() {
			t.Fatalf("%d records: %v %v", i, r.Bad, err)
		}
		if seen[r.Root] {
			t.Fatalf("%d records have the root of fewer", i)
		}
		seen[r.Root] = true
		must(t, s, storetest.Abandoned(callID(i), storetest.Start(), "")...)
	}
}

// TestAppendToDamaged: what cannot be read refuses what builds on it, and nothing else.
func TestAppendToDamaged(t *testing.T) {
	dir := storetest.Dir(t)
	history(t, dir)
	edit(t, dir, func(tx *bolt.Tx) error {
		return errors.Join(
			flip(tx.Bucket([]byte("rec")), key(3), 64),
			tx.Bucket([]byte("rec")).Delete(key(5)),
			flip(tx.Bucket([]byte("live")), append([]byte(callID(90)), 0, 0, 0, 3), 0),
		)
	})
	s := open(t, dir, store.Options{})
	for _, n := range []int{3, 5} {
		if err := storetest.Append(s, call.Entry{Of: callID(n), Event: call.Classified{Kind: call.Prank}}); !errors.Is(err, call.ErrFormat) {
			t.Errorf("%d: got %v, want ErrFormat", n, err)
		}
		if _, err := s.Pieces(callID(n)); !errors.Is(err, call.ErrFormat) {
			t.Errorf("%d: pieces: %v, want ErrFormat", n, err)
		}
	}
	if err := storetest.Append(s, call.Entry{Of: callID(90), Event: call.Ended{}}); !errors.Is(err, call.ErrFormat) {
		t.Errorf("got %v, want ErrFormat", err)
	}
	must(t, s, storetest.Abandoned(callID(95), storetest.Start(), "")...)
	bad := 0
	for _, err := range s.Scan(t.Context(), 0) {
		if err != nil {
			bad++
		}
	}
	if bad != 1 {
		t.Errorf("scan: %d damaged records, want 1", bad)
	}
	bad = 0
	for _, err := range s.Find(t.Context(), store.Query{}) {
		if err != nil {
			bad++
		}
	}
	if bad != 2 {
		t.Errorf("find: %d damaged records, want 2", bad)
	}
}
