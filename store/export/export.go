// Package export writes call detail records for other programs: CSV for spreadsheets, JSON lines for the rest. It is
// pure over the sealed records that a Source gives it.
package export

import (
	"context"
	"encoding/hex"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/siaga112/siaga112/call"
)

// Source is where the records come from.
type Source interface {
	// Size is the number of sealed pieces.
	Size() (uint64, error)
	// Scan yields the pieces from seq on, in order. A damaged one may come with an error and be followed by others.
	Scan(ctx context.Context, from uint64) iter.Seq2[call.Sealed, error]
	// Pieces are all pieces of a subject, in order.
	Pieces(id call.ID) ([]call.Sealed, error)
}

// Span says which calls are exported: those that arrived at From or later and before To. A zero time does not bound.
type Span struct{ From, To time.Time }

func (s Span) holds(t time.Time) bool {
	return (s.From.IsZero() || !t.Before(s.From)) && (s.To.IsZero() || t.Before(s.To))
}

// Row is one call as it is exported.
type Row struct {
	Record call.Record // with the amendments
	Seq    uint64      // of its first piece
	Leaf   [32]byte    // of its first piece
}

// Rows yields one row a call, in the order of the first pieces' seq: the order in which the calls ended. Amendments count
// as far as they were sealed when Rows began. Memory does not grow with the number of calls. Erased calls have no row.
// The first error ends it: what has been yielded is then not the whole.
func Rows(ctx context.Context, src Source, span Span) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		size, err := src.Size()
		if err != nil {
			yield(Row{}, fmt.Errorf("export: %w", err))
			return
		}
		if size == 0 {
			return
		}
		for p, err := range src.Scan(ctx, 0) {
			row, ok := Row{}, false
			if err == nil && p.Seq >= size {
				return
			}
			if err == nil && p.Of.Kind() == call.Call && len(p.Body) > 0 {
				row, ok, err = rowAt(src, p, size)
			}
			if err != nil {
				yield(Row{}, fmt.Errorf("export: record %d: %w", p.Seq, err))
				return
			}
			if ok && span.holds(row.Record.FirstAt) && !yield(row, nil) {
				return
			}
			if p.Seq+1 == size {
				return
			}
		}
	}
}

// rowAt makes the row of the call whose piece p is; ok is false if p is an amendment.
func rowAt(src Source, p call.Sealed, size uint64) (row Row, ok bool, err error) {
	pieces, err := src.Pieces(p.Of)
	if err != nil {
		return Row{}, false, err
	}
	if len(pieces) == 0 {
		return Row{}, false, fmt.Errorf("%w: it is not among the pieces of %s", call.ErrFormat, p.Of)
	}
	if pieces[0].Seq != p.Seq {
		return Row{}, false, nil
	}
	last := pieces[0]
	for _, q := range pieces {
		if q.Seq < size && len(q.Body) > 0 {
			last = q
		}
	}
	r, err := call.ParseRecord(last.Body)
	if err != nil {
		return Row{}, false, err
	}
	return Row{Record: r, Seq: p.Seq, Leaf: p.Leaf}, true, nil
}

// Names are the columns, in order. They are the names in both formats and do not change.
func Names() []string {
	return []string{
		"call_id", "arrived_at", "trunk", "caller", "caller_trust", "called", "outcome", "code", "wait_s", "talk_s", "taker",
		"department", "kind", "prank_p", "prank_reasons", "sip_call_id", "seq", "leaf",
	}
}

// timeFormat is RFC 3339 to the millisecond.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// reasons are the facts behind the score, one a word group: prank=2 days=1 last=2026-03-01T08:00:00.000+07:00.
func (r Row) reasons(zone *time.Location) []string {
	if r.Record.Score == nil {
		return nil
	}
	texts := make([]string, 0, len(r.Record.Score.Why))
	for _, why := range r.Record.Score.Why {
		var b strings.Builder
		fmt.Fprintf(&b, "%s=%d", why.Kind, why.Count)
		if why.Days > 0 {
			fmt.Fprintf(&b, " days=%d", why.Days)
		}
		if !why.Last.IsZero() {
			fmt.Fprintf(&b, " last=%s", why.Last.In(zone).Format(timeFormat))
		}
		texts = append(texts, b.String())
	}
	return texts
}

// prank is the score's probability; ok is false without a history.
func (r Row) prank() (p float64, ok bool) {
	if s := r.Record.Score; s != nil && s.P >= 0 {
		return s.P, true
	}
	return 0, false
}

func (r Row) leaf() string { return hex.EncodeToString(r.Leaf[:]) }
