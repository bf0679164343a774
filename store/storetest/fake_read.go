package storetest

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
)

// Live is Store's.
func (f *Fake) Live() iter.Seq2[[]call.Entry, error] {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all [][]call.Entry
	for _, id := range slices.Sorted(maps.Keys(f.state.live)) {
		var es []call.Entry
		for _, l := range f.state.live[id] {
			e, err := call.ParseEntry(l)
			if err != nil {
				panic(err)
			}
			es = append(es, e)
		}
		all = append(all, es)
	}
	return withoutError(all)
}

func withoutError[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// Kept is Store's.
func (f *Fake) Kept() iter.Seq2[call.LegID, []byte] {
	f.mu.Lock()
	defer f.mu.Unlock()
	type leg struct {
		id     call.LegID
		dialog []byte
	}
	var all []leg
	for _, id := range slices.Sorted(maps.Keys(f.state.legs)) {
		for _, l := range slices.Sorted(maps.Keys(f.state.legs[id])) {
			all = append(all, leg{call.LegID{Of: id, Leg: l}, f.state.legs[id][l]})
		}
	}
	return func(yield func(call.LegID, []byte) bool) {
		for _, l := range all {
			if !yield(l.id, l.dialog) {
				return
			}
		}
	}
}

// Scan is Store's.
func (f *Fake) Scan(_ context.Context, from uint64) iter.Seq2[call.Sealed, error] {
	f.mu.Lock()
	defer f.mu.Unlock()
	return withoutError(slices.Clone(f.state.pieces[min(from, uint64(len(f.state.pieces))):]))
}

// Pieces is Store's.
func (f *Fake) Pieces(id call.ID) (ps []call.Sealed, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.state.of[id] {
		ps = append(ps, f.state.pieces[i])
	}
	return ps, nil
}

// Find is Store's.
func (f *Fake) Find(_ context.Context, q store.Query) iter.Seq2[call.ID, error] {
	f.mu.Lock()
	defer f.mu.Unlock()
	type found struct {
		at time.Time
		id call.ID
	}
	var all []found
	for id, pieces := range f.state.of {
		r, err := call.ParseRecord(f.state.pieces[pieces[0]].Body)
		if err != nil {
			panic(err)
		}
		if id.Kind() == call.Call && (q.From.IsZero() || !r.FirstAt.Before(q.From)) && (q.To.IsZero() || r.FirstAt.Before(q.To)) &&
			(q.Number == "" || q.Number == r.Caller.Number) {
			all = append(all, found{r.FirstAt, id})
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(f.state.of[a.id][0], f.state.of[b.id][0]))
	})
	if q.Newest {
		slices.Reverse(all)
	}
	var ids []call.ID
	for _, c := range all {
		ids = append(ids, c.id)
	}
	return withoutError(ids)
}

// Verify is Store's: each leaf, and each record against the fold of its entries.
func (f *Fake) Verify(context.Context) (store.Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return store.Report{}, store.ErrClosed
	}
	r := store.Report{Records: uint64(len(f.state.pieces))}
	r.Arrived, r.Ended, r.Live = f.state.ledger()
	for _, p := range f.state.pieces {
		if call.LeafHash(p.Nonce, p.Body) != p.Leaf {
			r.Bad = append(r.Bad, store.Bad{Seq: p.Seq, Of: p.Of, What: "its leaf is not the hash of its body"})
		}
	}
	return r, nil
}

func (s *fakeState) ledger() (arrived, ended, live uint64) {
	for id := range s.live {
		if id.Kind() == call.Call {
			live++
		}
	}
	return s.arrived, s.ended, live
}

// Ledger is Store's.
func (f *Fake) Ledger() (arrived, ended, live uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	arrived, ended, live = f.state.ledger()
	return arrived, ended, live, nil
}
