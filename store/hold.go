package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/siaga112/siaga112/call"
)

// ErrNoHold: nothing of that name is held.
var ErrNoHold = errors.New("there is no such hold")

// The acts of holds.
const (
	ActHeld     = "held"
	ActReleased = "released"
)

// The first byte of a key in the bucket hold.
const (
	holdCall   = 'c' // as in the call's id
	holdNumber = 'n'
)

// Hold keeps all calls of a number, or one call, from being erased or expiring.
type Hold struct {
	Number string       `json:"-"`
	Call   call.ID      `json:"-"`
	By     call.TakerID `json:"by,omitempty"`
	Reason string       `json:"reason"`
	Since  time.Time    `json:"since"`
	Act    call.ID      `json:"act"` // the act that says so in the ledger; it does not name the number
}

func (h Hold) key() ([]byte, error) {
	switch {
	case (h.Number == "") == (h.Call == ""):
		return nil, fmt.Errorf("%w: a number or a call is needed", ErrInvalid)
	case h.Number != "":
		return append([]byte{holdNumber}, h.Number...), nil
	case h.Call.Kind() != call.Call:
		return nil, fmt.Errorf("%w: %s is no call", ErrInvalid, h.Call)
	}
	return []byte(h.Call), checkID(h.Call)
}

// what says what is held, without the number.
func (h Hold) what() string {
	if h.Call != "" {
		return string(h.Call)
	}
	return "a number"
}

func onHold(what string, h Hold) error {
	if h.Act == "" {
		return nil
	}
	return fmt.Errorf("%w: %s since %s (%s, act %s); release it first", ErrOnHold, what, h.Since.Format(time.DateOnly), h.Reason, h.Act)
}

// Hold holds a number or a call, in place of an earlier hold of it, and returns when that is durable. The act ActHeld says so
// in the ledger. The errors wrap ErrInvalid, ErrNamed, ErrClosed, and ErrUnknown for a call that does not exist.
func (s *Store) Hold(h Hold) (Hold, error) {
	h.Since = time.Now().UTC().Truncate(time.Second)
	h.Act = call.NewID(call.Act, h.Since)
	key, err := h.key()
	if err == nil && strings.TrimSpace(h.Reason) == "" {
		err = fmt.Errorf("%w: a reason is needed", ErrInvalid)
	}
	if err == nil && strings.ContainsFunc(h.Reason, unicode.IsControl) {
		err = fmt.Errorf("%w: %q has a line break", ErrInvalid, h.Reason)
	}
	if err == nil && names([]byte(h.Reason), forms(h.Number)) {
		err = fmt.Errorf("%w: it would stand in the ledger for ever; say it without", ErrNamed)
	}
	if err != nil {
		return h, fmt.Errorf("hold: %w", err)
	}
	v, err := json.Marshal(h)
	if err != nil {
		return h, fmt.Errorf("hold: %w", err)
	}
	err = s.waitOp(&op{weight: 2}, func(t *txn) (records []call.Record, refused, err error) {
		if h.Call != "" && t.lastLive(h.Call) == 0 && !t.hasPieces(h.Call) {
			return nil, fmt.Errorf("%w: %s", ErrUnknown, h.Call), nil
		}
		if err := t.hold.Put(key, v); err != nil {
			return nil, nil, err
		}
		return t.act(h.Act, h.Since, call.Acted{By: h.By, What: ActHeld, Detail: h.what() + "; " + h.Reason})
	})
	if err != nil {
		return h, fmt.Errorf("hold: %w", err)
	}
	return h, nil
}

// Release ends the hold of a number, in whichever notation it was given, or of a call and returns when that is durable. The act ActReleased names the act of the hold.
// The errors wrap ErrInvalid, ErrNamed, ErrNoHold or ErrClosed.
func (s *Store) Release(h Hold) error {
	key, err := h.key()
	if err == nil && names([]byte(h.Reason), forms(h.Number)) {
		err = fmt.Errorf("%w: it would stand in the ledger for ever; say it without", ErrNamed)
	}
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	now := time.Now()
	act := call.NewID(call.Act, now)
	err = s.waitOp(&op{weight: 2}, func(t *txn) (records []call.Record, refused, err error) {
		old, ok, err := t.held(key)
		if !ok && err == nil && h.Number != "" {
			old, ok, err = t.heldNumber(h.Number)
		}
		if err != nil || !ok {
			return nil, errors.Join(err, ErrNoHold), nil
		}
		if key, err = old.key(); err != nil {
			return nil, nil, err
		}
		if err := t.hold.Delete(key); err != nil {
			return nil, nil, err
		}
		detail := old.what() + ", held by " + string(old.Act)
		if h.Reason != "" {
			detail += "; " + h.Reason
		}
		return t.act(act, now, call.Acted{By: h.By, What: ActReleased, Detail: detail})
	})
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	return nil
}

// Holds are all holds: calls, then numbers.
func (s *Store) Holds() ([]Hold, error) {
	var hs []Hold
	err := s.view(func(t *txn) error {
		c := t.hold.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			h, _, err := t.held(k)
			if err != nil {
				return err
			}
			hs = append(hs, h)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("holds: %w", err)
	}
	return hs, nil
}

// held is the hold of a key.
func (t *txn) held(key []byte) (h Hold, ok bool, err error) {
	v := t.hold.Get(key)
	if v == nil {
		return h, false, nil
	}
	if err := json.Unmarshal(v, &h); err != nil {
		return h, false, fmt.Errorf("hold %q: %w", key, err)
	}
	if key[0] == holdNumber {
		h.Number = string(key[1:])
	} else {
		h.Call = call.ID(key)
	}
	return h, true, nil
}

// heldNumber is the hold of a number, in whatever notation it was given.
func (t *txn) heldNumber(number string) (h Hold, ok bool, err error) {
	for _, n := range notations(number) {
		if h, ok, err = t.held(append([]byte{holdNumber}, n...)); ok || err != nil {
			return h, ok, err
		}
	}
	return h, false, nil
}

func (t *txn) heldCall(id call.ID) (Hold, bool, error) { return t.held([]byte(id)) }

// act seals an act in the transaction that does what it says.
func (t *txn) act(id call.ID, at time.Time, ev call.Acted) (records []call.Record, refused, err error) {
	a := &appending{entries: []call.Entry{{Of: id, N: 1, At: at, Event: ev}}}
	return a.apply(t)
}
