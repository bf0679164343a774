package store_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/store/storetest"
)

// paced appends 200 acts a second, each from where it should begin, until as many have been as the benchmark wants.
func paced(b *testing.B, s *store.Store) (took []time.Duration) {
	b.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for b.Loop() {
		at := <-tick.C
		wg.Add(1)
		s.Append(storetest.Entries(call.NewID(call.Act, at), at, call.Acted{What: "x"}), func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if took = append(took, time.Since(at)); err != nil {
				b.Error(err)
			}
			wg.Done()
		})
	}
	wg.Wait()
	return took
}

// comesLast gives a goroutine a thread of its own with the priority that the program gives to an export.
func comesLast() {
	runtime.LockOSThread()
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), 10) // where it may not, the bench is the harder
}

// BenchmarkPaced: 200 appends a second, alone and while all is exported, by workers that come last on the processor.
func BenchmarkPaced(b *testing.B) {
	for _, exporting := range []bool{false, true} {
		name := map[bool]string{false: "alone", true: "export"}[exporting]
		b.Run(name, func(b *testing.B) {
			s, _ := full(b)
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			rows := uint64(0)
			if exporting {
				before := runtime.GOMAXPROCS(0)
				runtime.GOMAXPROCS(before + 4) // as the program does
				defer runtime.GOMAXPROCS(before)
				o := export.Options{Format: export.CSV, Zone: time.UTC, Begin: comesLast, Workers: before}
				wg.Go(func() {
					for ctx.Err() == nil {
						p, err := export.Write(ctx, io.Discard, s, o)
						if err != nil && ctx.Err() == nil {
							b.Error(err)
							return
						}
						rows += p.Rows
					}
				})
			}
			took := paced(b, s)
			cancel()
			wg.Wait()
			percentiles(b, took)
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkCommit: one writer's append, and beside it what it is held against: two pages that are written and synced.
func BenchmarkCommit(b *testing.B) {
	s, dir := full(b)
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(16 << 20); err != nil {
		b.Fatal(err)
	}
	page := make([]byte, 4096)
	var commits, syncs []time.Duration
	for n := int64(0); b.Loop(); n++ {
		at := time.Now()
		if err := storetest.Append(s, storetest.Entries(call.NewID(call.Act, at), at, call.Acted{What: "x"})...); err != nil {
			b.Fatal(err)
		}
		commits = append(commits, time.Since(at))
		at = time.Now()
		for i := range int64(2) {
			if _, err := f.WriteAt(page, (2*n+i)%4096*4096); err != nil {
				b.Fatal(err)
			}
			if err := syscall.Fdatasync(int(f.Fd())); err != nil {
				b.Fatal(err)
			}
		}
		syncs = append(syncs, time.Since(at))
	}
	percentiles(b, commits)
	b.ReportMetric(float64(median(commits))/float64(median(syncs)), "of-two-syncs")
}
