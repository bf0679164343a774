package store

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/siaga112/siaga112/call"
)

// Append stores entries, all of them or none, and returns at once. es must not be changed afterwards. done is called
// once, from the committer's goroutine, in the order of the Appends, after the entries are on the disk; it must not
// block, and may be nil. A crash before done may have lost the entries, never a part of them.
//
// The entries of a subject follow each other by N without a gap. A number that is stored already with the same content
// is a no-op. N = 0 is numbered after the last. A subject begins with its entry 1; a call's is Arrived. Ended seals a
// call, TakerChanged off a shift, Acted an act; whatever is appended later is an amendment: a piece and a leaf of its
// own, whose record folds all entries so far.
//
// done hears nil, or an error that wraps ErrUnknown, ErrOrder, ErrInvalid or ErrErased (nothing of this Append is stored) or
// ErrClosed. Once the store is closed it is called at once, from the caller's goroutine.
func (s *Store) Append(es []call.Entry, done func(error)) {
	a := &appending{entries: slices.Clone(es)}
	o := &op{weight: max(1, len(es)), done: done}
	o.apply = func(t *txn) (refused, err error) {
		o.records, refused, err = a.apply(t)
		return refused, err
	}
	s.post(o)
}

// Keep stores the dialog of a leg and returns at once: the latest wins, nil forgets it. It must not be changed afterwards. It
// is durable no later than whatever is appended after it. Sealing a call forgets the dialogs of its legs. done is Append's: it
// hears nil once this dialog, or a later one of the leg, is on the disk.
func (s *Store) Keep(id call.ID, l call.Leg, dialog []byte, done func(error)) {
	s.post(&op{weight: 1, over: string(legKey(id, l)), done: done, apply: func(t *txn) (refused, err error) {
		if err := checkID(id); err != nil {
			return fmt.Errorf("keep: %w", err), nil
		}
		if dialog == nil {
			return nil, t.leg.Delete(legKey(id, l))
		}
		return nil, t.leg.Put(legKey(id, l), dialog)
	}})
}

// appending is one Append. A number that the store gave to an entry stays with it.
type appending struct{ entries []call.Entry }

// apply plans for all subjects before it writes for any.
func (a *appending) apply(t *txn) (records []call.Record, refused, err error) {
	var subjects []*subject
	for i := range a.entries {
		e := &a.entries[i]
		at := slices.IndexFunc(subjects, func(s *subject) bool { return s.id == e.Of })
		if at < 0 {
			sub, err := t.subject(e.Of)
			if err != nil {
				return nil, fmt.Errorf("append: %w", err), nil
			}
			at, subjects = len(subjects), append(subjects, sub)
		}
		if err := subjects[at].add(e); err != nil {
			return nil, fmt.Errorf("append: %w", err), nil
		}
	}
	for _, sub := range subjects {
		if err := sub.flush(); err != nil {
			return nil, fmt.Errorf("append: %w", err), nil
		}
	}
	for _, sub := range subjects {
		if err := sub.write(); err != nil {
			return nil, nil, err
		}
		for _, p := range sub.pieces {
			records = append(records, p.record)
		}
	}
	return records, nil, nil
}

// subject is what is stored of one subject, and what an Append adds to it.
type subject struct {
	t      *txn
	id     call.ID
	sealed bool
	stored uint32   // entries in the file
	lines  [][]byte // those, by N - 1; nil until load
	fresh  [][]byte // new lines, following
	cut    int      // fresh[:cut] are in pieces
	pieces []piece
	open   bool // it had live rows when the Append began
}

// piece is a piece to be sealed.
type piece struct {
	record call.Record
	body   []byte
}

func (t *txn) subject(id call.ID) (*subject, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	s := &subject{t: t, id: id}
	if s.stored = t.lastLive(id); s.stored > 0 {
		s.open = true
		return s, nil
	}
	k, _ := t.id.Cursor().Seek([]byte(id))
	if s.sealed = bytes.HasPrefix(k, []byte(id)); !s.sealed {
		return s, nil
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.stored = uint32(len(s.lines))
	return s, nil
}

// add takes the entry in. The error wraps ErrUnknown, ErrOrder or ErrInvalid.
func (s *subject) add(e *call.Entry) error {
	next := s.last() + 1
	if next == 1 && (e.N > 1 || !e.Begins()) {
		return fmt.Errorf("%w: %s", ErrUnknown, e.Of)
	}
	if e.N == 0 {
		e.N = next
	}
	line, err := call.AppendEntry(nil, *e)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if e.N < next {
		return s.same(e.N, line)
	}
	if e.N > next {
		return fmt.Errorf("%w: %s: %d follows %d", ErrOrder, e.Of, e.N, next-1)
	}
	seals := e.Seals()
	if _, ended := e.Event.(call.Ended); ended && s.sealed && seals {
		return fmt.Errorf("%w: %s has ended before", ErrOrder, e.Of)
	}
	s.fresh = append(s.fresh, line)
	if seals && !s.sealed {
		return s.seal()
	}
	return nil
}

func (s *subject) last() uint32 { return s.stored + uint32(len(s.fresh)) }

// same holds a line against the one that is stored under its number.
func (s *subject) same(n uint32, line []byte) error {
	if err := s.load(); err != nil {
		return err
	}
	if !bytes.Equal(s.line(n), line) {
		return fmt.Errorf("%w: another entry is %s %d", ErrOrder, s.id, n)
	}
	return nil
}

func (s *subject) line(n uint32) []byte {
	if n <= s.stored {
		return s.lines[n-1]
	}
	return s.fresh[n-s.stored-1]
}

// load reads the lines that are stored.
func (s *subject) load() (err error) {
	if s.lines != nil || (s.stored == 0 && !s.sealed) {
		return nil
	}
	if !s.sealed || s.open {
		if s.lines = s.t.liveLines(s.id); uint32(len(s.lines)) != s.stored {
			return fmt.Errorf("%s: %w: %d of %d live entries are there", s.id, call.ErrFormat, len(s.lines), s.stored)
		}
		return nil
	}
	pieces, err := s.t.pieces(s.id)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		if len(p.Body) == 0 {
			return fmt.Errorf("%w: %s", ErrErased, s.id)
		}
		_, entries := splitBody(p.Body)
		s.lines = append(s.lines, entries...)
	}
	return nil
}

// flush makes an amendment of what follows a seal.
func (s *subject) flush() error {
	if s.sealed && s.cut < len(s.fresh) {
		return s.seal()
	}
	return nil
}

// seal makes a piece of all entries that are in none.
func (s *subject) seal() error {
	if err := s.load(); err != nil {
		return err
	}
	all := slices.Concat(s.lines, s.fresh)
	r, err := foldLines(all)
	if err != nil {
		return err
	}
	body, err := call.AppendRecord(nil, r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	mine := all
	if s.sealed {
		mine = s.fresh[s.cut:]
	}
	s.pieces = append(s.pieces, piece{record: r, body: slices.Concat(append([][]byte{body}, mine...)...)})
	s.sealed, s.cut = true, len(s.fresh)
	return nil
}

// write puts into the transaction what add and flush have planned. An error is the store's.
func (s *subject) write() error {
	born := s.stored == 0 && len(s.fresh) > 0
	if born && s.id.Kind() == call.Call {
		if err := s.t.setCount(metaArrived, s.t.count(metaArrived)+1); err != nil {
			return err
		}
	}
	if !s.sealed {
		for i, l := range s.fresh {
			if err := s.t.live.Put(liveKey(s.id, s.stored+uint32(i)+1), l); err != nil {
				return err
			}
		}
		return nil
	}
	for i, p := range s.pieces {
		first := i == 0 && (s.open || born)
		if err := s.t.seal(s.id, p, first); err != nil {
			return err
		}
	}
	return nil
}

// foldLines folds what is stored, not what was handed in: the codec may have changed it (text that is not UTF-8).
func foldLines(lines [][]byte) (call.Record, error) {
	entries := make([]call.Entry, 0, len(lines))
	for _, l := range lines {
		e, err := call.ParseEntry(l)
		if err != nil {
			return call.Record{}, err
		}
		entries = append(entries, e)
	}
	return call.Fold(slices.Values(entries)), nil
}

// splitBody cuts a body into its record and its entries, each with its newline.
func splitBody(body []byte) (record []byte, entries [][]byte) {
	for l := range bytes.Lines(body) {
		if record == nil {
			record = l
			continue
		}
		entries = append(entries, l)
	}
	return record, entries
}
