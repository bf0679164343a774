package reconcile_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/store/reconcile"
)

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func at(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }

func TestNormal(t *testing.T) {
	for _, same := range [][]string{
		{"628121234567", "08121234567", "+628121234567", "0062 812-1234-567", "tel:+628121234567", "sip:08121234567@operator.example;user=phone", "(0812) 123.4567"},
		{"112", "112", "tel:112"},
		{"", "", "anonymous", "withheld", "+", "0", "0812abc", "sip:anonymous@anonymous.invalid"},
		{"15551234", "+1 555 1234", "001 555 1234"},
	} {
		for _, s := range same[1:] {
			if got := reconcile.Normal(s, ""); got != same[0] {
				t.Errorf("%q is %q, want %q", s, got, same[0])
			}
		}
	}
	if got := reconcile.Normal("0812", "60"); got != "60812" {
		t.Errorf("with another country: %q", got)
	}
}

// names are what a list of calls is about.
func names(calls []reconcile.Call) []string {
	out := []string{}
	for _, c := range calls {
		out = append(out, c.Name)
	}
	return out
}

// TestFoundExactly: whatever was dropped on either side, told twice, written in another notation or withheld, by a clock
// that is wrong by hours, is found by name.
func TestFoundExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		rng := rand.New(rand.NewPCG(seed, 1))
		n := rapid.IntRange(30, 300).Draw(t, "calls")
		off := time.Duration(rapid.IntRange(-14*3600, 14*3600).Draw(t, "offset")) * time.Second
		var operator, ours []reconcile.Call
		var unseen, undelivered, repeated []string
		s := 0
		for i := range n {
			// Many calls overlap; the same number calls again after more than the window, and withheld ones stand alone.
			s += 1 + rng.IntN(40)
			number := fmt.Sprintf("812%07d", 1000+i%23+100*(i/23))
			withheld := rng.IntN(10) == 0
			if withheld {
				s += 60
			}
			jitter := time.Duration(rng.IntN(900)-450) * time.Millisecond
			own := reconcile.Call{At: at(s), Number: "+62" + number, Duration: time.Duration(1+rng.IntN(300)) * time.Second, Name: fmt.Sprintf("c%d", i)}
			line := reconcile.Call{
				At: at(s).Add(off + jitter).Truncate(time.Second), Number: []string{"+62", "62", "0"}[rng.IntN(3)] + number,
				Duration: own.Duration, Name: fmt.Sprintf("line %d", len(operator)+2),
			}
			if withheld {
				own.Number = ""
				s += 60
			}
			drop := rng.IntN(20)
			if drop != 0 {
				operator = append(operator, line)
				if rng.IntN(15) == 0 {
					again := line
					again.Name = fmt.Sprintf("line %d", len(operator)+2)
					operator = append(operator, again)
					repeated = append(repeated, again.Name)
				}
			}
			if drop != 1 {
				ours = append(ours, own)
			}
			switch drop {
			case 0:
				undelivered = append(undelivered, own.Name)
			case 1:
				unseen = append(unseen, line.Name)
			}
		}
		span := reconcile.Options{From: at(-100), To: at(s + 100)}
		r := reconcile.Calls(operator, ours, span)
		if d := r.Offset - off; d < -2*time.Second || d > 2*time.Second || !r.Sure {
			t.Fatalf("the offset is %v, it should be %v; sure: %v", r.Offset, off, r.Sure)
		}
		got := [][]string{names(r.Unseen), names(r.Undelivered), names(r.Repeated)}
		want := [][]string{append([]string{}, unseen...), append([]string{}, undelivered...), append([]string{}, repeated...)}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
		if r.Operator.Attempts != len(operator)-len(repeated) || r.Ours.Attempts != len(ours) || r.Matched != len(ours)-len(undelivered) {
			t.Fatalf("%+v", r)
		}
		// Another order of the same calls, the same report.
		rng.Shuffle(len(operator), func(i, j int) { operator[i], operator[j] = operator[j], operator[i] })
		rng.Shuffle(len(ours), func(i, j int) { ours[i], ours[j] = ours[j], ours[i] })
		if d := cmp.Diff(r, reconcile.Calls(operator, ours, span)); d != "" {
			t.Fatal(d)
		}
	})
}

// TestLeastDistance: as many matches as can be, at the least distance in all, as trying all ways finds them.
func TestLeastDistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (calls []reconcile.Call, times []int) {
			for i, s := range rapid.SliceOfN(rapid.IntRange(0, 40), 0, 6).Draw(t, name) {
				calls = append(calls, reconcile.Call{At: at(s), Duration: time.Duration(i) * time.Second, Name: fmt.Sprint(name, i)})
				times = append(times, s)
			}
			return calls, times
		}
		operator, a := draw("a")
		ours, b := draw("b")
		var none time.Duration
		r := reconcile.Calls(operator, ours, reconcile.Options{Offset: &none, From: at(-1), To: at(100)})
		n, _ := best(a, b, 10)
		if r.Matched != n || len(r.Unseen) != len(a)-n || len(r.Undelivered) != len(b)-n {
			t.Fatalf("%d matched, want %d: %+v", r.Matched, n, r)
		}
	})
}

// TestLeastCost: of the ways with as many matches the one with the least distance is taken.
func TestLeastCost(t *testing.T) {
	var none time.Duration
	o := reconcile.Options{Offset: &none, From: at(-1), To: at(100)}
	call := func(name string, s int) reconcile.Call {
		return reconcile.Call{At: at(s), Number: "0811", Name: name}
	}
	r := reconcile.Calls([]reconcile.Call{call("line 2", 10)}, []reconcile.Call{call("c1", 3), call("c2", 9), call("c3", 12)}, o)
	if d := cmp.Diff([]string{"c1", "c3"}, names(r.Undelivered)); d != "" {
		t.Error(d)
	}
	// A greedy choice of the nearest would leave one of each alone.
	r = reconcile.Calls([]reconcile.Call{call("line 2", 10), call("line 3", 18)}, []reconcile.Call{call("c1", 1), call("c2", 11)}, o)
	if !r.Complete() {
		t.Errorf("%+v", r)
	}
}

// best tries all ways.
func best(a, b []int, window int) (n, cost int) {
	if len(a) == 0 {
		return 0, 0
	}
	n, cost = best(a[1:], b, window)
	for j := range b {
		d := int(math.Abs(float64(a[0] - b[j])))
		if d > window {
			continue
		}
		m, c := best(a[1:], slices.Delete(slices.Clone(b), j, j+1), window)
		if m+1 > n || m+1 == n && c+d < cost {
			n, cost = m+1, c+d
		}
	}
	return n, cost
}

// TestEdges: nothing on a side, a bounded span, a call that was really made twice in a second.
func TestEdges(t *testing.T) {
	call := func(name, number string, s int) reconcile.Call {
		return reconcile.Call{At: at(s), Number: number, Duration: time.Minute, Talk: time.Second, Name: name}
	}
	if r := reconcile.Calls(nil, nil, reconcile.Options{}); !r.Complete() || r.Offset != 0 || r.Sure {
		t.Errorf("%+v", r)
	}
	r := reconcile.Calls([]reconcile.Call{call("line 2", "0811", 5)}, nil, reconcile.Options{})
	if d := cmp.Diff([]string{"line 2"}, names(r.Unseen)); d != "" || r.Operator.Duration != time.Minute {
		t.Errorf("%+v", r)
	}
	// Our calls before the file begins are not compared.
	r = reconcile.Calls([]reconcile.Call{call("line 2", "0811", 500)}, []reconcile.Call{call("c0", "0812", 0), call("c1", "0811", 500)}, reconcile.Options{})
	if !r.Complete() || r.Ours.Attempts != 1 || r.Ours.Talk != time.Second {
		t.Errorf("%+v", r)
	}
	twice := []reconcile.Call{call("line 2", "0811", 5), call("line 3", "0811", 5)}
	r = reconcile.Calls(twice, []reconcile.Call{call("c1", "0811", 5), call("c2", "0811", 6)}, reconcile.Options{})
	if !r.Complete() || len(r.Repeated) != 0 || r.Operator.Attempts != 2 {
		t.Errorf("%+v", r)
	}
	// A number on one side alone is matched by time.
	r = reconcile.Calls([]reconcile.Call{call("line 2", "0811", 5)}, []reconcile.Call{call("c1", "", 7)}, reconcile.Options{})
	if !r.Complete() || r.NumberDiffers != 1 {
		t.Errorf("%+v", r)
	}
}

func TestRead(t *testing.T) {
	jakarta := time.FixedZone("WIB", 7*3600)
	want := []reconcile.Call{
		{At: time.Date(2026, 11, 24, 7, 0, 5, 0, jakarta), Number: "08115550001", Called: "112", Duration: 65 * time.Second, Name: "line 2"},
		{At: time.Date(2026, 11, 24, 23, 59, 0, 0, jakarta), Number: "", Called: "112", Name: "line 3"},
	}
	for name, c := range map[string]struct {
		f    reconcile.Format
		text string
	}{
		"named":     {reconcile.Format{Time: "start", Number: "A Number", Called: "b number", Duration: "dur"}, "Start,A Number,B Number,Dur\n2026-11-24 07:00:05,08115550001,112,65\n2026-11-24 23:59:00,,112,\n"},
		"mark, ;":   {reconcile.Format{Time: "start", Number: "a", Called: "b", Duration: "d"}, "\ufeffstart;a;b;d\r\n24/11/2026 07:00:05;08115550001;112;0:01:05\r\n24/11/2026 23:59:00;;112;0:00:00\r\n"},
		"two parts": {reconcile.Format{Time: "TGL+JAM", Number: "a", Called: "b", Duration: "d"}, "TGL\tJAM\ta\tb\td\n24-11-2026\t07:00:05\t08115550001\t112\t1:05\n24-11-2026\t23:59:00\t\t112\t\n"},
		"by number": {reconcile.Format{Time: "2", Number: "1", Called: "3", Duration: "4"}, "a|t|b|d\n08115550001|20261124070005|112|65,0\n|20261124235900|112|0\n"},
		"strftime":  {reconcile.Format{Time: "t", Number: "a", Called: "b", Duration: "d", Layout: "%m/%d/%y %I:%M:%S %p"}, "t,a,b,d\n11/24/26 07:00:05 AM,08115550001,112,1m5s\n11/24/26 11:59:00 PM,,112,\n"},
		"unix":      {reconcile.Format{Time: "t", Number: "a", Called: "b", Duration: "d", Layout: "unix"}, "t,a,b,d\n1795478405,08115550001,112,65\n1795539540,,112,\n"},
	} {
		c.f.Zone = jakarta
		got, bad, err := reconcile.Read(strings.NewReader(c.text), c.f)
		for i := range got {
			if !got[i].At.Equal(want[i].At) {
				t.Errorf("%s: %v, want %v", name, got[i].At, want[i].At)
			}
			got[i].At = want[i].At
		}
		if d := cmp.Diff(want, got); d != "" || bad != nil || err != nil {
			t.Errorf("%s: %v %v\n%s", name, bad, err, d)
		}
	}
}

// TestReadWithoutHead: columns by number, and no line that names them.
func TestReadWithoutHead(t *testing.T) {
	got, bad, err := reconcile.Read(strings.NewReader("2026-11-24 07:00:05,0811\n2026-11-24 07:00:06,0812\n"), reconcile.Format{Time: "1", Number: "2"})
	if len(got) != 2 || bad != nil || err != nil || got[0].Name != "line 1" {
		t.Errorf("%v %v %v", got, bad, err)
	}
}

// TestReadBad: each line that cannot be read is told, and the others are read.
func TestReadBad(t *testing.T) {
	text := "t,a,d\n2026-11-24 07:00:05,1,5\nyesterday,2,5\n2026-11-24 07:00:05,3,long\n\n2026-11-24 07:00:07,4,-1\n2026-11-24 07:00:08,5,6,7,8\n0001-01-01 00:00:00,6,1\n"
	got, bad, err := reconcile.Read(strings.NewReader(text), reconcile.Format{Time: "t", Number: "a", Duration: "d"})
	want := []reconcile.Bad{
		{Line: 3, Why: `"yesterday" is no time like "2006-01-02 15:04:05"`},
		{Line: 4, Why: `"long" is no duration`},
		{Line: 6, Why: `"-1" is no duration`},
		{Line: 8, Why: `"0001-01-01 00:00:00" is not in our time`},
	}
	if d := cmp.Diff(want, bad); d != "" || len(got) != 2 || err != nil {
		t.Errorf("%v %v\n%s", got, err, d)
	}
	for _, c := range []struct {
		f    reconcile.Format
		text string
		want string
	}{
		{reconcile.Format{Time: "t", Number: "a"}, "", "it is empty"},
		{reconcile.Format{Time: "when", Number: "a"}, "t,a\n", `time column: there is no "when"; it has: t, a`},
		{reconcile.Format{Time: "t"}, "t,a\n", "say which column is the number"},
		{reconcile.Format{Time: "1", Number: "9"}, "t,a\n", `there is no "9"`},
	} {
		if _, _, err := reconcile.Read(strings.NewReader(c.text), c.f); !errors.Is(err, reconcile.ErrFile) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

// FuzzRead: whatever an operator sends, it is read or refused, every line of it is told, and it can be compared.
func FuzzRead(f *testing.F) {
	f.Add("t,a,d\n2026-11-24 07:00:05,0811,5\n", "t", "a", "d", "")
	f.Add("\ufeffTGL;JAM;A\n24/11/2026;07:00;\"08\"\"11\"\n", "TGL+JAM", "3", "", "%d/%m/%Y %H:%M")
	f.Add("1,2,3\n1795478405,x,1:2:3\n", "1", "2", "3", "unix")
	f.Fuzz(func(t *testing.T, text, when, number, duration, layout string) {
		calls, bad, err := reconcile.Read(strings.NewReader(text), reconcile.Format{Time: when, Number: number, Duration: duration, Layout: layout})
		if err != nil {
			if calls != nil || !errors.Is(err, reconcile.ErrFile) {
				t.Fatalf("%v with %d calls", err, len(calls))
			}
			return
		}
		for _, c := range calls {
			if c.Duration < 0 || c.At.Year() < 1969 || c.At.Year() > 2600 || !strings.HasPrefix(c.Name, "line ") {
				t.Fatalf("%+v", c)
			}
		}
		for _, b := range bad {
			if b.Line < 1 || b.Why == "" {
				t.Fatalf("%+v", b)
			}
		}
		if r := reconcile.Calls(calls, nil, reconcile.Options{}); r.Matched != 0 || len(r.Unseen)+len(r.Repeated) != len(calls) {
			t.Fatalf("%d of %d calls: %+v", len(r.Unseen), len(calls), r)
		}
	})
}

// BenchmarkCalls: a year of an emergency line on both sides.
func BenchmarkCalls(b *testing.B) {
	const n = 100_000
	rng := rand.New(rand.NewPCG(1, 2))
	var operator, ours []reconcile.Call
	for i := range n {
		c := reconcile.Call{At: at(i * 300), Number: fmt.Sprintf("+62811%07d", rng.IntN(n/20)), Name: fmt.Sprint(i)}
		ours = append(ours, c)
		c.At = c.At.Add(7*time.Hour + 3*time.Second)
		operator = append(operator, c)
	}
	for b.Loop() {
		if r := reconcile.Calls(operator, ours, reconcile.Options{}); r.Matched != n {
			b.Fatalf("%d matched", r.Matched)
		}
	}
}
