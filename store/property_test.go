package store_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// model is what a store must hold after a history: it remembers what was acknowledged.
type model struct {
	t       *rapid.T
	dir     string
	s       *store.Store
	o       store.Options
	f       *faults
	entries map[call.ID][]call.Entry // acknowledged
	scripts map[call.ID][]call.Entry
	legs    map[call.ID]map[call.Leg]string
	crashes int
}

// TestHistories plays random histories on a store whose commits fail at random and that is stopped, or dies, at random
// moments. In a bubble, so that the pauses between attempts take no time.
func TestHistories(t *testing.T) {
	base, n := storetest.Dir(t), 0
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) { // a *testing.T has a Deadline, which a bubble forbids
			dir := filepath.Join(base, fmt.Sprint(n))
			n++
			defer func() { _ = os.RemoveAll(dir) }()
			f := &faults{}
			m := &model{
				t: t, dir: dir, f: f, o: store.Options{}.WithUpdate(f.update),
				entries: map[call.ID][]call.Entry{}, scripts: map[call.ID][]call.Entry{},
				legs: map[call.ID]map[call.Leg]string{},
			}
			m.open()
			defer func() { _ = m.s.Close() }()
			t.Repeat(map[string]func(*rapid.T){
				"begin":  m.begin,
				"go on":  m.proceed,
				"again":  m.again,
				"amend":  m.amend,
				"keep":   m.keep,
				"fail":   m.fail,
				"reopen": m.reopen,
				"crash":  m.crash,
			})
			m.check()
		})
	})
}

func (m *model) open() {
	s, err := store.Open(m.dir, m.o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.s = s
}

// append gives entries to the store and, once they are durable, to the model.
func (m *model) append(es ...call.Entry) {
	if err := storetest.Append(m.s, es...); err != nil {
		m.t.Fatalf("append: %v", err)
	}
	for _, e := range es {
		if e.N == 0 {
			e.N = uint32(len(m.entries[e.Of])) + 1
		}
		m.entries[e.Of] = append(m.entries[e.Of], e)
	}
}

func (m *model) begin(t *rapid.T) {
	n, at := len(m.scripts), storetest.Start()
	kinds := rapid.SampledFrom([]string{"answered", "abandoned", "shift", "act"})
	number := rapid.SampledFrom([]string{"", "+628115550001", "+628115550002"}).Draw(t, "number")
	var es []call.Entry
	switch kinds.Draw(t, "what") {
	case "answered":
		es = storetest.Answered(callID(n), at, number, "t1")
	case "abandoned":
		es = storetest.Abandoned(callID(n), at, number)
	case "shift":
		es = storetest.Shift(storetest.ID(call.Shift, n, at), at, "t1")
	case "act":
		es = storetest.Entries(storetest.ID(call.Act, n, at), at, call.Acted{What: "export"})
	}
	m.scripts[es[0].Of] = es
	m.append(es[:rapid.IntRange(1, len(es)).Draw(t, "entries")]...)
}

// any draws a subject that has begun.
func (m *model) any(t *rapid.T) call.ID {
	if len(m.scripts) == 0 {
		t.Skip("nothing has begun")
	}
	return rapid.SampledFrom(slices.Sorted(maps.Keys(m.scripts))).Draw(t, "subject")
}

func (m *model) ended(id call.ID) bool { return len(m.entries[id]) >= len(m.scripts[id]) }

func (m *model) proceed(t *rapid.T) {
	id := m.any(t)
	rest := m.scripts[id][min(len(m.entries[id]), len(m.scripts[id])):]
	if len(rest) == 0 {
		t.Skip("it has ended")
	}
	m.append(rest[:rapid.IntRange(1, len(rest)).Draw(t, "entries")]...)
}

func (m *model) again(t *rapid.T) {
	es := m.entries[m.any(t)]
	from := rapid.IntRange(0, len(es)-1).Draw(t, "from")
	if err := storetest.Append(m.s, es[from:rapid.IntRange(from, len(es)).Draw(t, "to")]...); err != nil {
		t.Fatalf("again: %v", err)
	}
}

func (m *model) amend(t *rapid.T) {
	id := m.any(t)
	if !m.ended(id) {
		t.Skip("it lives")
	}
	e := call.Entry{Of: id, At: storetest.Start(), Event: call.Classified{
		By: "t1", Kind: rapid.SampledFrom(call.Kinds).Draw(t, "kind"), Note: rapid.String().Draw(t, "note"),
	}}
	if rapid.Bool().Draw(t, "numbered") {
		e.N = uint32(len(m.entries[id])) + 1
	}
	m.append(e)
}

func (m *model) keep(t *rapid.T) {
	id := m.any(t)
	if m.ended(id) {
		t.Skip("it has ended")
	}
	leg := call.Leg(rapid.IntRange(0, 2).Draw(t, "leg"))
	if m.legs[id] == nil {
		m.legs[id] = map[call.Leg]string{}
	}
	if rapid.Bool().Draw(t, "forget") {
		delete(m.legs[id], leg)
		m.s.Keep(id, leg, nil, nil)
		return
	}
	m.legs[id][leg] = fmt.Sprintf("%d %s", leg, rapid.StringN(0, 9, -1).Draw(t, "dialog"))
	m.s.Keep(id, leg, []byte(m.legs[id][leg]), nil)
}

func (m *model) fail(t *rapid.T) {
	m.f.before.Store(int32(rapid.IntRange(0, 3).Draw(t, "before")))
	m.f.after.Store(int32(rapid.IntRange(0, 2).Draw(t, "after")))
}

func (m *model) reopen(*rapid.T) {
	if err := m.s.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.open()
}

// crash goes on with a copy of the file, taken when all was acknowledged.
func (m *model) crash(t *rapid.T) {
	if err := storetest.Append(m.s); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(m.dir, fmt.Sprint("crash ", m.crashes))
	m.crashes++
	b, err := os.ReadFile(filepath.Join(m.dir, store.File))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, store.File), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.dir = to
	m.open()
}

// check holds the store against the model.
func (m *model) check() {
	t := m.t
	if err := storetest.Append(m.s); err != nil {
		t.Fatal(err)
	}
	r, err := m.s.Verify(t.Context())
	if err != nil || !r.OK() {
		t.Fatalf("verify: %v %v", err, r.Bad)
	}
	got, legs, ended := map[call.ID][]call.Entry{}, map[call.ID]map[call.Leg]string{}, map[call.ID]bool{}
	for es, err := range m.s.Live() {
		if err != nil {
			t.Fatal(err)
		}
		got[es[0].Of] = es
	}
	for p, err := range m.s.Scan(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		_, es, err := call.ParseBody(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		got[p.Of], ended[p.Of] = append(got[p.Of], es...), true
	}
	if d := cmp.Diff(m.entries, got); d != "" {
		t.Fatalf("entries (-want +got):\n%s", d)
	}
	for l, d := range m.s.Kept() {
		if legs[l.Of] == nil {
			legs[l.Of] = map[call.Leg]string{}
		}
		legs[l.Of][l.Leg] = string(d)
	}
	maps.DeleteFunc(m.legs, func(id call.ID, legs map[call.Leg]string) bool { return len(legs) == 0 || m.ended(id) })
	if d := cmp.Diff(m.legs, legs); d != "" {
		t.Fatalf("dialogs (-want +got):\n%s", d)
	}
	calls := uint64(0)
	for id := range m.entries {
		if m.ended(id) != ended[id] {
			t.Fatalf("%s has ended: %v", id, ended[id])
		}
		if id.Kind() == call.Call {
			calls++
		}
	}
	if r.Arrived != calls || r.Arrived != r.Ended+r.Live {
		t.Fatalf("%d calls; the ledger has %d, %d, %d", calls, r.Arrived, r.Ended, r.Live)
	}
}
