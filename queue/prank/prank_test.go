package prank_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue/prank"
)

const (
	day   = 24 * time.Hour
	limit = 30 * time.Second
)

var now = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func asserted(number string) call.Caller { return call.Caller{Number: number, Trust: call.Asserted} }

// past is one classified call of +621, so long ago.
type past struct {
	ago  time.Duration
	kind call.Kind
}

func record(i int, p past) call.Record {
	return call.Record{Of: call.ID(fmt.Sprintf("c%d", i)), FirstAt: now.Add(-p.ago), Caller: asserted("+621"), Kind: p.kind}
}

func learned(calls ...past) *prank.Scorer {
	s := prank.New(limit)
	for i, p := range calls {
		s.Learn(record(i, p))
	}
	return s
}

func TestScore(t *testing.T) {
	at := func(ago time.Duration) time.Time { return now.Add(-ago) }
	tests := []struct {
		name  string
		calls []past
		want  call.Scored
	}{
		{"no history", nil, call.Scored{P: -1}},
		{"one prank", []past{{0, call.Prank}}, call.Scored{
			P: 0.778, Delay: 11700 * time.Millisecond, Why: []call.Reason{{Kind: "prank", Count: 1, Days: 1, Last: at(0)}},
		}},
		{"three pranks on two days", []past{{2 * day, call.Prank}, {2*day - time.Hour, call.Prank}, {0, call.Prank}}, call.Scored{
			P: 0.892, Delay: 28800 * time.Millisecond, Why: []call.Reason{{Kind: "prank", Count: 3, Days: 2, Last: at(0)}},
		}},
		{"many pranks: the whole delay", []past{{0, call.Prank}, {0, call.Prank}, {0, call.Prank}, {0, call.Prank}, {0, call.Prank}}, call.Scored{
			P: 0.931, Delay: limit, Why: []call.Reason{{Kind: "prank", Count: 5, Days: 1, Last: at(0)}},
		}},
		{"a prank counts half after 30 days", []past{{30 * day, call.Prank}}, call.Scored{
			P: 0.692, Why: []call.Reason{{Kind: "prank", Count: 1, Days: 1, Last: at(30 * day)}},
		}},
		{"silent and wrong numbers count 0.7", []past{{0, call.Silent}, {0, call.WrongNumber}}, call.Scored{
			P: 0.818, Delay: 17700 * time.Millisecond,
			Why: []call.Reason{{Kind: "silent", Count: 1, Days: 1, Last: at(0)}, {Kind: "wrong-number", Count: 1, Days: 1, Last: at(0)}},
		}},
		{"one emergency weighs two pranks", []past{{0, call.Prank}, {0, call.Prank}, {0, call.Emergency}}, call.Scored{
			P:   0.5,
			Why: []call.Reason{{Kind: "prank", Count: 2, Days: 1, Last: at(0)}, {Kind: "genuine", Count: 1, Days: 1, Last: at(0)}},
		}},
		{"complaints are genuine, information is milder", []past{{0, call.Complaint}, {0, call.Information}}, call.Scored{
			P:   0.105,
			Why: []call.Reason{{Kind: "genuine", Count: 1, Days: 1, Last: at(0)}, {Kind: "information", Count: 1, Days: 1, Last: at(0)}},
		}},
		{"three reasons at most, the largest first", []past{
			{0, call.Silent}, {0, call.Information}, {0, call.Prank}, {0, call.Prank}, {0, call.Emergency}, {day, call.Emergency},
		}, call.Scored{
			P: 0.367,
			Why: []call.Reason{
				{Kind: "genuine", Count: 2, Days: 2, Last: at(0)},
				{Kind: "prank", Count: 2, Days: 1, Last: at(0)},
				{Kind: "information", Count: 1, Days: 1, Last: at(0)},
			},
		}},
		{"disconnected and test teach nothing", []past{{0, call.Disconnected}, {0, call.TestCall}, {0, ""}}, call.Scored{P: -1}},
		{"after a year all is forgotten", []past{{360 * day, call.Prank}}, call.Scored{P: -1}},
		{"a call of the future counts whole", []past{{-day, call.Prank}}, call.Scored{
			P: 0.778, Delay: 11700 * time.Millisecond, Why: []call.Reason{{Kind: "prank", Count: 1, Days: 1, Last: at(-day)}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := learned(tt.calls...).Score(now, "telkom", asserted("+621"))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("score (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhoIsScored: only a number that the network vouches for has a history, and it is nobody else's.
func TestWhoIsScored(t *testing.T) {
	s := prank.New(limit)
	for i, c := range []call.Caller{
		{Number: "+621", Trust: call.Claimed}, {Trust: call.None}, {Trust: call.Asserted}, {Number: "+621", Trust: call.None},
	} {
		s.Learn(call.Record{Of: call.ID(fmt.Sprintf("c%d", i)), FirstAt: now, Caller: c, Kind: call.Prank})
	}
	if got := s.Score(now, "", asserted("+621")); got.P != -1 {
		t.Errorf("learnt from a claim: %+v", got)
	}
	s.Learn(record(10, past{0, call.Prank}))
	for _, c := range []call.Caller{{Number: "+621", Trust: call.Claimed}, {Trust: call.Asserted}, {Trust: call.None}, asserted("+622")} {
		if got := s.Score(now, "", c); got.P != -1 || got.Delay != 0 || got.Why != nil {
			t.Errorf("%+v is scored %+v", c, got)
		}
	}
	if got := s.Score(now, "another", asserted("+621")); got.P < 0 {
		t.Error("a caller is another one on another trunk")
	}
}

func TestLearn(t *testing.T) {
	tests := []struct {
		name  string
		kinds []call.Kind // of the same call, one after the other
		want  float64
	}{
		{"twice is once", []call.Kind{call.Prank, call.Prank}, 0.778},
		{"a correction replaces", []call.Kind{call.Prank, call.Emergency}, 0.143},
		{"also by what teaches nothing", []call.Kind{call.Prank, call.Disconnected}, -1},
		{"and by no kind", []call.Kind{call.Prank, ""}, -1},
		{"and back", []call.Kind{call.Prank, call.TestCall, call.Prank}, 0.778},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := prank.New(limit)
			for _, k := range tt.kinds {
				s.Learn(record(1, past{0, k}))
			}
			if got := s.Score(now, "", asserted("+621")).P; got != tt.want {
				t.Errorf("p is %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLearnFromCallsOnly(t *testing.T) {
	s := prank.New(limit)
	r := record(1, past{0, call.Prank})
	r.Of = "s1"
	s.Learn(r)
	r.Of, r.Test = "c1", true
	s.Learn(r)
	if got := s.Score(now, "", asserted("+621")); got.P != -1 {
		t.Errorf("learnt from a shift or a test call: %+v", got)
	}
}

func TestNoDelay(t *testing.T) {
	for _, limit := range []time.Duration{0, -time.Second} {
		s := prank.New(limit)
		for i := range 20 {
			s.Learn(record(i, past{0, call.Prank}))
		}
		if got := s.Score(now, "", asserted("+621")); got.Delay != 0 || got.P < 0.9 {
			t.Errorf("max delay %s: %+v", limit, got)
		}
	}
}

// TestBounded: one number keeps its latest 64 calls, in whatever order they are read.
func TestBounded(t *testing.T) {
	s := prank.New(limit)
	for i := range 1000 {
		s.Learn(record(i, past{time.Duration(i) * time.Minute, call.Prank}))
	}
	for i := range 5000 { // others, old enough to be swept
		r := record(10_000+i, past{720 * day, call.Prank})
		r.Caller = asserted(fmt.Sprintf("+62%d", i))
		s.Learn(r)
	}
	got := s.Score(now, "", asserted("+621"))
	if got.Why[0].Count != 64 || !got.Why[0].Last.Equal(now) {
		t.Errorf("reasons are %+v", got.Why)
	}
	if n := s.Numbers(); n > 2000 {
		t.Errorf("%d numbers are kept of which nothing counts", n)
	}
}

// TestProperties: the order of learning and repetitions change nothing, p and delay stay in their bounds, and one more
// prank never makes a call look more genuine.
func TestProperties(t *testing.T) {
	kinds := append([]call.Kind{""}, call.Kinds...)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "calls")
		rs := make([]call.Record, 0, n)
		for i := range n {
			rs = append(rs, record(i, past{
				time.Duration(rapid.IntRange(0, 400*24).Draw(t, "hours")) * time.Hour, rapid.SampledFrom(kinds).Draw(t, "kind"),
			}))
		}
		a, b := prank.New(limit), prank.New(limit)
		for _, r := range rs {
			a.Learn(r)
		}
		for _, r := range rapid.Permutation(rs).Draw(t, "order") {
			wrong := r
			wrong.Kind = rapid.SampledFrom(kinds).Draw(t, "mistake")
			b.Learn(wrong)
			b.Learn(r)
		}
		got := a.Score(now, "", asserted("+621"))
		again := b.Score(now, "", asserted("+621"))
		if got.P != again.P || got.Delay != again.Delay {
			t.Fatalf("another order gives %+v, not %+v", again, got)
		}
		if got.P != -1 && (got.P < 0 || got.P > 1) || got.Delay < 0 || got.Delay > limit || got.P <= 0.7 && got.Delay != 0 || len(got.Why) > 3 {
			t.Fatalf("out of bounds: %+v", got)
		}
		a.Learn(record(n, past{0, call.Prank}))
		if more := a.Score(now, "", asserted("+621")); got.P >= 0 && more.P < got.P {
			t.Fatalf("one more prank: from %v to %v", got.P, more.P)
		}
	})
}

func BenchmarkScore(b *testing.B) {
	for _, calls := range []int{0, 3, 64} {
		b.Run(fmt.Sprintf("calls=%d", calls), func(b *testing.B) {
			s := prank.New(limit)
			for i := range calls {
				s.Learn(record(i, past{time.Duration(i) * day, call.Kinds[i%len(call.Kinds)]}))
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Score(now, "telkom", asserted("+621"))
			}
		})
	}
}

func BenchmarkLearn(b *testing.B) {
	s := prank.New(limit)
	rs := make([]call.Record, 100_000)
	for i := range rs {
		rs[i] = record(i, past{time.Duration(len(rs)-i) * time.Second, call.Prank})
		rs[i].Caller = asserted(fmt.Sprintf("+62%d", i%10_000))
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		s.Learn(rs[i%len(rs)])
		i++
	}
}

// A number that is forgotten has no history; the others keep theirs.
func TestForget(t *testing.T) {
	s := prank.New(time.Minute)
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	callers := []call.Caller{{Number: "+628115550001", Trust: call.Asserted}, {Number: "+628115550002", Trust: call.Asserted}}
	for _, c := range callers {
		s.Learn(call.Record{Of: call.NewID(call.Call, at), FirstAt: at, Caller: c, Kind: call.Prank})
	}
	s.Forget(callers[0].Number)
	if got := s.Score(at, "", callers[0]); got.P != -1 {
		t.Errorf("the forgotten one has %v", got.P)
	}
	if got := s.Score(at, "", callers[1]); got.P == -1 {
		t.Error("the other one was forgotten, too")
	}
}
