package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

// ErrNoTaker: there is no call taker of that name.
var ErrNoTaker = errors.New("no such call taker")

// takerMax bounds a user name, in bytes.
const takerMax = 255

// The first byte of a key in the bucket taker.
const (
	takerAccount = 'a'
	takerBinding = 'b'
)

// Taker is a call taker's account.
type Taker struct {
	ID         call.TakerID      `json:"id"`
	Department string            `json:"department,omitempty"` // the OPD that lends the taker
	HA1        map[string]string `json:"ha1"`                  // by digest algorithm, in hex (RFC 7616 section 3.4.2): that of Digest
	Added      time.Time         `json:"added"`
}

// Digest is the algorithm that the taker's phone is to use: that of the one HA1. An account of a version that had no choice
// has both, and means MD5.
func (t Taker) Digest() string {
	if t.HA1["SHA-256"] != "" && len(t.HA1) == 1 {
		return "SHA-256"
	}
	return "MD5"
}

func takerKey(kind byte, id call.TakerID) []byte {
	return append([]byte{kind}, id...)
}

// PutTaker stores an account, in place of one of that name, and returns when it is durable. A binding stays.
func (s *Store) PutTaker(t Taker) error {
	if t.ID == "" || len(t.ID) > takerMax {
		return fmt.Errorf("put taker: a name of 1 to %d bytes is needed, %q is none", takerMax, t.ID)
	}
	t.Added = t.Added.Round(0).UTC()
	b, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("put taker %s: %w", t.ID, err)
	}
	err = s.wait(&op{weight: 1, apply: func(x *txn) (refused, err error) {
		return nil, x.taker.Put(takerKey(takerAccount, t.ID), b)
	}})
	if err != nil {
		return fmt.Errorf("put taker %s: %w", t.ID, err)
	}
	return nil
}

// RemoveTaker removes an account and its binding and returns when that is durable. The error wraps ErrNoTaker.
func (s *Store) RemoveTaker(id call.TakerID) error {
	found := false
	err := s.wait(&op{weight: 1, apply: func(x *txn) (refused, err error) {
		key := takerKey(takerAccount, id)
		found = x.taker.Get(key) != nil
		if err := x.taker.Delete(key); err != nil {
			return nil, err
		}
		return nil, x.taker.Delete(takerKey(takerBinding, id))
	}})
	if err == nil && !found {
		err = ErrNoTaker
	}
	if err != nil {
		return fmt.Errorf("remove taker %s: %w", id, err)
	}
	return nil
}

// Takers are all accounts, by name.
func (s *Store) Takers() ([]Taker, error) {
	var ts []Taker
	err := s.view(func(x *txn) error {
		c := x.taker.Cursor()
		for k, v := c.Seek([]byte{takerAccount}); len(k) > 0 && k[0] == takerAccount; k, v = c.Next() {
			var t Taker
			if err := json.Unmarshal(v, &t); err != nil {
				return fmt.Errorf("%s: %w", k[1:], err)
			}
			ts = append(ts, t)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("takers: %w", err)
	}
	return ts, nil
}

// Account is the account of a user name: HA1 by algorithm, and who that is. ok is false if there is none.
func (s *Store) Account(user string) (ha1 map[string]string, who call.Party, ok bool) {
	var t Taker
	err := s.view(func(x *txn) error {
		v := x.taker.Get(takerKey(takerAccount, call.TakerID(user)))
		if ok = v != nil; !ok {
			return nil
		}
		return json.Unmarshal(v, &t)
	})
	if err != nil {
		s.o.Log.Error("store: account", zap.String("taker", user), zap.Error(err))
		return nil, call.Party{}, false
	}
	if !ok {
		return nil, call.Party{}, false
	}
	return t.HA1, call.Party{Taker: t.ID, Department: t.Department}, true
}

// Bind stores where a call taker's phone is and returns at once: the latest wins, nil forgets. Of a taker without an
// account nothing is stored. A crash may lose the last ones: those phones register again.
func (s *Store) Bind(taker call.TakerID, contacts []byte) {
	contacts = bytes.Clone(contacts)
	s.post(&op{weight: 1, apply: func(x *txn) (refused, err error) {
		key := takerKey(takerBinding, taker)
		if contacts == nil {
			return nil, x.taker.Delete(key)
		}
		if x.taker.Get(takerKey(takerAccount, taker)) == nil {
			return fmt.Errorf("bind %q: %w", taker, ErrNoTaker), nil
		}
		return nil, x.taker.Put(key, contacts)
	}})
}

// Bound yields what Bind stored, by name.
func (s *Store) Bound() iter.Seq2[call.TakerID, []byte] {
	type bound struct {
		taker    call.TakerID
		contacts []byte
	}
	return func(yield func(call.TakerID, []byte) bool) {
		from := []byte{takerBinding}
		rows := pull(context.Background(), s, func(x *txn, add func(bound, error)) (bool, error) {
			var n chunk
			c := x.taker.Cursor()
			for k, v := c.Seek(from); len(k) > 0 && k[0] == takerBinding; k, v = c.Next() {
				add(bound{call.TakerID(k[1:]), bytes.Clone(v)}, nil)
				if n.full(len(v)) {
					from = append(bytes.Clone(k), 0)
					return true, nil
				}
			}
			return false, nil
		})
		for row, err := range rows {
			if err != nil {
				s.o.Log.Error("store: bindings", zap.Error(err))
				return
			}
			if !yield(row.taker, row.contacts) {
				return
			}
		}
	}
}
