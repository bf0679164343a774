// Package export writes call detail records for other programs: CSV for spreadsheets, JSON Lines, XLSX and Parquet, and the
// tables that tools for Asterisk and FreeSWITCH read. It is pure over the sealed records that a Source gives it, streams
// with a memory that does not grow with their number, and reads nothing but their record lines.
package export

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/siaga112/siaga112/call"
)

// ErrOption is wrapped by the error of Write when an option makes no sense.
var ErrOption = errors.New("not an option of an export")

// Source is where the records come from.
type Source interface {
	// Size is the number of sealed pieces.
	Size() (uint64, error)
	// Scan yields the pieces from seq on, in order. A damaged one may come with an error and be followed by others.
	Scan(ctx context.Context, from uint64) iter.Seq2[call.Sealed, error]
	// Pieces are all pieces of a subject, in order.
	Pieces(id call.ID) ([]call.Sealed, error)
}

// Latest is a Source that finds by itself which piece is the last of a call, and is much faster for it.
type Latest interface {
	// Latest yields the calls whose first piece is in [from, size), in order and in chunks: Seq and Leaf are of the first
	// piece, Body is the record line of the last one before size. An erased piece has no Body. A chunk is valid until the
	// next one is asked for. The first error ends it.
	Latest(ctx context.Context, from, size uint64) iter.Seq2[[]call.Sealed, error]
}

// Filter says which calls are exported; what is zero lets all pass. All that is given must fit.
type Filter struct {
	From, To    time.Time // of arrival: From is in, To is not
	Outcomes    []call.Outcome
	Departments []string
	Kinds       []call.Kind // Unclassified: those without a disposition
	Trunks      []string
	Number      string // the caller's, as it stands in the record
}

// Unclassified is the Kind of a Filter for calls that nobody has classified.
const Unclassified call.Kind = "none"

// Holds tells whether a call passes.
func (f *Filter) Holds(r *call.Record) bool {
	kind := r.Kind
	if kind == "" {
		kind = Unclassified
	}
	return (f.From.IsZero() || !r.FirstAt.Before(f.From)) && (f.To.IsZero() || r.FirstAt.Before(f.To)) &&
		among(f.Outcomes, r.Outcome) && among(f.Departments, r.Dept) && among(f.Kinds, kind) && among(f.Trunks, r.Trunk) &&
		(f.Number == "" || f.Number == r.Caller.Number)
}

func among[T comparable](some []T, v T) bool { return len(some) == 0 || slices.Contains(some, v) }

// Options say what Write writes.
type Options struct {
	Format  string // one of Formats
	Profile string // of csv, one of Profiles; "" is Strict
	Locale  string // of the profile Excel, one of Locales; "" is the first
	Zone    *time.Location
	Filter  Filter
	Mask    bool // callers' numbers are masked: see Masked

	// Size is as of which piece the export is: a call that ended later is not in it, and an amendment does not count. 0: all
	// that there is. From is the first piece to look at; unless it is 0, nothing is written that stands before the first
	// row: what comes then follows what an export of the same Size and options wrote up to a Progress with that Next.
	From, Size uint64

	// Progress is called after each chunk has been written, from a goroutine of Write's, and before Write returns.
	Progress func(Progress)
	// Workers is how many goroutines parse and format; 0: as many as run at a time, but two at least.
	Workers int
	// Begin is called first in each goroutine that computes: it may lower the priority of its thread.
	Begin func()

	sheetRows int // of a sheet of xlsx; 0: as many as it can have
}

// Progress is how far an export is.
type Progress struct {
	Next   uint64 // the first piece that was not looked at
	Size   uint64 // as of which the export is
	Rows   uint64 // written, in this run
	Erased uint64 // pieces that were erased and have no row, in this run
	Bytes  uint64 // written, in this run; text formats only: others write with a delay
}

// Row is one call as it is exported.
type Row struct {
	Record call.Record // with the amendments
	Seq    uint64      // of its first piece
	Leaf   [32]byte    // of its first piece
}

// answered tells when a human answered.
func (r *Row) answered() (at time.Time, ok bool) {
	if c := &r.Record; c.Outcome == call.WasAnswered || c.Taker != "" {
		return c.FirstAt.Add(c.Wait), true
	}
	return time.Time{}, false
}

// ended is when the caller's leg left.
func (r *Row) ended() time.Time { return r.Record.FirstAt.Add(r.Record.Wait + r.Record.Talk) }

// Rows yields one row a call, in the order of the first pieces' seq: the order in which the calls ended. Amendments count
// as far as they were sealed when Rows began. Erased calls have no row. The first error ends it: what has been yielded is
// then not the whole.
func Rows(ctx context.Context, src Source, f Filter) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		size, err := src.Size()
		if err != nil {
			yield(Row{}, fmt.Errorf("export: %w", err))
			return
		}
		for pieces, err := range latest(ctx, src, 0, size) {
			if err != nil {
				yield(Row{}, fmt.Errorf("export: %w", err))
				return
			}
			for i := range pieces {
				p := &pieces[i]
				if len(p.Body) == 0 {
					continue
				}
				row := Row{Seq: p.Seq, Leaf: p.Leaf}
				if row.Record, err = call.ParseRecord(p.Body); err != nil {
					yield(Row{}, fmt.Errorf("export: record %d: %w", p.Seq, err))
					return
				}
				if f.Holds(&row.Record) && !yield(row, nil) {
					return
				}
			}
		}
	}
}

// latest is src's Latest, or the same made of Scan and Pieces: a look-up a record.
func latest(ctx context.Context, src Source, from, size uint64) iter.Seq2[[]call.Sealed, error] {
	if l, ok := src.(Latest); ok {
		return l.Latest(ctx, from, size)
	}
	return func(yield func([]call.Sealed, error) bool) {
		const chunk = 256
		var some []call.Sealed
		if from >= size {
			return
		}
		for p, err := range src.Scan(ctx, from) {
			if err == nil && p.Seq >= size {
				break
			}
			ok := false
			if err == nil {
				p, ok, err = newest(src, p, size)
			}
			if ok {
				some = append(some, p)
			}
			if err != nil {
				if len(some) == 0 || yield(some, nil) {
					yield(nil, fmt.Errorf("record %d: %w", p.Seq, err))
				}
				return
			}
			if len(some) == chunk {
				if !yield(some, nil) {
					return
				}
				some = nil
			}
			if p.Seq+1 == size {
				break
			}
		}
		if len(some) > 0 {
			yield(some, nil)
		}
	}
}

// newest gives the piece the body of the subject's last one; ok is false where it is not the first of a call.
func newest(src Source, p call.Sealed, size uint64) (_ call.Sealed, ok bool, err error) {
	if len(p.Body) == 0 {
		return p, true, nil
	}
	if p.Of.Kind() != call.Call {
		return p, false, nil
	}
	pieces, err := src.Pieces(p.Of)
	if err != nil {
		return p, false, err
	}
	if len(pieces) == 0 {
		return p, false, fmt.Errorf("%w: it is not among the pieces of %s", call.ErrFormat, p.Of)
	}
	if pieces[0].Seq != p.Seq {
		return p, false, nil
	}
	for _, q := range pieces {
		if q.Seq < size && len(q.Body) > 0 {
			p.Body = q.Body
		}
	}
	return p, true, nil
}
