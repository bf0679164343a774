package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/storetest"
)

// opened reads a checkpoint with the store's own key.
func opened(tb testing.TB, s *store.Store, signed []byte) audit.Checkpoint {
	tb.Helper()
	public, err := s.Key(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	key, err := audit.OpenKey(public)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := audit.OpenCheckpoint(signed, key)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestCheckpoint(t *testing.T) {
	dir := storetest.Dir(t)
	var mu sync.Mutex
	var heard []string
	var sealed []call.Record
	s := open(t, dir, store.Options{
		Node:         "ktp1",
		Sealed:       func(r call.Record) { sealed = append(sealed, r) },
		Checkpointed: func(b []byte) { mu.Lock(); heard = append(heard, string(b)); mu.Unlock() },
	})
	if _, err := s.LastCheckpoint(); !errors.Is(err, store.ErrNoCheckpoint) {
		t.Errorf("none yet: %v", err)
	}
	if _, err := s.Sign("x\n"); err == nil {
		t.Error("signed without a key")
	}
	must(t, s, storetest.Abandoned(callID(1), storetest.Start(), "")...)
	must(t, s, storetest.Answered(callID(2), storetest.Start(), "", "t1")[:3]...)
	first, err := s.Checkpoint(t.Context(), audit.WhyAsked)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Verify(t.Context())
	if err != nil || !r.OK() || r.Checkpoints != 1 {
		t.Fatalf("%+v %v", r, err)
	}
	c := opened(t, s, first)
	want := audit.Checkpoint{Origin: "siaga112/ktp1", Size: 2, Root: r.Root, Time: c.Time, Arrived: 2, Ended: 1, Why: audit.WhyAsked}
	if c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
	// That the key was made is an act, which everybody is told.
	if len(sealed) != 2 || sealed[1].Act == nil || sealed[1].Act.What != "key-made" || !strings.HasPrefix(sealed[1].Act.Detail, "siaga112/ktp1+") {
		t.Errorf("sealed: %+v", sealed)
	}
	if again, err := s.Checkpoint(t.Context(), audit.WhyAsked); err != nil || string(again) != string(first) {
		t.Errorf("nothing is new: %q %v", again, err)
	}
	must(t, s, storetest.Abandoned(callID(3), storetest.Start(), "")...)
	second, err := s.Checkpoint(t.Context(), audit.WhyExport)
	if err != nil || opened(t, s, second).Size != 3 {
		t.Errorf("%q %v", second, err)
	}
	if again, err := s.Checkpoint(t.Context(), audit.WhyExport); err != nil || string(again) != string(second) {
		t.Errorf("nothing is new since the last export: %q %v", again, err)
	}
	if last, err := s.LastCheckpoint(); err != nil || string(last) != string(second) {
		t.Errorf("last: %q %v", last, err)
	}
	mu.Lock()
	if diff := cmp.Diff([]string{string(first), string(second)}, heard); diff != "" {
		t.Error(diff)
	}
	mu.Unlock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// The key and its name stay, whatever the node is called later.
	s = open(t, dir, store.Options{Node: "other"})
	if c := opened(t, s, second); c.Origin != "siaga112/ktp1" {
		t.Errorf("%+v", c)
	}
	if b, err := s.Sign("a text\n"); err != nil || !strings.HasPrefix(string(b), "a text\n\n— siaga112/ktp1 ") {
		t.Errorf("%q %v", b, err)
	}
	if _, err := s.ReadHashes([]int64{99}); err == nil {
		t.Error("a hash that is not there is read")
	}
}

func TestCheckpointIsNotWaitedForForEver(t *testing.T) {
	s := open(t, storetest.Dir(t), store.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Checkpoint(ctx, audit.WhyAsked); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Checkpoint(t.Context(), audit.WhyAsked); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// TestKeepCheckpoints: one a minute, where something was sealed; of days that are over the last stays, and those of exports.
func TestKeepCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		heard := 0
		s := open(t, storetest.Dir(t), store.Options{Checkpointed: func([]byte) { mu.Lock(); heard++; mu.Unlock() }})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.KeepCheckpoints(ctx) })
		wait := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		wait(10 * time.Minute)
		if heard != 0 {
			t.Errorf("%d checkpoints of nothing", heard)
		}
		n := 0
		seal := func() { must(t, s, storetest.Abandoned(callID(n), time.Now(), "")...); n++ }
		seal()
		wait(10 * time.Minute)
		seal()
		wait(time.Minute)
		if heard != 2 {
			t.Errorf("%d checkpoints, want 2", heard)
		}
		seal()
		if _, err := s.Checkpoint(ctx, audit.WhyExport); err != nil {
			t.Fatal(err)
		}
		for range 3 { // days
			for range 3 {
				seal()
				wait(2 * time.Minute)
			}
			wait(24*time.Hour - 6*time.Minute)
		}
		seal()
		wait(time.Minute)
		cancel()
		wg.Wait()
		all, err := s.Checkpoints()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for _, signed := range all {
			c := opened(t, s, signed)
			day := c.Time.Format(time.DateOnly)
			got[day] = append(got[day], c.Why)
		}
		want := map[string][]string{
			"2000-01-01": {"export", "minute"},
			"2000-01-02": {"minute"},
			"2000-01-03": {"minute", "minute", "minute"},
			"2000-01-04": {"minute"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if r, err := s.Verify(t.Context()); err != nil || !r.OK() || int(r.Checkpoints) != len(all) {
			t.Errorf("%v %v", r.Bad, err)
		}
		// The latest is heard again after a start: it may have been on its way.
		heard = 0
		ctx, cancel = context.WithCancel(t.Context())
		wg.Go(func() { s.KeepCheckpoints(ctx) })
		synctest.Wait()
		cancel()
		wg.Wait()
		if heard != 1 {
			t.Errorf("heard %d after a start, want 1", heard)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRewritten: the owner of the machine rewrites a record, all hashes above it and even the stored checkpoints; a
// checkpoint that a witness holds still tells.
func TestRewritten(t *testing.T) {
	honest := open(t, storetest.Dir(t), store.Options{Node: "ktp1"})
	must(t, honest, storetest.Abandoned(callID(1), storetest.Start(), "+628115550001")...)
	held, err := honest.Checkpoint(t.Context(), audit.WhyAsked)
	if err != nil {
		t.Fatal(err)
	}
	at := opened(t, honest, held)
	forged := open(t, storetest.Dir(t), store.Options{Node: "ktp1"})
	for i := range 4 {
		must(t, forged, storetest.Abandoned(callID(i+1), storetest.Start(), "+628115550009")...)
	}
	signed, err := forged.Checkpoint(t.Context(), audit.WhyAsked)
	if err != nil {
		t.Fatal(err)
	}
	now := opened(t, forged, signed)
	p, err := audit.ProveConsistency(at, now, signed, forged)
	if err == nil {
		err = p.Verify(now)
	}
	if err == nil || !strings.Contains(err.Error(), "rewritten") {
		t.Errorf("%v", err)
	}
	if slices.Equal(at.Root[:], now.Root[:]) {
		t.Error("the same root")
	}
}

// TestCheckpointOfAnExport: an export's own checkpoint takes the place of a minute's of the same records, for it stays.
func TestCheckpointOfAnExport(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{Node: "ktp1"})
	minute, err1 := s.Checkpoint(t.Context(), audit.WhyMinute)
	export, err2 := s.Checkpoint(t.Context(), audit.WhyExport)
	all, err3 := s.Checkpoints()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	a, b := opened(t, s, minute), opened(t, s, export)
	if a.Why != audit.WhyMinute || b.Why != audit.WhyExport || a.Size != b.Size || a.Root != b.Root {
		t.Errorf("%+v, then %+v", a, b)
	}
	if len(all) != 1 || string(all[0]) != string(export) {
		t.Errorf("stored: %q", all)
	}
}
