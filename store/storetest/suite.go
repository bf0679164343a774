package storetest

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
)

// callID is the n-th call of a test.
func callID(n int) call.ID { return ID(call.Call, n, Start()) }

func testLive(b *bench) {
	t := b.t
	one, two := Answered(callID(1), Start(), "+628115550001", "t1")[:5], Abandoned(callID(2), Start(), "")[:3]
	b.must(one[:2]...)
	b.must(two...)
	b.must(one[2:]...)
	same(t, "live", [][]call.Entry{one, two}, b.live())
	b.reopen()
	same(t, "live after a restart", [][]call.Entry{one, two}, b.live())
}

func testLedger(b *bench) {
	t := b.t
	for i := range 5 {
		es := Abandoned(callID(i), Start(), "+628115550001")
		if i >= 3 {
			es = es[:2]
		}
		b.must(es...)
	}
	b.must(Shift(ID(call.Shift, 1, Start()), Start(), "t1")[:1]...)
	arrived, ended, live, err := b.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "arrived, ended, live", []uint64{5, 3, 2}, []uint64{arrived, ended, live})
	b.reopen()
	arrived, ended, live, err = b.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "after a restart", []uint64{5, 3, 2}, []uint64{arrived, ended, live})
}

func testIdempotent(b *bench) {
	t := b.t
	es := Answered(callID(1), Start(), "+628115550001", "t1")
	for i := range es {
		b.must(es[:i+1]...)
		b.must(es[max(0, i-1) : i+1]...)
	}
	b.reopen()
	b.must(es...)
	if rs := b.records(callID(1)); len(rs) != 1 {
		t.Errorf("%d pieces, want 1", len(rs))
	}
	same(t, "live", 0, len(b.live()))
}

func testRefused(b *bench) {
	t := b.t
	es := Answered(callID(1), Start(), "+628115550001", "t1")
	b.must(es[:3]...)
	ended := Abandoned(callID(2), Start(), "+628115550002")
	b.must(ended...)
	other := es[1]
	other.Event = call.Scored{P: 0.5}
	for _, c := range []struct {
		name  string
		entry call.Entry
		want  error
	}{
		{"an unknown call", call.Entry{Of: callID(9), Event: call.Classified{Kind: call.Prank}}, store.ErrUnknown},
		{"a call that does not begin with arrived", call.Entry{Of: callID(9), N: 1, Event: call.Rang{Leg: 1}}, store.ErrUnknown},
		{"a call from its middle", call.Entry{Of: callID(9), N: 2, Event: Arrived("")}, store.ErrUnknown},
		{"an act that does not begin with acted", call.Entry{Of: ID(call.Act, 9, Start()), Event: Arrived("")}, store.ErrUnknown},
		{"a gap", call.Entry{Of: callID(1), N: 5, Event: call.Rang{Leg: 1}}, store.ErrOrder},
		{"another entry with a number", other, store.ErrOrder},
		{"the end again", call.Entry{Of: callID(2), N: 7, Event: call.Ended{Outcome: call.WasFailed}}, store.ErrOrder},
		{"the end again, unnumbered", call.Entry{Of: callID(2), Event: call.Ended{Outcome: call.WasFailed}}, store.ErrOrder},
		{"a gap after the end", call.Entry{Of: callID(2), N: 9, Event: call.Classified{Kind: call.Prank}}, store.ErrOrder},
		{"another entry with a sealed number", call.Entry{Of: callID(2), N: 2, Event: call.Scored{P: 1}}, store.ErrOrder},
		{"no id", call.Entry{Of: "c1", N: 1, Event: Arrived("")}, store.ErrInvalid},
		{"an empty id", call.Entry{N: 1, Event: Arrived("")}, store.ErrInvalid},
		{"a small id", call.Entry{Of: "c01arz3ndektsv4rrffq69g5fav", N: 1, Event: Arrived("")}, store.ErrInvalid},
		{"no event", call.Entry{Of: callID(1), N: 4}, store.ErrInvalid},
	} {
		if err := Append(b.Store, c.entry); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	b.must(es[3:]...)
}

func testAtomic(b *bench) {
	t := b.t
	one, two := Abandoned(callID(1), Start(), "+628115550001"), Abandoned(callID(2), Start(), "+628115550002")
	mixed := slices.Concat(one, two[:2], []call.Entry{{Of: callID(3), N: 4, Event: call.Rang{Leg: 1}}})
	if err := Append(b.Store, mixed...); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("got %v, want ErrUnknown", err)
	}
	same(t, "live", 0, len(b.live()))
	same(t, "sealed", 0, len(all(t, b.Scan(t.Context(), 0))))
	b.must(slices.Concat(one, two[:2])...)
	same(t, "live", [][]call.Entry{two[:2]}, b.live())
	same(t, "sealed", 1, len(all(t, b.Scan(t.Context(), 0))))
}

func testDoneOrder(b *bench) {
	t := b.t
	const n = 2500
	var got []int
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		if i%5 == 0 { // each Keep of a leg has its done, also one that a later Keep has made needless
			b.Keep(callID(i%10), 1, fmt.Append(nil, i), func(err error) {
				if err != nil {
					t.Errorf("keep %d: %v", i, err)
				}
				got = append(got, i)
				wg.Done()
			})
			continue
		}
		es := Abandoned(callID(i), Start(), "+628115550001")
		b.Append(es[:1+i%len(es)], func(err error) {
			if err != nil {
				t.Errorf("append %d: %v", i, err)
			}
			got = append(got, i)
			wg.Done()
		})
	}
	wg.Wait()
	if len(got) != n || !slices.IsSorted(got) {
		t.Errorf("%d of %d dones, in order: %v", len(got), n, slices.IsSorted(got))
	}
	refused := make(chan error, 1)
	b.Keep("no id", 0, []byte("?"), func(err error) { refused <- err })
	if err := <-refused; err == nil {
		t.Error("a dialog of nothing is durable")
	}
}

// testKeepFirst looks at the file at every done: the dialog that the facts need is there.
func testKeepFirst(b *bench) {
	t := b.t
	const n = 20
	copies := t.TempDir()
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		b.Keep(callID(i), 0, fmt.Appendf(nil, "dialog %d", i), nil)
		b.Append(Abandoned(callID(i), Start(), "+628115550001")[:1], func(err error) {
			defer wg.Done()
			if err != nil {
				t.Errorf("append: %v", err)
			}
			if err := b.copyFiles(filepath.Join(copies, fmt.Sprint(i))); err != nil {
				t.Errorf("copy: %v", err)
			}
		})
	}
	wg.Wait()
	for i := range n {
		c := &bench{t: t, Store: b.open(t, filepath.Join(copies, fmt.Sprint(i)))}
		kept := c.kept()
		for _, es := range c.live() {
			if len(kept[es[0].Of]) == 0 {
				t.Errorf("copy %d: %s has arrived, its dialog has not", i, es[0].Of)
			}
		}
		same(t, "the acknowledged one", []string{fmt.Sprintf("0 dialog %d", i)}, kept[callID(i)])
		c.check()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testCrash(b *bench) {
	t := b.t
	const n = 12
	copies := t.TempDir()
	var wg sync.WaitGroup
	calls := make([][]call.Entry, n)
	for i := range n {
		calls[i] = Answered(callID(i), Start(), fmt.Sprintf("+62811555%04d", i), "t1")
		for j, e := range calls[i] {
			wg.Add(1)
			b.Append([]call.Entry{e}, func(err error) {
				defer wg.Done()
				if err != nil {
					t.Errorf("append: %v", err)
				}
				if j != i {
					return
				}
				if err := b.copyFiles(filepath.Join(copies, fmt.Sprint(i))); err != nil {
					t.Errorf("copy: %v", err)
				}
			})
		}
	}
	wg.Wait()
	for i := range n {
		c := &bench{t: t, Store: b.open(t, filepath.Join(copies, fmt.Sprint(i)))}
		for j := range i + 1 {
			acknowledged := calls[j]
			if j == i {
				acknowledged = calls[j][:i+1]
			}
			// What a restart does not know would be appended anew: all of it must be known.
			if err := Append(c.Store, acknowledged...); err != nil {
				t.Errorf("copy %d: call %d: %v", i, j, err)
			}
			got := c.entries(callID(j))
			same(t, fmt.Sprintf("copy %d, call %d", i, j), acknowledged, got[:min(len(got), len(acknowledged))])
		}
		c.check()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// entries are all entries of a call, sealed or live.
func (b *bench) entries(id call.ID) []call.Entry {
	t := b.t
	t.Helper()
	for _, es := range b.live() {
		if es[0].Of == id {
			return es
		}
	}
	ps, err := b.Pieces(id)
	if err != nil {
		t.Fatal(err)
	}
	var es []call.Entry
	for _, p := range ps {
		_, some, err := call.ParseBody(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, some...)
	}
	return es
}

func testKept(b *bench) {
	t := b.t
	b.Keep(callID(1), 0, []byte("a"), nil)
	b.Keep(callID(1), 300, []byte("c"), nil)
	b.Keep(callID(1), 2, []byte("b"), nil)
	b.Keep(callID(2), 0, []byte("old"), nil)
	b.Keep(callID(2), 0, []byte("new"), nil)
	b.Keep(callID(3), 0, []byte("gone"), nil)
	b.Keep(callID(3), 0, nil, nil)
	b.Keep("no id", 0, []byte("refused"), nil)
	b.reopen()
	same(t, "kept", map[call.ID][]string{callID(1): {"0 a", "2 b", "300 c"}, callID(2): {"0 new"}}, b.kept())
}

func testSeal(b *bench) {
	t := b.t
	es := Answered(callID(1), Start(), "+628115550001", "t1")
	b.Keep(callID(1), 0, []byte("leg 0"), nil)
	b.Keep(callID(1), 1, []byte("leg 1"), nil)
	b.Keep(callID(2), 0, []byte("of another"), nil)
	b.must(es[:9]...)
	b.must(es[9:]...)
	same(t, "kept", map[call.ID][]string{callID(2): {"0 of another"}}, b.kept())
	same(t, "live", 0, len(b.live()))
	ps, err := b.Pieces(callID(1))
	if err != nil || len(ps) != 1 {
		t.Fatalf("%d pieces, %v", len(ps), err)
	}
	r, entries, err := call.ParseBody(ps[0].Body)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "entries", es, entries)
	same(t, "record", call.Fold(slices.Values(es)), r)
	same(t, "leaf", call.LeafHash(ps[0].Nonce, ps[0].Body), ps[0].Leaf)
	var want []byte
	for _, e := range es {
		if want, err = call.AppendEntry(want, e); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "the stored lines", string(want), string(ps[0].Body[len(ps[0].Body)-len(want):]))
}

func testShiftAct(b *bench) {
	t := b.t
	shift, act, numbered := ID(call.Shift, 1, Start()), ID(call.Act, 2, Start()), ID(call.Act, 3, Start())
	es := Shift(shift, Start(), "t1")
	b.must(es[:2]...)
	same(t, "live", [][]call.Entry{es[:2]}, b.live())
	b.must(es[2:]...)
	b.must(call.Entry{Of: act, At: Start(), Event: call.Acted{What: "taker-added", Detail: "t1"}})
	b.must(call.Entry{Of: numbered, N: 1, At: Start(), Event: call.Acted{What: "export"}})
	same(t, "live", 0, len(b.live()))
	var of []call.ID
	for _, p := range all(t, b.Scan(t.Context(), 0)) {
		of = append(of, p.Of)
	}
	same(t, "sealed", []call.ID{shift, act, numbered}, of)
	same(t, "the act's record", &call.Acted{What: "taker-added", Detail: "t1"}, b.records(act)[0].Act)
	same(t, "no call", 0, len(all(t, b.Find(t.Context(), store.Query{}))))
}

func testAmend(b *bench) {
	t := b.t
	es := Answered(callID(1), Start(), "+628115550001", "t1")
	b.must(es...)
	b.must(Abandoned(callID(2), Start(), "")...)
	n := uint32(len(es))
	one := call.Classified{By: "t1", Kind: call.Prank, Note: "laughs"}
	two := call.Classified{By: "t2", Kind: call.Emergency}
	at := Start().Add(time.Hour)
	b.must(call.Entry{Of: callID(1), At: at, Event: one})
	b.must(call.Entry{Of: callID(1), N: n + 2, At: at, Event: two})
	b.must(call.Entry{Of: callID(1), N: n + 2, At: at, Event: two})
	b.reopen()
	rs := b.records(callID(1))
	if len(rs) != 3 {
		t.Fatalf("%d pieces, want 3", len(rs))
	}
	same(t, "open at first", []string{call.TodoClassification}, rs[0].Open)
	whole := append(slices.Clone(es), call.Entry{Of: callID(1), N: n + 1, At: at, Event: one})
	same(t, "first amendment", call.Fold(slices.Values(whole)), rs[1])
	whole = append(whole, call.Entry{Of: callID(1), N: n + 2, At: at, Event: two})
	same(t, "second amendment", call.Fold(slices.Values(whole)), rs[2])
	same(t, "entries", whole, b.entries(callID(1)))
	same(t, "seqs", []uint64{0, 2, 3}, b.seqs(callID(1)))
}

func (b *bench) seqs(id call.ID) []uint64 {
	t := b.t
	t.Helper()
	ps, err := b.Pieces(id)
	if err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	for _, p := range ps {
		seqs = append(seqs, p.Seq)
	}
	return seqs
}

func testNumbered(b *bench) {
	t := b.t
	es := Abandoned(callID(1), Start(), "")[:2]
	b.must(call.Entry{Of: callID(1), At: es[0].At, Event: es[0].Event})
	b.must(es[1])
	note := call.Classified{By: "t1", Kind: call.Silent}
	b.must(call.Entry{Of: callID(1), At: Start(), Event: note}, call.Entry{Of: callID(1), At: Start(), Event: call.Rang{Leg: 1}})
	want := append(
		es, call.Entry{Of: callID(1), N: 3, At: Start(), Event: note},
		call.Entry{Of: callID(1), N: 4, At: Start(), Event: call.Rang{Leg: 1}},
	)
	same(t, "live", [][]call.Entry{want}, b.live())
}

func testSealAndAmend(b *bench) {
	t := b.t
	es := Answered(callID(1), Start(), "+628115550001", "t1")
	more := call.Entry{Of: callID(1), N: uint32(len(es)) + 1, At: Start(), Event: call.Classified{By: "t1", Kind: call.Prank}}
	b.must(es[:4]...)
	b.must(append(slices.Clone(es[4:]), more)...)
	same(t, "seqs", []uint64{0, 1}, b.seqs(callID(1)))
	same(t, "kind", call.Prank, b.records(callID(1))[1].Kind)
}

func testScan(b *bench) {
	t := b.t
	const n = 1200
	for i := range n {
		b.Append(Abandoned(callID(i), Start(), ""), nil)
	}
	b.must()
	for _, from := range []uint64{0, 1, 511, 512, 1199, 1200, 5000} {
		next := from
		for p, err := range b.Scan(t.Context(), from) {
			if err != nil {
				t.Fatal(err)
			}
			if p.Seq != next || p.Of != callID(int(p.Seq)) {
				t.Fatalf("from %d: %d is %d %s", from, next, p.Seq, p.Of)
			}
			next++
		}
		if want := max(from, n); next != want {
			t.Errorf("from %d: ended at %d, want %d", from, next, want)
		}
	}
}

func testFind(b *bench) {
	t := b.t
	const n = 1100
	at := func(i int) time.Time { return Start().Add(time.Duration(i) * time.Minute) }
	number := func(i int) string { return []string{"+628115550001", "+62811555000", ""}[i%3] }
	for i := range n {
		id := ID(call.Call, i, at(i))
		b.Append(Abandoned(id, at(i), number(i)), nil)
	}
	b.Append(Answered(callID(n), at(n), number(0), "t1")[:3], nil)
	b.must()
	for name, q := range map[string]store.Query{
		"all":              {},
		"newest":           {Newest: true},
		"a span":           {From: at(100), To: at(900)},
		"a span, newest":   {From: at(100), To: at(900), Newest: true},
		"a number":         {Number: number(0)},
		"a number, newest": {Number: number(1), Newest: true, To: at(1000)},
		"number in a span": {Number: number(1), From: at(10), To: at(20)},
		"nothing":          {From: at(20), To: at(10)},
		"nobody":           {Number: "+628"},
	} {
		var want []call.ID
		for i := range n {
			if (q.From.IsZero() || !at(i).Before(q.From)) && (q.To.IsZero() || at(i).Before(q.To)) &&
				(q.Number == "" || q.Number == number(i)) {
				want = append(want, ID(call.Call, i, at(i)))
			}
		}
		if q.Newest {
			slices.Reverse(want)
		}
		if d := cmp.Diff(want, all(t, b.Find(t.Context(), q)), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func testWriters(b *bench) {
	t := b.t
	const writers, each = 16, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				id := callID(w*each + i)
				es := Answered(id, Start(), "+628115550001", "t1")
				b.Keep(id, 0, []byte("leg"), nil)
				if err := errors.Join(Append(b.Store, es[:5]...), Append(b.Store, es[5:]...)); err != nil {
					t.Errorf("append: %v", err)
				}
				if err := Append(b.Store, call.Entry{Of: id, At: Start(), Event: call.Classified{Kind: call.Prank}}); err != nil {
					t.Errorf("amend: %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			if r, err := b.Verify(t.Context()); err != nil || !r.OK() || r.Arrived != r.Ended+r.Live {
				t.Errorf("verify meanwhile: %v %+v", err, r)
			}
		}
	})
	wg.Wait()
	same(t, "kept", 0, len(b.kept()))
	same(t, "sealed", 2*writers*each, len(all(t, b.Scan(t.Context(), 0))))
}

func testClosed(b *bench) {
	t := b.t
	b.Append(Abandoned(callID(1), Start(), ""), nil)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Append(b.Store, Abandoned(callID(2), Start(), "")...); !errors.Is(err, store.ErrClosed) {
		t.Errorf("append: %v, want ErrClosed", err)
	}
	if _, err := b.Verify(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("verify: %v, want ErrClosed", err)
	}
	b.Store = b.open(t, b.dir)
	same(t, "queued before close", 1, len(all(t, b.Scan(t.Context(), 0))))
}
