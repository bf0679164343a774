package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// BenchmarkAppend: one entry, waited for until it is on the disk.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, b.TempDir(), store.Options{})
			ids := make(chan call.ID, writers)
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for id := range ids {
						e := storetest.Entries(id, storetest.Start(), storetest.Arrived("+628115550001"))
						if err := storetest.Append(s, e...); err != nil {
							b.Error(err)
						}
					}
				})
			}
			n := 0
			for b.Loop() {
				ids <- callID(n)
				n++
			}
			close(ids)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkSeal: a whole answered call of 12 entries, from nothing to its record, committed in as few transactions as
// the committer makes of them.
func BenchmarkSeal(b *testing.B) {
	s := open(b, b.TempDir(), store.Options{})
	var wg sync.WaitGroup
	slots := make(chan struct{}, 1000)
	n := 0
	for b.Loop() {
		es := storetest.Answered(callID(n), storetest.Start(), "+628115550001", "t1")
		n++
		wg.Add(1)
		slots <- struct{}{}
		s.Append(es, func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-slots
			wg.Done()
		})
	}
	wg.Wait()
}

// BenchmarkVerify: per record, of storetest.Records calls as a year leaves them.
func BenchmarkVerify(b *testing.B) {
	s := open(b, b.TempDir(), store.Options{})
	if err := storetest.Fill(s, storetest.Records(b)); err != nil {
		b.Fatal(err)
	}
	size, err := s.Size()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := s.Verify(b.Context())
		if err != nil || !r.OK() {
			b.Fatal(err, r.Bad)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/record")
}

// BenchmarkSync: what a commit is held against: a page is written and synced, twice, on the same disk.
func BenchmarkSync(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "sync"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	page := make([]byte, 4096)
	if err := errors.Join(f.Truncate(16<<20), f.Sync()); err != nil {
		b.Fatal(err)
	}
	n := int64(0)
	for b.Loop() {
		for range 2 {
			n++
			if _, err := f.WriteAt(page, n%4096*4096); err != nil {
				b.Fatal(err)
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				b.Fatal(err)
			}
		}
	}
}
