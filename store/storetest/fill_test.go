package storetest_test

import (
	"testing"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// Fill leaves what it says: it verifies, it is varied, and it is the same each time.
func TestFill(t *testing.T) {
	const n = 800
	fill := func() (outcomes map[call.Outcome]int, numbers map[string]int, amended, pieces int) {
		s, err := store.Open(storetest.Dir(t), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := storetest.Fill(s, n); err != nil {
			t.Fatal(err)
		}
		storetest.Check(t, s)
		outcomes, numbers = map[call.Outcome]int{}, map[string]int{}
		seen := map[call.ID]bool{}
		for p, err := range s.Scan(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			r, err := call.ParseRecord(p.Body)
			if err != nil {
				t.Fatal(err)
			}
			if pieces++; seen[p.Of] {
				amended++
				continue
			}
			seen[p.Of] = true
			outcomes[r.Outcome]++
			numbers[r.Caller.Number]++
		}
		return outcomes, numbers, amended, pieces
	}
	outcomes, numbers, amended, pieces := fill()
	if pieces != n+amended || amended < n/4 || amended > n*35/100 {
		t.Errorf("%d pieces, %d of them amendments", pieces, amended)
	}
	if len(numbers) != n/20 || numbers[storetest.FillNumber(1)] == 0 {
		t.Errorf("%d numbers", len(numbers))
	}
	for _, o := range []call.Outcome{call.WasAnswered, call.WasAbandoned, call.WasRefused, call.WasRejected, call.WasTest} {
		if outcomes[o] == 0 {
			t.Errorf("none was %s", o)
		}
	}
	if _, again, _, _ := fill(); again[storetest.FillNumber(1)] != numbers[storetest.FillNumber(1)] {
		t.Error("the second time it is another year")
	}
}
