package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/storetest"
)

const erasedNumber = "+628115550001"

// crowd is a store with calls of two numbers, every third amended: the even ones are of erasedNumber.
func crowd(tb testing.TB, n int) *store.Store {
	tb.Helper()
	s := open(tb, storetest.Dir(tb), store.Options{})
	for i := range n {
		at := storetest.Start().Add(time.Duration(i) * time.Minute)
		number := []string{erasedNumber, "+628115550002"}[i%2]
		s.Append(storetest.Answered(crowdID(i), at, number, "t1"), nil)
		if i%3 == 0 {
			e := call.Entry{Of: crowdID(i), At: at.Add(time.Hour), Event: call.Classified{By: "t1", Kind: call.Prank, Note: "tertawa"}}
			s.Append([]call.Entry{e}, nil)
		}
	}
	if err := storetest.Append(s); err != nil {
		tb.Fatal(err)
	}
	return s
}

func crowdID(i int) call.ID {
	return storetest.ID(call.Call, i, storetest.Start().Add(time.Duration(i)*time.Minute))
}

func erase(number string) store.Erasure {
	return store.Erasure{Number: number, By: "admin", Reason: "request of the caller", Order: "188/2026"}
}

// acts are what the ledger says of acts, in order.
func acts(tb testing.TB, s *store.Store) (out []call.Acted) {
	tb.Helper()
	for p, err := range s.Scan(context.Background(), 0) {
		if err != nil {
			tb.Fatal(err)
		}
		if p.Of.Kind() != call.Act {
			continue
		}
		r, err := call.ParseRecord(p.Body)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, *r.Act)
	}
	return out
}

// find are the calls of a query.
func find(tb testing.TB, s *store.Store, q store.Query) (ids []call.ID) {
	tb.Helper()
	for id, err := range s.Find(context.Background(), q) {
		if err != nil {
			tb.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// Of an erased caller the leaves stay, and an act for each transaction that covers them; nobody else is touched.
func TestErase(t *testing.T) {
	const n = 300
	s := crowd(t, n)
	before, err := s.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := erase(erasedNumber)
	e.DryRun = true
	would, err := s.Erase(t.Context(), e)
	if err != nil || would.Calls != n/2 || would.Pieces != n/2+n/6 || len(would.Said) != 0 {
		t.Fatalf("a dry run: %+v, %v", would, err)
	}
	if same, err := s.Verify(t.Context()); err != nil || same.Root != before.Root {
		t.Fatalf("a dry run has changed the tree: %v", err)
	}
	e.DryRun = false
	got, err := s.Erase(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	want := would
	want.Said = got.Said
	if d := cmp.Diff(want, got); d != "" || len(got.Said) != 3 {
		t.Errorf("%d acts; %s", len(got.Said), d)
	}
	storetest.Check(t, s)
	if ids := find(t, s, store.Query{Number: erasedNumber}); len(ids) != 0 {
		t.Errorf("still found: %v", ids)
	}
	if ids := find(t, s, store.Query{}); len(ids) != n/2 {
		t.Errorf("%d calls are left", len(ids))
	}
	for i := range n {
		ps, err := s.Pieces(crowdID(i))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			if gone := len(p.Body) == 0; gone != (i%2 == 0) || p.Leaf == [32]byte{} || gone && p.Nonce != [32]byte{} {
				t.Fatalf("call %d: %+v", i, p)
			}
		}
	}
	for id, err := range s.Todo(t.Context()) {
		if err != nil || slices.IndexFunc(find(t, s, store.Query{}), func(o call.ID) bool { return o == id }) < 0 {
			t.Errorf("something is to do for %s, %v", id, err)
		}
	}
	var details []string
	for _, a := range acts(t, s) {
		if a.What != audit.ActErased || a.By != "admin" {
			t.Errorf("the act %+v", a)
		}
		details = append(details, a.Detail)
	}
	if !strings.HasPrefix(details[0], "records 0-1 3 ") || !strings.HasSuffix(details[0], "; request of the caller; 188/2026") {
		t.Errorf("the act says %q", details[0])
	}
	again, err := s.Erase(t.Context(), e)
	if err != nil || again.Calls != 0 || len(again.Said) != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// What is refused, and that nothing is erased then.
func TestEraseRefused(t *testing.T) {
	s := crowd(t, 8)
	live := storetest.ID(call.Call, 99, storetest.Start())
	must(t, s, storetest.Answered(live, storetest.Start(), "+628115550009", "t1")[:4]...)
	must(t, s, storetest.Answered(callID(98), storetest.Start(), "+628115550009", "t1")...) // stays, too
	if _, err := s.Hold(store.Hold{Number: "+628115550002", Reason: "police inquiry 7"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(store.Hold{Call: crowdID(2), Reason: "lawsuit"}); err != nil {
		t.Fatal(err)
	}
	size, err := s.Size()
	if err != nil {
		t.Fatal(err)
	}
	named := erase(erasedNumber)
	named.Order = "of 08115550001"
	noReason := erase(erasedNumber)
	noReason.Reason = " "
	semicolon := erase(erasedNumber)
	semicolon.Order = "1; 2"
	byCall := func(id call.ID) store.Erasure { return store.Erasure{Calls: []call.ID{id}, Reason: "r", Order: "1"} }
	for name, c := range map[string]struct {
		e    store.Erasure
		want error
		says string
	}{
		"lives":              {erase("+628115550009"), store.ErrLive, string(live)},
		"held":               {erase("+628115550002"), store.ErrOnHold, "police inquiry 7"},
		"one call held":      {erase(erasedNumber), store.ErrOnHold, "lawsuit"},
		"a call of a held":   {byCall(crowdID(1)), store.ErrOnHold, "police inquiry 7"},
		"a held call":        {byCall(crowdID(2)), store.ErrOnHold, "lawsuit"},
		"a live call":        {byCall(live), store.ErrLive, "ended"},
		"no such call":       {byCall(storetest.ID(call.Call, 7, storetest.Start())), store.ErrUnknown, ""},
		"an act":             {byCall(storetest.ID(call.Act, 7, storetest.Start())), store.ErrInvalid, ""},
		"nobody":             {store.Erasure{Reason: "r", Order: "1"}, store.ErrInvalid, ""},
		"no reason":          {noReason, store.ErrInvalid, ""},
		"a semicolon":        {semicolon, store.ErrInvalid, ""},
		"the number is said": {named, store.ErrNamed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			done, err := s.Erase(t.Context(), c.e)
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) || done.Pieces != 0 {
				t.Errorf("got %+v, %v; want %v", done, err, c.want)
			}
		})
	}
	if now, err := s.Size(); err != nil || now != size {
		t.Errorf("%d records, %v; want %d", now, err, size)
	}
	if _, err := s.Hold(store.Hold{Call: storetest.ID(call.Call, 7, storetest.Start()), Reason: "r"}); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("hold of no call: %v", err)
	}
	if _, err := s.Hold(store.Hold{Number: erasedNumber, Reason: "about 628115550001"}); !errors.Is(err, store.ErrNamed) {
		t.Errorf("hold that names: %v", err)
	}
	if err := s.Release(store.Hold{Call: crowdID(4)}); !errors.Is(err, store.ErrNoHold) {
		t.Errorf("release of nothing: %v", err)
	}
}

// A hold survives a restart, and after its release the caller can be erased. Neither act names the number.
func TestHold(t *testing.T) {
	dir := storetest.Dir(t)
	s := open(t, dir, store.Options{})
	must(t, s, storetest.Answered(callID(1), storetest.Start(), erasedNumber, "t1")...)
	h, err := s.Hold(store.Hold{Number: erasedNumber, Reason: "inquiry", By: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, store.Options{})
	holds, err := s.Holds()
	if d := cmp.Diff([]store.Hold{h}, holds); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
	if err := s.Release(store.Hold{Number: erasedNumber, Reason: "closed"}); err != nil {
		t.Fatal(err)
	}
	if holds, err := s.Holds(); err != nil || len(holds) != 0 {
		t.Errorf("after the release: %v, %v", holds, err)
	}
	if _, err := s.Erase(t.Context(), erase(erasedNumber)); err != nil {
		t.Error(err)
	}
	want := []call.Acted{
		{By: "admin", What: "held", Detail: "a number; inquiry"},
		{What: "released", Detail: "a number, held by " + string(h.Act) + "; closed"},
		{By: "admin", What: "erased", Detail: "records 0; request of the caller; 188/2026"},
	}
	if d := cmp.Diff(want, acts(t, s)); d != "" {
		t.Error(d)
	}
	storetest.Check(t, s)
}

// An act whose text names the caller goes with the calls; another caller's call that does is named.
func TestEraseMentions(t *testing.T) {
	s := crowd(t, 4)
	act := func(n int, what, detail string) call.ID {
		id := storetest.ID(call.Act, n, storetest.Start())
		must(t, s, storetest.Entries(id, storetest.Start(), call.Acted{What: what, Detail: detail})...)
		return id
	}
	gone := act(1, "call-refused", "sip:08115550001@10.0.0.1")
	kept := act(2, "erased", "records 99; about 628115550001; 1")
	other := act(3, "call-refused", "sip:08115550009@10.0.0.1")
	must(t, s, call.Entry{Of: crowdID(1), At: storetest.Start(), Event: call.Classified{Note: "call back +628115550001"}})
	got, err := s.Erase(t.Context(), erase(erasedNumber))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]call.ID{kept, crowdID(1)}, got.Mentions); d != "" || got.Acts != 1 {
		t.Errorf("%d acts, %s", got.Acts, d)
	}
	for id, want := range map[call.ID]bool{gone: false, kept: true, other: true} {
		ps, err := s.Pieces(id)
		if err != nil || len(ps) != 1 || (len(ps[0].Body) > 0) != want {
			t.Errorf("%s: %v, %v", id, ps, err)
		}
	}
	byID := store.Erasure{Calls: []call.ID{crowdID(1)}, Reason: "names a caller", Order: "188/2026"}
	if got, err := s.Erase(t.Context(), byID); err != nil || got.Calls != 1 || got.Pieces != 2 {
		t.Errorf("by its id: %+v, %v", got, err)
	}
}

// Nothing can be added to what was erased.
func TestAmendErased(t *testing.T) {
	s := crowd(t, 2)
	if _, err := s.Erase(t.Context(), erase(erasedNumber)); err != nil {
		t.Fatal(err)
	}
	err := storetest.Append(s, call.Entry{Of: crowdID(0), At: storetest.Start(), Event: call.Classified{Kind: call.Prank}})
	if !errors.Is(err, store.ErrErased) {
		t.Errorf("got %v", err)
	}
}

// What is old goes, but for what is held.
func TestExpire(t *testing.T) {
	const n = 800
	s := crowd(t, n)
	if _, err := s.Hold(store.Hold{Call: crowdID(11), Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(store.Hold{Number: erasedNumber, Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	before := storetest.Start().Add(700 * time.Minute)
	got, err := s.Expire(t.Context(), before, "older than 5y")
	if err != nil || got.Calls != 349 || len(got.Said) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	var want []call.ID
	for i := range n {
		if i%2 == 0 || i == 11 || i >= 700 {
			want = append(want, crowdID(i))
		}
	}
	if d := cmp.Diff(want, find(t, s, store.Query{})); d != "" {
		t.Error(d)
	}
	all := acts(t, s)
	if last := all[len(all)-1]; last.What != audit.ActExpired || !strings.HasSuffix(last.Detail, "; older than 5y; retention") {
		t.Errorf("the act says %+v", last)
	}
	if got, err := s.Expire(t.Context(), before, "older than 5y"); err != nil || len(got.Said) != 0 {
		t.Errorf("again: %+v, %v", got, err)
	}
	storetest.Check(t, s)
}
