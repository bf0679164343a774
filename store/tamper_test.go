package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/storetest"
)

// erasedHistory is a history with erased records, checkpoints, and amendments after them.
func erasedHistory(tb testing.TB, dir string) {
	tb.Helper()
	history(tb, dir)
	s := open(tb, dir, store.Options{Node: "ktp1"})
	if _, err := s.Checkpoint(tb.Context(), audit.WhyAsked); err != nil {
		tb.Fatal(err)
	}
	if _, err := s.Erase(tb.Context(), store.Erasure{Calls: []call.ID{callID(4), callID(5), callID(6)}, Reason: "court", Order: "7"}); err != nil {
		tb.Fatal(err)
	}
	if _, err := s.Checkpoint(tb.Context(), audit.WhyExport); err != nil {
		tb.Fatal(err)
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

func verified(tb testing.TB, dir string) store.Report {
	tb.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer closed(tb, s)
	r, err := s.Verify(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestVerifyErased(t *testing.T) {
	dir := storetest.Dir(t)
	erasedHistory(t, dir)
	r := verified(t, dir)
	if !r.OK() || r.Erased != 5 || r.Checkpoints != 2 || r.Ended != 20 {
		t.Fatalf("%+v", r)
	}
	for _, c := range []struct {
		name   string
		change func(tx *bolt.Tx) error
		seq    uint64
		what   string
	}{
		{"un-erased", func(tx *bolt.Tx) error {
			body := append(make([]byte, 64), `{"of":"`+string(callID(5))+`"}`+"\n"...)
			copy(body, tx.Bucket([]byte("rec")).Get(key(5)))
			return tx.Bucket([]byte("rec")).Put(key(5), body)
		}, 5, "an act erased it, and it is there"},
		{"erased on nobody's word", func(tx *bolt.Tx) error {
			rec := tx.Bucket([]byte("rec"))
			return rec.Put(key(8), bytes.Clone(rec.Get(key(8))[:32]))
		}, 8, "no act erased it"},
		{"act removed", func(tx *bolt.Tx) error { return tx.Bucket([]byte("rec")).Delete(key(33)) }, 33, "missing"},
		{"act erased", func(tx *bolt.Tx) error {
			rec := tx.Bucket([]byte("rec"))
			return rec.Put(key(33), bytes.Clone(rec.Get(key(33))[:32]))
		}, 4, "no act erased it"},
		{"another leaf of an erased one", func(tx *bolt.Tx) error { return flip(tx.Bucket([]byte("rec")), key(5), 3) }, 5, "level 0 is another"},
		{"index of an erased one", func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("idx")).Put(append([]byte("t\x00\x00"), append(make([]byte, 12), key(5)...)...), nil)
		}, 5, "still has a key"},
		{"id of an erased one", func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("id")).Delete(append([]byte(callID(5)), key(5)...))
		}, 5, "not listed"},
		{"checkpoint changed", func(tx *bolt.Tx) error { return flip(tx.Bucket([]byte("checkpoint")), key(33), 20) }, store.NoSeq, "checkpoint 33"},
		{"checkpoint moved", func(tx *bolt.Tx) error { return move(tx.Bucket([]byte("checkpoint")), key(33), key(30)) }, store.NoSeq, "checkpoint 30: it is of 33"},
		{"checkpoint's key", func(tx *bolt.Tx) error {
			return move(tx.Bucket([]byte("checkpoint")), key(33), []byte("x"))
		}, store.NoSeq, "the checkpoints have a key 78"},
		{"key of the checkpoints changed", func(tx *bolt.Tx) error { return flip(tx.Bucket([]byte("meta")), []byte("key"), 60) }, store.NoSeq, "key of the checkpoints"},
		{"key of the checkpoints gone", func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Delete([]byte("key")) }, store.NoSeq, "key of the checkpoints: it is missing"},
		{"the end cut off", cutOff, store.NoSeq, "gone from the end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := storetest.Dir(t)
			erasedHistory(t, dir)
			edit(t, dir, c.change)
			for _, bad := range verified(t, dir).Bad {
				if bad.Seq == c.seq && strings.Contains(bad.What, c.what) {
					return
				}
			}
			t.Errorf("want %d %q, got %v", c.seq, c.what, verified(t, dir).Bad)
		})
	}
}

// cutOff removes the last record with all that is known of it, counters and tree with it: only a checkpoint knows.
func cutOff(tx *bolt.Tx) error {
	k, v := tx.Bucket([]byte("rec")).Cursor().Last()
	seq := binary.BigEndian.Uint64(k)
	err := errors.Join(
		tx.Bucket([]byte("id")).Delete(append(bytes.Clone(v[64+7:64+7+27]), k...)),
		tx.Bucket([]byte("rec")).Delete(bytes.Clone(k)),
		count(tx.Bucket([]byte("meta")), "size", seq),
	)
	tree := tx.Bucket([]byte("tree"))
	for at := range uint64(80) {
		if at >= storedHashes(seq) {
			err = errors.Join(err, tree.Delete(key(at)))
		}
	}
	return err
}

// storedHashes is how many hashes a tree of n records stores.
func storedHashes(n uint64) (all uint64) {
	for ; n > 0; n /= 2 {
		all += n
	}
	return all
}

// TestVerifyCounters: each counter that is another is named.
func TestVerifyCounters(t *testing.T) {
	for _, name := range []string{"arrived", "ended", "size"} {
		for _, d := range []int{-1, 1} {
			dir := storetest.Dir(t)
			erasedHistory(t, dir)
			edit(t, dir, func(tx *bolt.Tx) error {
				meta := tx.Bucket([]byte("meta"))
				return count(meta, name, uint64(int(binary.BigEndian.Uint64(meta.Get([]byte(name))))+d))
			})
			if r := verified(t, dir); r.OK() {
				t.Errorf("%s %+d is not found", name, d)
			}
		}
	}
}

// TestTampered: hundreds of changes in keys and values of rec and tree, each found, and the first bad record named.
func TestTampered(t *testing.T) {
	dir := storetest.Dir(t)
	erasedHistory(t, dir)
	whole, err := os.ReadFile(filepath.Join(dir, store.File))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(112, 5))
	for i := range storetest.Times(t, 250) {
		if err := os.WriteFile(filepath.Join(dir, store.File), whole, 0o600); err != nil {
			t.Fatal(err)
		}
		name := []string{"rec", "rec", "tree"}[i%3]
		var said string
		var seqs []uint64
		edit(t, dir, func(tx *bolt.Tx) error {
			tx.DB().NoSync = true
			said, seqs, err = tamper(rng, tx.Bucket([]byte(name)))
			return err
		})
		if said == "" {
			continue
		}
		r := verified(t, dir)
		named := slices.ContainsFunc(r.Bad, func(b store.Bad) bool { return slices.Contains(seqs, b.Seq) || name == "tree" || b.Seq == store.NoSeq })
		if r.OK() || !named {
			t.Fatalf("change %d: %s: %s: found %v", i, name, said, r.Bad)
		}
	}
}

// tamper changes one thing in a bucket, and says which records that is about. It says nothing where it changed nothing.
func tamper(rng *rand.Rand, b *bolt.Bucket) (said string, seqs []uint64, err error) {
	var keys [][]byte
	if err := b.ForEach(func(k, _ []byte) error { keys = append(keys, bytes.Clone(k)); return nil }); err != nil {
		return "", nil, err
	}
	k, other := keys[rng.IntN(len(keys))], keys[rng.IntN(len(keys))]
	v, w := bytes.Clone(b.Get(k)), bytes.Clone(b.Get(other))
	seqs = []uint64{binary.BigEndian.Uint64(k)}
	switch kind := rng.IntN(10); kind {
	case 0:
		return fmt.Sprintf("%x removed", k), seqs, b.Delete(k)
	case 1, 2:
		if bytes.Equal(v, w) {
			return "", nil, nil
		}
		seqs = append(seqs, binary.BigEndian.Uint64(other))
		err = b.Put(k, w)
		if kind == 1 {
			err = errors.Join(err, b.Put(other, v))
		}
		return fmt.Sprintf("%x over %x", other, k), seqs, err
	case 3:
		return fmt.Sprintf("%x cut off", k), seqs, b.Put(k, v[:rng.IntN(len(v))])
	case 4:
		return fmt.Sprintf("%x longer", k), seqs, b.Put(k, append(v, byte(rng.IntN(256))))
	case 5:
		changed := bytes.Clone(k)
		changed[rng.IntN(len(k))] ^= byte(1 + rng.IntN(255))
		return fmt.Sprintf("%x becomes %x", k, changed), append(seqs, binary.BigEndian.Uint64(changed)), errors.Join(b.Delete(k), b.Put(changed, v))
	case 6:
		return fmt.Sprintf("%x with a longer key", k), seqs, b.Put(append(k, byte(rng.IntN(256))), v)
	}
	at := rng.IntN(len(v))
	v[at] ^= byte(1 + rng.IntN(255))
	return fmt.Sprintf("%x byte %d", k, at), seqs, b.Put(k, v)
}

// TestVerifyWhileRunning: what goes on in the store is nothing bad.
func TestVerifyWhileRunning(t *testing.T) {
	s := open(t, storetest.Dir(t), store.Options{})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			s.Append(storetest.Answered(callID(i), storetest.Start(), "+628115550001", "t1"), nil)
			if err := storetest.Append(s, call.Entry{Of: callID(i), At: storetest.Start(), Event: call.Classified{Kind: call.Prank}}); err != nil {
				t.Error(err)
				return
			}
			if i%8 == 7 {
				if _, err := s.Erase(t.Context(), store.Erasure{Calls: []call.ID{callID(i - 3)}, Reason: "court", Order: "7"}); err != nil {
					t.Error(err)
				}
			}
			if _, err := s.Checkpoint(t.Context(), audit.WhyAsked); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 20 {
		if r, err := s.Verify(t.Context()); err != nil || !r.OK() {
			t.Errorf("%v %v", err, r.Bad)
			break
		}
	}
	close(stop)
	<-stopped
}

// TestOwnerHides: what an owner of the machine would do to hide a call, with the counters made to fit.
func TestOwnerHides(t *testing.T) {
	live := func(tx *bolt.Tx) error { // all entries of the call that has not ended
		b := tx.Bucket([]byte("live"))
		var err error
		for n := byte(1); n <= 4; n++ {
			err = errors.Join(err, b.Delete(append([]byte(callID(90)), 0, 0, 0, n)))
		}
		return err
	}
	fewer := func(tx *bolt.Tx) error { return errors.Join(live(tx), count(tx.Bucket([]byte("meta")), "arrived", 21)) }
	for _, c := range []struct {
		name   string
		change func(tx *bolt.Tx) error
		what   string
	}{
		{"a call that lives is dropped", live, "22 calls arrived, but 21 ended and 0 live"},
		{"and the counter lowered", fewer, "22 calls had arrived, the counter says 21: a call was hidden"},
		{"a record is found no more by its number", func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("idx"))
			k, _ := b.Cursor().Seek([]byte("n"))
			return b.Delete(k)
		}, "index"},
		{"what is to do is forgotten", func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("todo"))
			k, _ := b.Cursor().First()
			return b.Delete(k)
		}, "is noted as what is to do"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			erasedHistory(t, dir)
			s := open(t, dir, store.Options{})
			must(t, s, storetest.Answered(callID(91), storetest.Start(), "+628115550003", "t1")...)
			if _, err := s.Checkpoint(t.Context(), audit.WhyMinute); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			edit(t, dir, c.change)
			for _, bad := range verified(t, dir).Bad {
				if strings.Contains(bad.What, c.what) {
					return
				}
			}
			t.Errorf("want %q, got %v", c.what, verified(t, dir).Bad)
		})
	}
}

// TestOwnerStartsAnew: who has the key can write another history that verifies by itself. A checkpoint that somebody else
// keeps tells it apart, of whatever size the new one is.
func TestOwnerStartsAnew(t *testing.T) {
	dir := t.TempDir()
	erasedHistory(t, dir)
	s := open(t, dir, store.Options{})
	kept, err1 := s.LastCheckpoint()
	public, err2 := s.Key(t.Context())
	if err := errors.Join(err1, err2, s.Close()); err != nil {
		t.Fatal(err)
	}
	var secret []byte
	edit(t, dir, func(tx *bolt.Tx) error {
		secret = bytes.Clone(tx.Bucket([]byte("meta")).Get([]byte("key")))
		return nil
	})

	anew := t.TempDir()
	s = open(t, anew, store.Options{})
	for i := range 60 {
		must(t, s, storetest.Abandoned(callID(i), storetest.Start(), "")...)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, anew, func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("key"), secret) })
	s = open(t, anew, store.Options{})
	signed, err := s.Checkpoint(t.Context(), audit.WhyAsked)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := s.Verify(t.Context()); err != nil || !r.OK() {
		t.Fatalf("it verifies by itself: %v %v", r.Bad, err)
	}
	key, err1 := audit.OpenKey(public)
	old, err2 := audit.OpenCheckpoint(kept, key)
	at, err3 := audit.OpenCheckpoint(signed, key)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if p, err := audit.ProveConsistency(old, at, signed, s); err == nil && p.Verify(at) == nil {
		t.Error("another history passes for the continuation of a checkpoint")
	}
}
