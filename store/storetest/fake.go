package storetest

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
)

// Fake is a store in memory that passes the suite: for tests that need one and no disk's time. What it was told is a log in a
// file, replayed at the next start. It can be made to fail before and after it has persisted something.
type Fake struct {
	// FailBefore and FailAfter are how many of the next attempts to persist fail: before anything is in the file, and after
	// all is. They are tried again at once.
	FailBefore, FailAfter atomic.Int32

	mu     sync.Mutex // guards all of it
	queue  []func()
	closed bool
	state  fakeState
	file   *os.File

	wake    chan struct{}
	stopped chan struct{}
}

// fakeState is what a log means.
type fakeState struct {
	live    map[call.ID][][]byte // lines
	legs    map[call.ID]map[call.Leg][]byte
	pieces  []call.Sealed
	of      map[call.ID][]int // in pieces
	arrived uint64
	ended   uint64
}

// fakeLine is one line of the log.
type fakeLine struct {
	Lines  []string `json:"lines,omitempty"`
	Of     call.ID  `json:"of,omitempty"`
	Leg    call.Leg `json:"leg,omitempty"`
	Dialog []byte   `json:"dialog,omitempty"`
}

var _ Store = (*Fake)(nil)

// OpenFake opens the fake in dir.
func OpenFake(dir string) (*Fake, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "fake.jsonl"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	f := &Fake{
		file: file, wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		state: fakeState{
			live: map[call.ID][][]byte{}, legs: map[call.ID]map[call.Leg][]byte{}, of: map[call.ID][]int{},
		},
	}
	r := bufio.NewReader(file)
	for {
		b, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // a last line without its end was not acknowledged
			break
		}
		var l fakeLine
		if err == nil {
			err = json.Unmarshal(b, &l)
		}
		if err == nil {
			err = f.state.replay(l)
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	go f.run()
	return f, nil
}

func (s *fakeState) replay(l fakeLine) error {
	if l.Of != "" {
		s.keep(l.Of, l.Leg, l.Dialog)
		return nil
	}
	var es []call.Entry
	for _, text := range l.Lines {
		e, err := call.ParseEntry([]byte(text))
		if err != nil {
			return err
		}
		es = append(es, e)
	}
	_, commit, err := s.plan(es)
	if err == nil {
		commit()
	}
	return err
}

func (f *Fake) run() {
	defer close(f.stopped)
	for {
		f.mu.Lock()
		queue, closed := f.queue, f.closed
		f.queue = nil
		f.mu.Unlock()
		for _, do := range queue {
			do()
		}
		if len(queue) == 0 && closed {
			return
		}
		if len(queue) == 0 {
			<-f.wake
		}
	}
}

// post queues what changes the state; refused is called where the fake is closed.
func (f *Fake) post(do, refused func()) {
	f.mu.Lock()
	closed := f.closed
	if !closed {
		f.queue = append(f.queue, do)
	}
	f.mu.Unlock()
	if closed {
		refused()
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Append is Store's.
func (f *Fake) Append(es []call.Entry, done func(error)) {
	es = slices.Clone(es)
	finish := func(err error) {
		if done != nil {
			done(err)
		}
	}
	f.post(func() {
		f.mu.Lock()
		lines, commit, err := f.state.plan(es)
		if err == nil && len(lines) > 0 {
			f.persist(fakeLine{Lines: lines})
		}
		if err == nil {
			commit()
		}
		f.mu.Unlock()
		finish(err)
	}, func() { finish(store.ErrClosed) })
}

// Keep is Store's.
func (f *Fake) Keep(id call.ID, l call.Leg, dialog []byte, done func(error)) {
	finish := func(err error) {
		if done != nil {
			done(err)
		}
	}
	if p, err := call.ParseID(string(id)); err != nil || p != id {
		f.post(func() { finish(fmt.Errorf("%w: %s", store.ErrInvalid, id)) }, func() { finish(store.ErrClosed) })
		return
	}
	f.post(func() {
		f.mu.Lock()
		f.persist(fakeLine{Of: id, Leg: l, Dialog: dialog})
		f.state.keep(id, l, dialog)
		f.mu.Unlock()
		finish(nil)
	}, func() { finish(store.ErrClosed) })
}

// persist writes a line, however often it takes. What failed after it was written is not written again.
func (f *Fake) persist(l fakeLine) {
	b, err := json.Marshal(l)
	if err != nil {
		panic(err)
	}
	for written := false; ; {
		if f.FailBefore.Add(-1) >= 0 {
			continue
		}
		if !written {
			if _, err := f.file.Write(append(b, '\n')); err != nil {
				panic(err)
			}
			written = true
		}
		if f.FailAfter.Add(-1) < 0 {
			return
		}
	}
}

func (s *fakeState) keep(id call.ID, l call.Leg, dialog []byte) {
	if dialog == nil {
		delete(s.legs[id], l)
		return
	}
	if s.legs[id] == nil {
		s.legs[id] = map[call.Leg][]byte{}
	}
	s.legs[id][l] = dialog
}

// fakeSubject is a subject with what an Append adds to it.
type fakeSubject struct {
	lines  [][]byte // all
	cut    int      // lines[:cut] are in pieces
	sealed bool
	fresh  []int // where a piece ends, for each that is to be sealed
	was    int   // lines before
}

func (s *fakeState) subject(id call.ID) *fakeSubject {
	sub := &fakeSubject{lines: slices.Clone(s.live[id]), sealed: len(s.of[id]) > 0}
	for _, i := range s.of[id] {
		_, rest, _ := bytes.Cut(s.pieces[i].Body, []byte("\n"))
		sub.lines = append(sub.lines, slices.Collect(bytes.Lines(rest))...)
	}
	if sub.was = len(sub.lines); sub.sealed {
		sub.cut = sub.was
	}
	return sub
}

// plan looks whether all entries fit, numbers them, and gives their lines and what makes them part of the state.
func (s *fakeState) plan(es []call.Entry) (lines []string, commit func(), err error) {
	subjects := map[call.ID]*fakeSubject{}
	var order []call.ID
	for _, e := range es {
		if p, err := call.ParseID(string(e.Of)); err != nil || p != e.Of {
			return nil, nil, store.ErrInvalid
		}
		sub := subjects[e.Of]
		if sub == nil {
			sub = s.subject(e.Of)
			subjects[e.Of], order = sub, append(order, e.Of)
		}
		line, err := sub.add(e)
		if err != nil {
			return nil, nil, fmt.Errorf("append: %w", err)
		}
		lines = append(lines, string(line))
	}
	return lines, func() {
		for _, id := range order {
			s.write(id, subjects[id])
		}
	}, nil
}

func (f *fakeSubject) add(e call.Entry) (line []byte, err error) {
	next := uint32(len(f.lines)) + 1
	_, ended := e.Event.(call.Ended)
	switch {
	case next == 1 && !fakeBegins(e):
		return nil, store.ErrUnknown
	case e.N == 0:
		e.N = next
	}
	if line, err = call.AppendEntry(nil, e); err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	switch {
	case e.N < next && bytes.Equal(f.lines[e.N-1], line):
		return line, nil
	case e.N != next, ended && f.sealed && fakeSeals(e):
		return nil, store.ErrOrder
	}
	f.lines = append(f.lines, line)
	if fakeSeals(e) && !f.sealed {
		f.sealed, f.fresh = true, append(f.fresh, len(f.lines))
	}
	return line, nil
}

func fakeBegins(e call.Entry) bool {
	_, arrived := e.Event.(call.Arrived)
	_, shift := e.Event.(call.TakerChanged)
	_, act := e.Event.(call.Acted)
	kind := e.Of.Kind()
	return e.N <= 1 && (arrived && kind == call.Call || shift && kind == call.Shift || act && kind == call.Act)
}

func fakeSeals(e call.Entry) bool {
	_, ended := e.Event.(call.Ended)
	shift, isShift := e.Event.(call.TakerChanged)
	_, act := e.Event.(call.Acted)
	kind := e.Of.Kind()
	return ended && kind == call.Call || isShift && shift.State == call.Off && kind == call.Shift || act && kind == call.Act
}

// write makes what was added part of the state.
func (s *fakeState) write(id call.ID, sub *fakeSubject) {
	if sub.was == 0 && len(sub.lines) > 0 && id.Kind() == call.Call {
		s.arrived++
	}
	if !sub.sealed {
		s.live[id] = sub.lines
		return
	}
	if sub.cut == 0 && id.Kind() == call.Call {
		s.ended++
	}
	ends := sub.fresh
	if last := len(sub.lines); last > sub.cut && (len(ends) == 0 || ends[len(ends)-1] < last) {
		ends = append(ends, last)
	}
	for _, end := range ends {
		body, err := call.AppendRecord(nil, foldAll(sub.lines[:end]))
		if err != nil {
			panic(err)
		}
		p := call.Sealed{Seq: uint64(len(s.pieces)), Of: id, Body: slices.Concat(append([][]byte{body}, sub.lines[sub.cut:end]...)...)}
		p.Nonce = sha256.Sum256(fmt.Append(nil, p.Seq))
		p.Leaf = call.LeafHash(p.Nonce, p.Body)
		s.of[id] = append(s.of[id], len(s.pieces))
		s.pieces, sub.cut = append(s.pieces, p), end
	}
	delete(s.live, id)
	if sub.was == 0 || len(sub.fresh) > 0 {
		delete(s.legs, id)
	}
}

func foldAll(lines [][]byte) call.Record {
	var es []call.Entry
	for _, l := range lines {
		e, err := call.ParseEntry(l)
		if err != nil {
			panic(err)
		}
		es = append(es, e)
	}
	return call.Fold(slices.Values(es))
}

// Close is Store's.
func (f *Fake) Close() error {
	f.mu.Lock()
	was := f.closed
	f.closed = true
	f.mu.Unlock()
	if was {
		return nil
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
	<-f.stopped
	return f.file.Close()
}
