package store_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// BenchmarkAppend: one entry, waited for until it is on the disk.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
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

// BenchmarkVerify: per record, of 20,000 answered calls with their amendments.
func BenchmarkVerify(b *testing.B) {
	const calls = 20000
	s := open(b, b.TempDir(), store.Options{})
	for i := range calls {
		s.Append(storetest.Answered(callID(i), storetest.Start(), fmt.Sprintf("+62811%07d", i), "t1"), nil)
		s.Append([]call.Entry{{Of: callID(i), At: storetest.Start(), Event: call.Classified{By: "t1", Kind: call.Prank}}}, nil)
	}
	must(b, s)
	for b.Loop() {
		r, err := s.Verify(b.Context())
		if err != nil || !r.OK() {
			b.Fatal(err, r.Bad)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(2*calls), "ns/record")
}
