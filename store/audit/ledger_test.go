package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/storetest"
)

// ledger is a store in memory: a Source, and its tree.
type ledger struct {
	tb      testing.TB
	secret  string
	pieces  []call.Sealed
	entries map[call.ID][]call.Entry
	hashes  []tlog.Hash
	ended   uint64
}

func newLedger(tb testing.TB) *ledger {
	tb.Helper()
	secret, err := audit.NewKey(audit.OriginOf("ktp1"))
	if err != nil {
		tb.Fatal(err)
	}
	return &ledger{tb: tb, secret: secret, entries: map[call.ID][]call.Entry{}}
}

// history has 20 calls, of which the even ones are classified later, a shift and an act.
func history(tb testing.TB) *ledger {
	tb.Helper()
	l := newLedger(tb)
	for i := range 20 {
		id, at := storetest.ID(call.Call, i, storetest.Start()), storetest.Start().Add(time.Duration(i)*time.Minute)
		if i%2 == 0 {
			l.seal(storetest.Answered(id, at, "+628115550001", "t1")...)
		} else {
			l.seal(storetest.Abandoned(id, at, "+628115550002")...)
		}
	}
	for i := 0; i < 20; i += 2 {
		l.seal(call.Entry{Of: storetest.ID(call.Call, i, storetest.Start()), N: 13, At: storetest.Start(), Event: call.Classified{By: "t1", Kind: call.Prank, Note: "<ü\u2028>"}})
	}
	l.seal(storetest.Shift(storetest.ID(call.Shift, 1, storetest.Start()), storetest.Start(), "t1")...)
	l.act(1, "export", "csv from - to -")
	return l
}

func (l *ledger) act(n int, what, detail string) {
	l.seal(call.Entry{Of: storetest.ID(call.Act, n, storetest.Start()), N: 1, At: storetest.Start(), Event: call.Acted{What: what, Detail: detail}})
}

// seal adds a piece.
func (l *ledger) seal(es ...call.Entry) {
	l.tb.Helper()
	of := es[0].Of
	if of.Kind() == call.Call && len(l.entries[of]) == 0 {
		l.ended++
	}
	l.entries[of] = append(l.entries[of], es...)
	body, err := call.AppendRecord(nil, call.Fold(slices.Values(l.entries[of])))
	for _, e := range es {
		if err == nil {
			body, err = call.AppendEntry(body, e)
		}
	}
	if err != nil {
		l.tb.Fatal(err)
	}
	p := call.Sealed{Seq: uint64(len(l.pieces)), Of: of, Body: body, Nonce: sha256.Sum256(fmt.Append(nil, len(l.pieces)))}
	p.Leaf = audit.LeafOf(p)
	hs, err := tlog.StoredHashes(int64(p.Seq), p.Leaf[:], l)
	if err != nil {
		l.tb.Fatal(err)
	}
	l.pieces, l.hashes = append(l.pieces, p), append(l.hashes, hs...)
}

// erase leaves of a record its leaf.
func (l *ledger) erase(seqs ...uint64) {
	for _, n := range seqs {
		l.pieces[n] = call.Sealed{Seq: n, Leaf: l.pieces[n].Leaf}
	}
}

func (l *ledger) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hs := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		hs[i] = l.hashes[at]
	}
	return hs, nil
}

func (l *ledger) Size() (uint64, error) { return uint64(len(l.pieces)), nil }

func (l *ledger) Scan(_ context.Context, from uint64) iter.Seq2[call.Sealed, error] {
	return func(yield func(call.Sealed, error) bool) {
		for _, p := range l.pieces[min(from, uint64(len(l.pieces))):] {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (l *ledger) Pieces(id call.ID) (ps []call.Sealed, err error) {
	for _, p := range l.pieces {
		if p.Of == id {
			ps = append(ps, p)
		}
	}
	return ps, nil
}

func (l *ledger) signer() note.Signer {
	s, err := note.NewSigner(l.secret)
	if err != nil {
		l.tb.Fatal(err)
	}
	return s
}

func (l *ledger) key() note.Verifier {
	text, err := audit.PublicKey(l.secret)
	if err != nil {
		l.tb.Fatal(err)
	}
	v, err := audit.OpenKey(text + "\n")
	if err != nil {
		l.tb.Fatal(err)
	}
	return v
}

// checkpoint signs the head of the tree as it was at a size.
func (l *ledger) checkpoint(size int) []byte {
	root, err := tlog.TreeHash(int64(size), l)
	if err != nil {
		l.tb.Fatal(err)
	}
	c := audit.Checkpoint{Origin: "siaga112/ktp1", Size: uint64(size), Root: root, Time: storetest.Start(), Arrived: l.ended, Ended: l.ended, Why: audit.WhyAsked}
	b, err := c.Sign(l.signer())
	if err != nil {
		l.tb.Fatal(err)
	}
	return b
}

// order is a bundle of everything.
func (l *ledger) order() audit.Order {
	return audit.Order{
		By: "auditor", Why: "yearly audit", Zone: time.UTC, Now: storetest.Start(), Table: table,
		Source: l, Tree: l, Checkpoint: l.checkpoint(len(l.pieces)), Older: [][]byte{l.checkpoint(0), l.checkpoint(7), l.checkpoint(16)},
		Sign: func(text string) ([]byte, error) { return note.Sign(&note.Note{Text: text}, l.signer()) },
	}
}

func (l *ledger) bundle(o audit.Order) []byte {
	l.tb.Helper()
	var b bytes.Buffer
	if _, err := audit.WriteBundle(l.tb.Context(), &b, o); err != nil {
		l.tb.Fatal(err)
	}
	return b.Bytes()
}

// table is a line a call, with the outcome and the kind as they stand in the end.
func table(ctx context.Context, w io.Writer, src audit.Source, _ *time.Location) (n int, err error) {
	for p, err := range src.Scan(ctx, 0) {
		if err != nil {
			return n, err
		}
		if p.Of == "" || p.Of.Kind() != call.Call {
			continue
		}
		ps, err := src.Pieces(p.Of)
		if err != nil || len(ps) == 0 {
			return n, fmt.Errorf("%s: %w", p.Of, err)
		}
		if ps[0].Seq != p.Seq {
			continue
		}
		r, err := call.ParseRecord(ps[len(ps)-1].Body)
		if err != nil {
			return n, err
		}
		if _, err := fmt.Fprintf(w, "%s,%s,%s\r\n", r.Of, r.Outcome, r.Kind); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
