package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/store/storetest"
)

// filledStore is an open store with n calls.
func filledStore(tb testing.TB, n int) *store.Store {
	tb.Helper()
	s, err := store.Open(storetest.Dir(tb), store.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := storetest.Fill(s, n); err != nil {
		tb.Fatal(err)
	}
	return s
}

// slow hides Latest: the export then finds the last pieces by Scan and Pieces.
type slow struct{ s *store.Store }

func (s slow) Size() (uint64, error)                    { return s.s.Size() }
func (s slow) Pieces(id call.ID) ([]call.Sealed, error) { return s.s.Pieces(id) }
func (s slow) Scan(ctx context.Context, from uint64) iter.Seq2[call.Sealed, error] {
	return s.s.Scan(ctx, from)
}

// TestLatestIsWhatPiecesSay: the fast reader gives the rows that Scan and Pieces give, with amendments and erasures.
func TestLatestIsWhatPiecesSay(t *testing.T) {
	s := filledStore(t, 2000)
	if _, err := s.Erase(t.Context(), store.Erasure{Number: storetest.FillNumber(3), By: "budi", Reason: "asked", Order: "7"}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Size()
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []uint64{all, all / 2, 600, 1} {
		text, done := [2]string{}, [2]export.Progress{}
		for i, src := range []export.Source{slow{s}, s} {
			var b bytes.Buffer
			if done[i], err = export.Write(t.Context(), &b, src, export.Options{Format: export.CSV, Size: size, Zone: time.UTC}); err != nil {
				t.Fatal(err)
			}
			text[i] = b.String()
		}
		if d := cmp.Diff(text[0], text[1]); d != "" || done[0] != done[1] {
			t.Errorf("as of %d: %+v and %+v\n%s", size, done[0], done[1], d)
		}
		if size == all && (done[0].Erased == 0 || done[0].Rows != 2000-uint64(strings.Count(text[0], "none")) && done[0].Rows < 1900) {
			t.Errorf("%+v", done[0])
		}
	}
}

// TestLatestNamesTheDamaged: what is before a damaged record still comes, then an error that names it.
func TestLatestNamesTheDamaged(t *testing.T) {
	for name, damage := range map[string]func(rec *bolt.Bucket, k []byte) error{
		"short":      func(rec *bolt.Bucket, k []byte) error { return rec.Put(k, make([]byte, 40)) },
		"tiny":       func(rec *bolt.Bucket, k []byte) error { return rec.Put(k, make([]byte, 3)) },
		"no subject": func(rec *bolt.Bucket, k []byte) error { return rec.Put(k, make([]byte, 400)) },
		"no line":    func(rec *bolt.Bucket, k []byte) error { return rec.Put(k, bytes.TrimRight(cut(rec.Get(k)), "\n")) },
		"another's id": func(rec *bolt.Bucket, k []byte) error {
			return rec.Put(k, bytes.Replace(rec.Get(k), []byte(`{"of":"c0`), []byte(`{"of":"c1`), 1))
		},
	} {
		dir := storetest.Dir(t)
		s, err := store.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(storetest.Fill(s, 30), s.Close())
		if err != nil {
			t.Fatal(err)
		}
		var at uint64
		change(t, dir, func(tx *bolt.Tx) error {
			rec := tx.Bucket([]byte("rec"))
			at = 10
			for !bytes.Contains(rec.Get(binary.BigEndian.AppendUint64(nil, at)), []byte(`"abandoned"`)) { // it has no amendment
				at++
			}
			return damage(rec, binary.BigEndian.AppendUint64(nil, at))
		})
		if s, err = store.Open(dir, store.Options{}); err != nil {
			t.Fatal(err)
		}
		var last uint64
		var got error
		for some, err := range s.Latest(t.Context(), 0, 1000) {
			if got = err; err == nil {
				last = some[len(some)-1].Seq
			}
		}
		if !errors.Is(got, call.ErrFormat) || last >= at || last < at-5 || !strings.Contains(got.Error(), fmt.Sprintf("record %d", at)) {
			t.Errorf("%s: record %d: the last before it is %d, %v", name, at, last, got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// cut is a value up to the end of its first line.
func cut(v []byte) []byte {
	at := bytes.IndexByte(v[64:], '\n')
	return bytes.Clone(v[:64+at])
}

// change changes a closed store's file.
func change(t *testing.T, dir string, f func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, store.File), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestLatestDoesNotWaitForADisk: a commit that hangs does not hold up who reads.
func TestLatestDoesNotWaitForADisk(t *testing.T) {
	var slow atomic.Bool
	hangs, goOn := make(chan struct{}), make(chan struct{})
	s := open(t, t.TempDir(), store.Options{}.WithUpdate(func(db *bolt.DB, f func(*bolt.Tx) error) error {
		if slow.Load() {
			close(hangs)
			<-goOn
			slow.Store(false)
		}
		return db.Update(f)
	}))
	if err := storetest.Fill(s, 1500); err != nil {
		t.Fatal(err)
	}
	slow.Store(true)
	s.Beat(time.Now())
	<-hangs
	n := 0
	for some, err := range s.Latest(t.Context(), 0, 1<<40) {
		if n += len(some); err != nil {
			t.Fatal(err)
		}
	}
	if close(goOn); n != 1500 {
		t.Errorf("%d calls", n)
	}
}

// BenchmarkExport: rows a second of each format, from a store of storetest.Records calls.
func BenchmarkExport(b *testing.B) {
	n := storetest.Records(b)
	s := filledStore(b, n)
	for _, format := range export.Formats {
		b.Run(format, func(b *testing.B) {
			rows := uint64(0)
			heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
			most, chunks := uint64(0), 0
			runtime.GC()
			o := export.Options{Format: format, Zone: time.UTC, Progress: func(export.Progress) {
				if chunks++; chunks%8 == 0 {
					metrics.Read(heap)
					most = max(most, heap[0].Value.Uint64())
				}
			}}
			for b.Loop() {
				p, err := export.Write(b.Context(), io.Discard, s, o)
				if err != nil {
					b.Fatal(err)
				}
				rows += p.Rows
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(most>>20), "heap-MB")
		})
	}
}
