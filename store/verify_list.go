package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/maphash"

	"github.com/siaga112/siaga112/call"
)

// list is what the buckets id and todo say of each record, by seq.
type list struct {
	seed  maphash.Seed
	pages map[uint64]*listPage
	last  *listPage // of lastNo
	no    uint64
	todos []string // the texts of todo; the first is ""
}

type listPage [1 << 10]listed

// listed is one record.
type listed struct {
	subject uint64 // of its subject, hashed; 0: it is not listed
	next    uint64 // the subject's next piece; 0: none
	todo    uint16 // of the subject's first piece: which of todos
	later   bool   // it is an amendment
	call    bool   // it is the first piece of a call
	seen    bool   // the record is there
}

// at is the place of a record; nil if nothing is listed near it and make is not set.
func (l *list) at(seq uint64, create bool) *listed {
	no := seq / uint64(len(listPage{}))
	if l.last == nil || l.no != no {
		p := l.pages[no]
		if p == nil {
			if !create {
				return nil
			}
			p = new(listPage)
			l.pages[no] = p
		}
		l.last, l.no = p, no
	}
	return &l.last[seq%uint64(len(listPage{}))]
}

// view is a list for one reader of several: each keeps its own last page.
func (l *list) view() list { return list{seed: l.seed, pages: l.pages, todos: l.todos} }

func (l *list) hash(id []byte) uint64 { return maphash.Bytes(l.seed, id) | 1 }

// lists reads id and todo side by side, subject by subject, each whole in one transaction.
func (v *verifier) lists(ctx context.Context) error {
	v.list = list{seed: maphash.MakeSeed(), pages: map[uint64]*listPage{}, todos: []string{""}}
	var from, todoFrom []byte
	return v.s.views(ctx, func(t *txn) (more bool, err error) {
		c, todo := t.id.Cursor(), t.todo.Cursor()
		k, _ := c.Seek(from)
		tk, tv := todo.Seek(todoFrom)
		for n := 0; k != nil && n < verifyRows; n++ {
			of := k[:min(idLen, len(k))]
			for tk != nil && bytes.Compare(tk, of) < 0 {
				v.orphan(tk)
				tk, tv = todo.Next()
			}
			text := []byte(nil)
			if bytes.Equal(tk, of) {
				text = tv
				tk, tv = todo.Next()
			}
			todoFrom = append(append(todoFrom[:0], of...), 0)
			k = v.subject(of, text, k, c.Next)
		}
		if k != nil {
			from = bytes.Clone(k)
			return true, nil
		}
		for ; tk != nil; tk, _ = todo.Next() {
			v.orphan(tk)
		}
		return false, nil
	}, func() bool { return true })
}

func (v *verifier) orphan(todo []byte) {
	v.bad(NoSeq, call.ID(todo), "something is to do for it, but it has no record")
}

// subject lists the pieces of one subject and gives the key that follows.
func (v *verifier) subject(of, todo, k []byte, next func() (k, v []byte)) []byte {
	sum := v.list.hash(of)
	var before *listed
	if !validID(of) {
		v.doubt[call.ID(of)] = true
	}
	for ; bytes.HasPrefix(k, of); k, _ = next() {
		if len(k) != idLen+seqLen {
			v.doubt[call.ID(of)] = true
			continue
		}
		seq := binary.BigEndian.Uint64(k[idLen:])
		e := v.list.at(seq, true)
		if e.subject != 0 { // another subject has it as well
			v.doubt[call.ID(of)] = true
			continue
		}
		e.subject = sum
		if before != nil {
			before.next, e.later = seq, true
		} else {
			e.todo = v.todoNo(todo)
			e.call = of[0] == call.Call
			if e.call && seq < v.size {
				v.report.Ended++
			}
		}
		before = e
	}
	return k
}

// todoNo is the number of a text among todos. There are few: all above 1,000 are told apart no more.
func (v *verifier) todoNo(text []byte) uint16 {
	for i, known := range v.list.todos {
		if known == string(text) {
			return uint16(i)
		}
	}
	if len(v.list.todos) <= 1000 {
		v.list.todos = append(v.list.todos, string(text))
	}
	return uint16(len(v.list.todos) - 1)
}

// validID tells whether the bytes are an id as NewID mints them.
func validID(id []byte) bool {
	if len(id) != idLen || id[0] != call.Call && id[0] != call.Shift && id[0] != call.Act || id[1] > '7' {
		return false
	}
	for _, c := range id[1:] {
		if !ulidDigit[c] {
			return false
		}
	}
	return true
}

var ulidDigit = func() (is [256]bool) {
	for _, c := range []byte("0123456789ABCDEFGHJKMNPQRSTVWXYZ") {
		is[c] = true
	}
	return is
}()

// keySum adds up keys in any order: two sets of keys with the same sum and number are the same.
type keySum struct {
	seed   maphash.Seed
	sum, n uint64
}

func newKeySums() (a, b keySum) {
	seed := maphash.MakeSeed()
	return keySum{seed: seed}, keySum{seed: seed}
}

func (s *keySum) add(key []byte) {
	s.sum += maphash.Bytes(s.seed, key)
	s.n++
}
