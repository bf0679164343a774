package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// filled is the folder of a store with storetest.Records calls, the same one for all benchmarks of a run.
var filled = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "siaga112-bench")
	if err != nil {
		return "", err
	}
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		return "", err
	}
	benchFiles = dir
	if err := storetest.Fill(s, benchRecords); err != nil {
		return "", err
	}
	return dir, s.Close()
})

// What filled is made of, and what it leaves.
var (
	benchRecords int
	benchFiles   string
)

func TestMain(m *testing.M) {
	code := m.Run()
	if benchFiles != "" {
		_ = os.RemoveAll(benchFiles)
	}
	os.Exit(code)
}

// full opens the filled store.
func full(b *testing.B) (s *store.Store, dir string) {
	b.Helper()
	benchRecords = storetest.Records(b)
	dir, err := filled()
	if err != nil {
		b.Fatal(err)
	}
	return open(b, dir, store.Options{}), dir
}

// percentiles reports p50 and p99 of single appends.
func percentiles(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(median(took).Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}

// BenchmarkOpen: a filled store is opened and closed; its pages are in memory.
func BenchmarkOpen(b *testing.B) {
	s, dir := full(b)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := store.Open(dir, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if _, _, _, err := s.Ledger(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkFind: all calls of a number, and 50 calls from a time on, among all.
func BenchmarkFind(b *testing.B) {
	s, _ := full(b)
	for name, q := range map[string]store.Query{
		"number": {Number: storetest.FillNumber(2)},
		"time":   {From: storetest.Start().AddDate(0, -6, 0)},
		"newest": {To: storetest.Start().AddDate(0, -6, 0), Newest: true},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n := 0
				for id, err := range s.Find(context.Background(), q) {
					if err != nil {
						b.Fatal(err)
					}
					if _, err := s.Pieces(id); err != nil {
						b.Fatal(err)
					}
					if n++; n == 50 {
						break
					}
				}
			}
		})
	}
}

// BenchmarkMeanwhile: one append after the other, alone, while all is read, and while the file is compacted.
func BenchmarkMeanwhile(b *testing.B) {
	scan := func(ctx context.Context, s *store.Store) error {
		for _, err := range s.Scan(ctx, 0) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	compact := func(ctx context.Context, s *store.Store) error { _, err := s.Compact(ctx); return err }
	for _, c := range []struct {
		name string
		f    func(context.Context, *store.Store) error
	}{{"alone", nil}, {"scan", scan}, {"compact", compact}} {
		b.Run(c.name, func(b *testing.B) {
			s, _ := full(b)
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			if c.f != nil {
				wg.Go(func() {
					for ctx.Err() == nil {
						if err := c.f(ctx, s); err != nil && ctx.Err() == nil {
							b.Error(err)
							return
						}
					}
				})
			}
			var took []time.Duration
			for b.Loop() {
				at := time.Now()
				e := storetest.Entries(call.NewID(call.Act, at), at, call.Acted{What: "x"})
				if err := storetest.Append(s, e...); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(at))
			}
			percentiles(b, took)
			cancel()
			wg.Wait()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkForget: half of the calls expire, the file is compacted; then a commit.
func BenchmarkForget(b *testing.B) {
	_, dir := full(b)
	for b.Loop() {
		b.StopTimer()
		to := b.TempDir()
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			b.Fatal(err)
		}
		s := open(b, to, store.Options{})
		b.StartTimer()
		begin := time.Now()
		gone, err := s.Expire(context.Background(), storetest.Start().AddDate(0, -6, 0), "bench")
		if err != nil {
			b.Fatal(err)
		}
		expired := time.Since(begin)
		done, err := s.Compact(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		b.ReportMetric(float64(gone.Pieces)/expired.Seconds(), "expired/s")
		b.ReportMetric(done.Took.Seconds(), "compact-s")
		b.ReportMetric(float64(done.Pause.Microseconds())/1000, "pause-ms")
		b.ReportMetric(float64(done.Before>>20), "before-MB")
		b.ReportMetric(float64(done.After>>20), "after-MB")
		var took []time.Duration
		for range 200 {
			at := time.Now()
			if err := storetest.Append(s, storetest.Entries(call.NewID(call.Act, at), at, call.Acted{What: "x"})...); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(at))
		}
		percentiles(b, took)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(to, store.File)); err != nil {
			b.Fatal(fmt.Errorf("after the compaction: %w", err))
		}
		b.StartTimer()
	}
}
