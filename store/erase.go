package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
)

// What an erasure can fail with. Nothing of the chunk at which it failed is erased; the chunks before it are.
var (
	// ErrLive: a call that is to be erased has not ended.
	ErrLive = errors.New("a call has not ended")
	// ErrOnHold: a hold keeps what is to be erased.
	ErrOnHold = errors.New("a hold keeps it")
	// ErrNamed: the reason or the order's number names the caller: it would stay in the ledger.
	ErrNamed = errors.New("it names the number that is to be forgotten")
)

// chunkErase is how many subjects one transaction erases at most: a commit of a few milliseconds.
const chunkErase = 64

// Erasure says what is to be erased, and on whose word.
type Erasure struct {
	Number string    // all calls of this caller; or
	Calls  []call.ID // these calls
	By     call.TakerID
	Reason string
	Order  string // the number of the written order
	DryRun bool   // only look
}

// Erased is what was erased, or would be.
type Erased struct {
	Calls, Pieces int       // calls, and their records with all amendments
	Acts          int       // acts whose text named the number, erased with them
	Said          []call.ID // the acts that say so in the ledger: one for each transaction
	Mentions      []call.ID // other subjects whose text names the number: they are left, and each can be erased by its id
	Others        []string  // other notations of the number that have calls: they are left, and each can be erased as a number
}

// Erase erases calls with all their amendments, and the acts that name the number: of each record only the leaf stays, so
// that the tree still verifies. It takes several short transactions, each with its own act (audit.ActErased); after a crash, or
// an error, it is to be run again: what was erased until then is returned with the error. A call of the number that begins
// meanwhile is ErrLive when all others are erased. The bytes are in the file until Compact.
//
// The errors wrap ErrLive, ErrOnHold, ErrNamed, ErrInvalid or ErrClosed.
func (s *Store) Erase(ctx context.Context, e Erasure) (done Erased, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("erase: %w", err)
		}
	}()
	if err := e.check(); err != nil {
		return done, err
	}
	named, err := s.named(ctx, e.Number, &done)
	if err != nil {
		return done, err
	}
	// All of it is looked at first: a hold on the last call refuses the first one, too. Whether a call lives is asked before
	// those that have ended are listed, or one that ends in between would be neither.
	if e.Number != "" {
		if err := s.view(func(t *txn) error { return t.noLive(e.Number) }); err != nil {
			return done, err
		}
	}
	for again := false; ; again = true {
		targets, err := e.Calls, error(nil)
		if e.Number != "" {
			targets, err = s.callsOf(ctx, e.Number)
		}
		if err == nil && !again {
			err = s.view(func(t *txn) error { return t.erasable(e.Number, targets) })
		}
		if err != nil {
			return done, err
		}
		if again && len(targets) == 0 {
			break
		}
		if err := s.eraseAll(ctx, e, targets, &done); err != nil {
			return done, err
		}
		if e.DryRun || e.Number == "" {
			break
		}
	}
	if err := s.eraseAll(ctx, e, named, &done); err != nil || e.Number == "" {
		return done, err
	}
	return done, s.view(func(t *txn) error {
		done.Others = t.otherForms(e.Number)
		return t.noLive(e.Number) // one that has begun meanwhile
	})
}

// eraseAll erases subjects, chunk by chunk.
func (s *Store) eraseAll(ctx context.Context, e Erasure, ids []call.ID, done *Erased) error {
	for some := range slices.Chunk(ids, chunkErase) {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := &tombs{s: s, what: audit.ActErased, by: e.By, reason: e.Reason, order: e.Order, number: e.Number, ids: some, dry: e.DryRun}
		if err := c.run(done); err != nil {
			return err
		}
	}
	return nil
}

func (e Erasure) check() error {
	if (e.Number == "") == (len(e.Calls) == 0) {
		return fmt.Errorf("%w: a number or calls are needed", ErrInvalid)
	}
	if strings.TrimSpace(e.Reason) == "" || strings.TrimSpace(e.Order) == "" {
		return fmt.Errorf("%w: a reason and the number of an order are needed", ErrInvalid)
	}
	for _, text := range []string{e.Reason, e.Order} {
		if strings.Contains(text, ";") || strings.ContainsFunc(text, unicode.IsControl) {
			return fmt.Errorf("%w: %q has a semicolon or a line break", ErrInvalid, text)
		}
		if names([]byte(text), forms(e.Number)) {
			return fmt.Errorf("%w: it would stand in the ledger for ever; say it without", ErrNamed)
		}
	}
	for _, id := range e.Calls {
		if err := checkID(id); err != nil {
			return err
		}
		if id.Kind() != call.Call {
			return fmt.Errorf("%w: %s is no call", ErrInvalid, id)
		}
	}
	return nil
}

// callsOf are the calls that the index has of a number, in order of arrival.
func (s *Store) callsOf(ctx context.Context, number string) (ids []call.ID, err error) {
	for id, err := range s.Find(ctx, Query{Number: number}) {
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	// A number that is longer than the index's is there by its beginning.
	if len(number) < numberMax {
		return ids, nil
	}
	err = s.view(func(t *txn) error {
		ids = slices.DeleteFunc(ids, func(id call.ID) bool {
			ps, err := t.pieces(id)
			if err != nil || len(ps) == 0 {
				return true
			}
			r, err := call.ParseRecord(ps[0].Body)
			return err != nil || r.Caller.Number != number
		})
		return nil
	})
	return ids, err
}

// named are the acts whose text names the number. Other subjects than its calls that do are noted as mentions.
func (s *Store) named(ctx context.Context, number string, into *Erased) (acts []call.ID, err error) {
	fs, same := forms(number), notations(number)
	if len(fs) == 0 {
		return nil, nil
	}
	next, seen := uint64(0), map[call.ID]bool{}
	look := func(seq uint64, v []byte) {
		if len(v) < headLen || !names(v[headLen:], fs) {
			return
		}
		p, err := readRec(seq, v)
		if err != nil || seen[p.Of] {
			return
		}
		r, err := call.ParseRecord(p.Body)
		switch {
		case err != nil || slices.Contains(same, r.Caller.Number): // its own calls, and those of Others
		case r.Act != nil && r.Act.What != audit.ActErased && r.Act.What != audit.ActExpired:
			acts, seen[p.Of] = append(acts, p.Of), true
		default:
			into.Mentions, seen[p.Of] = append(into.Mentions, p.Of), true
		}
	}
	err = s.views(ctx, func(t *txn) (bool, error) {
		var n chunk
		c := t.rec.Cursor()
		for k, v := c.Seek(seqKey(next)); k != nil; k, v = c.Next() {
			if len(k) != seqLen {
				continue
			}
			seq := binary.BigEndian.Uint64(k)
			look(seq, v)
			next = seq + 1
			if n.full(len(v)) {
				return true, nil
			}
		}
		return false, nil
	}, func() bool { return true })
	return acts, err
}

// erasable refuses what lives or is held.
func (t *txn) erasable(number string, ids []call.ID) error {
	if number != "" {
		if h, ok, err := t.heldNumber(number); err != nil || ok {
			return errors.Join(err, onHold("the number", h))
		}
	}
	for _, id := range ids {
		if t.lastLive(id) > 0 {
			return fmt.Errorf("%w: %s; erase again when it has ended", ErrLive, id)
		}
		if h, ok, err := t.heldCall(id); err != nil || ok {
			return errors.Join(err, onHold(string(id), h))
		}
		if number == "" {
			if err := t.erasableCall(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// noLive refuses while a call of the number lives.
func (t *txn) noLive(number string) error {
	if id := t.liveOf(number); id != "" {
		return fmt.Errorf("%w: %s of that number; erase again when it has ended", ErrLive, id)
	}
	return nil
}

// otherForms are the other notations of the number that ended calls have.
func (t *txn) otherForms(number string) (has []string) {
	for _, n := range notations(number)[1:] {
		prefix := idxPrefix(fieldNumber, n)
		if k, _ := t.idx.Cursor().Seek(prefix); bytes.HasPrefix(k, prefix) {
			has = append(has, n)
		}
	}
	return has
}

// erasableCall refuses a call that does not exist, or whose number is held.
func (t *txn) erasableCall(id call.ID) error {
	ps, err := t.pieces(id)
	switch {
	case err != nil:
		return err
	case len(ps) == 0:
		return fmt.Errorf("%w: %s", ErrUnknown, id)
	case len(ps[0].Body) == 0:
		return nil
	}
	r, err := call.ParseRecord(ps[0].Body)
	if err != nil || r.Caller.Number == "" {
		return err
	}
	if h, ok, err := t.heldNumber(r.Caller.Number); err != nil || ok {
		return errors.Join(err, onHold("the number of "+string(id), h))
	}
	return nil
}

// liveOf is a call of the number that has not ended; "" if there is none.
func (t *txn) liveOf(number string) call.ID {
	c := t.live.Cursor()
	for k, v := c.Seek([]byte{call.Call}); len(k) >= idLen && k[0] == call.Call; k, v = c.Seek(after(k[:idLen])) {
		e, err := call.ParseEntry(v)
		if err != nil {
			continue // Verify says so
		}
		if a, ok := e.Event.(call.Arrived); ok && a.Caller.Number == number {
			return e.Of
		}
	}
	return ""
}

// tombs is the erasure of a chunk of subjects: one transaction.
type tombs struct {
	s      *Store
	what   string
	by     call.TakerID
	reason string
	order  string
	number string // whose calls they are; "": of calls that were named themselves
	ids    []call.ID
	dry    bool

	calls, acts int // what the transaction did
	seqs        []uint64
}

// run erases the chunk and adds what it did.
func (c *tombs) run(into *Erased) error {
	if c.dry {
		err := c.s.view(func(t *txn) error { return c.look(t) })
		c.addTo(into)
		return err
	}
	now := time.Now()
	act := call.NewID(call.Act, now)
	err := c.s.waitOp(&op{weight: 4 * len(c.ids)}, func(t *txn) (records []call.Record, refused, err error) {
		if err := t.erasable(c.number, c.ids); err != nil {
			return nil, err, nil
		}
		if err := c.look(t); err != nil || len(c.seqs) == 0 {
			return nil, nil, err
		}
		for _, id := range c.ids {
			if err := t.erase(id); err != nil {
				return nil, nil, err
			}
		}
		if err := t.setCount(metaErased, t.count(metaErased)+uint64(len(c.seqs))); err != nil {
			return nil, nil, err
		}
		return t.act(act, now, call.Acted{By: c.by, What: c.what, Detail: audit.ErasedDetail(c.seqs, c.reason, c.order)})
	})
	if err != nil {
		return err
	}
	if c.addTo(into); len(c.seqs) > 0 {
		into.Said = append(into.Said, act)
	}
	return nil
}

func (c *tombs) addTo(into *Erased) {
	into.Calls, into.Acts, into.Pieces = into.Calls+c.calls, into.Acts+c.acts, into.Pieces+len(c.seqs)
}

// look counts what of the chunk is not erased yet.
func (c *tombs) look(t *txn) error {
	c.calls, c.acts, c.seqs = 0, 0, nil
	for _, id := range c.ids {
		ps, err := t.pieces(id)
		if err != nil {
			return err
		}
		n := len(c.seqs)
		for _, p := range ps {
			if len(p.Body) > 0 {
				c.seqs = append(c.seqs, p.Seq)
			}
		}
		switch {
		case len(c.seqs) == n:
		case id.Kind() == call.Act:
			c.acts++
		default:
			c.calls++
		}
	}
	return nil
}

// erase leaves of a sealed subject its list of pieces and their leaves.
func (t *txn) erase(id call.ID) error {
	ps, err := t.pieces(id)
	if err != nil {
		return err
	}
	for i, p := range ps {
		if len(p.Body) == 0 {
			continue
		}
		if i == 0 && id.Kind() == call.Call {
			r, err := call.ParseRecord(p.Body)
			if err != nil {
				return err
			}
			for _, k := range idxKeys(r, p.Seq) {
				if err := t.idx.Delete(k); err != nil {
					return err
				}
			}
		}
		if err := t.rec.Put(seqKey(p.Seq), p.Leaf[:]); err != nil {
			return err
		}
	}
	// A dialog may have been kept after the end.
	return errors.Join(deletePrefix(t.leg, []byte(id)), t.todo.Delete([]byte(id)))
}
