package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

const (
	batchMax   = 1000                   // events in one transaction
	restFrom   = 4                      // events in a commit, from which on it is followed by a rest
	restEach   = 300 * time.Microsecond // for each of them
	restMax    = 8 * time.Millisecond
	alarmAfter = 200 * time.Millisecond // a commit that takes longer raises the alarm
	pauseFirst = 20 * time.Millisecond  // before the second attempt; doubled each time
	pauseMax   = time.Second
	giveUp     = 2 * time.Second // after Close

	diskEvery = 5 * time.Second
	diskMin   = 200 << 20 // bytes
)

// op is one thing to store. apply writes it into a transaction: refused is the op's own fault, and it has then written
// nothing; err is the store's fault, and the whole transaction is tried again.
type op struct {
	weight int
	apply  func(*txn) (refused, err error)
	done   func(error) // may be nil

	// Set by the transaction that applied it.
	refused error
	records []call.Record
}

func (o *op) finish(err error) {
	if o.done != nil {
		o.done(err)
	}
}

// post queues the op; never blocks. Once the store is closed the op's done is called at once, from here.
func (s *Store) post(o *op) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.queued = append(s.queued, o)
	}
	s.mu.Unlock()
	if closed {
		o.finish(ErrClosed)
		return
	}
	s.signal()
}

// wait posts the op and waits until it is durable or refused.
func (s *Store) wait(o *op) error {
	done := make(chan error, 1)
	o.done = func(err error) { done <- err }
	s.post(o)
	return <-done
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take removes what is queued.
func (s *Store) take() (ops []*op, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ops, s.queued = s.queued, nil
	return ops, s.closed
}

// run is the committer's goroutine: it alone writes to the file.
func (s *Store) run() {
	defer close(s.stopped)
	for {
		ops, closed := s.take()
		for len(ops) > 0 {
			batch := ops[:batchLen(ops)]
			ops = ops[len(batch):]
			s.checkDisk(time.Now())
			if err := s.commit(batch); err != nil {
				s.abandon(append(slices.Clip(batch), ops...), err)
				return
			}
			s.settle(batch)
			if len(ops) == 0 {
				s.rest(batch)
			}
		}
		if closed {
			s.closeErr = s.closeFile()
			return
		}
		<-s.wake
	}
}

// rest lets events come together for the next commit, for a commit costs more than what is in it. It is as long as the last
// one was large, up to restMax at 3,300 events a second. After few events there is none: nobody else is coming, and a timer
// is late by a millisecond.
func (s *Store) rest(last []*op) {
	n := weight(last)
	if n < restFrom {
		return
	}
	t := time.NewTimer(min(restMax, time.Duration(n)*restEach))
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.closing:
	}
}

func weight(ops []*op) (n int) {
	for _, o := range ops {
		n += o.weight
	}
	return n
}

// batchLen is how many of the ops go into one transaction: one at least.
func batchLen(ops []*op) int {
	weight := 0
	for i, o := range ops {
		if weight += o.weight; weight > batchMax && i > 0 {
			return i
		}
	}
	return len(ops)
}

// settle tells those who wait, in order. The batch is durable.
func (s *Store) settle(batch []*op) {
	for _, o := range batch {
		if o.refused != nil {
			s.o.Log.Error("store: refused", zap.Error(o.refused))
		}
		for _, r := range o.records {
			s.o.Sealed(r)
		}
		o.finish(o.refused)
	}
}

// abandon ends the committer with ops that could not be stored. A write that hangs still has the file: it stays open.
func (s *Store) abandon(ops []*op, cause error) {
	late, _ := s.take() // closed: nothing comes after these
	ops = append(ops, late...)
	n := weight(ops)
	err := fmt.Errorf("%w: %d entries could not be stored: %w", ErrClosed, n, cause)
	for _, o := range ops {
		o.finish(err)
	}
	s.closeErr = fmt.Errorf("close store: %d entries could not be stored: %w", n, cause)
	if !errors.Is(cause, errHangs) {
		s.closeErr = errors.Join(s.closeErr, s.closeFile())
	}
}

func (s *Store) closeFile() error {
	if err := errors.Join(removeHolder(s.dir), s.db.Close()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// errHangs: a commit had not returned when Close gave up.
var errHangs = errors.New("the disk does not answer")

// write applies the batch in one transaction. A panic in it is an error: a damaged page must not end the calls.
//
// A commit may be reported as failed and yet be made: its last sync fails, what it wrote is there. mark is the number of
// the batch's commit, 0 at the first attempt: if it is in the file, the batch is, and is only synced again.
func (s *Store) write(batch []*op, mark *uint64) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return s.o.update(s.db, func(tx *bolt.Tx) error {
		t, err := newTxn(tx)
		if err != nil {
			return err
		}
		last := t.count(metaCommits)
		made := *mark != 0 && *mark == last
		if !made {
			*mark = last + 1
		}
		if err := t.setCount(metaCommits, *mark); err != nil || made {
			return err
		}
		for _, o := range batch {
			if o.refused, err = o.apply(t); err != nil {
				return err
			}
		}
		return nil
	})
}

// commit stores the batch, however often it takes. It raises the alarm once that has taken 200 ms and clears it when
// the batch is durable. It fails only when Close gives up.
func (s *Store) commit(batch []*op) error {
	w := watch{s: s, since: time.Now(), late: time.NewTimer(alarmAfter), closing: s.closing}
	defer w.stop()
	mark := uint64(0)
	for pause := pauseFirst; ; pause = min(2*pause, pauseMax) {
		res := make(chan error, 1)
		go func() { res <- s.write(batch, &mark) }()
		err, ok := await(&w, res)
		if !ok {
			return errHangs
		}
		if err == nil {
			w.clear()
			return nil
		}
		w.failed(err)
		next := time.NewTimer(pause)
		_, ok = await(&w, next.C)
		next.Stop()
		if !ok {
			return err
		}
	}
}

// watch is the committer's patience with one batch.
type watch struct {
	s       *Store
	since   time.Time
	late    *time.Timer
	closing <-chan struct{}
	over    *time.Timer // set once closing; its end is the end of patience
	err     error       // of the last attempt
	raised  string      // the alarm's text; "" while there is none
}

// await waits for c; ok is false once Close gives up.
func await[T any](w *watch, c <-chan T) (v T, ok bool) {
	for {
		var over <-chan time.Time
		if w.over != nil {
			over = w.over.C
		}
		select {
		case v = <-c:
			return v, true
		case <-w.late.C:
			w.raise()
		case <-w.closing:
			w.closing, w.over = nil, time.NewTimer(giveUp)
		case <-over:
			return v, false
		}
	}
}

func (w *watch) failed(err error) {
	first := w.err == nil
	w.err = err
	if first {
		w.s.o.Log.Error("store: commit failed, retrying", zap.Error(err))
	}
	if w.raised != "" {
		w.raise()
	}
}

func (w *watch) raise() {
	what := "the disk is slow"
	if w.err != nil {
		what = w.err.Error()
	}
	text := fmt.Sprintf("records cannot be written to %s: %s. Calls go on; what happens to them is kept in memory only "+
		"and is lost if the gateway stops. Free space or repair the disk; writing is retried by itself", w.s.dir, what)
	if text == w.raised {
		return
	}
	w.raised = text
	w.s.o.Alarm("store", w.since, text)
}

func (w *watch) stop() {
	w.late.Stop()
	if w.over != nil {
		w.over.Stop()
	}
}

func (w *watch) clear() {
	if w.raised != "" {
		w.s.o.Alarm("store", time.Time{}, "records are written again")
	}
}

// checkDisk raises or clears the alarm about free space, at most every few seconds.
func (s *Store) checkDisk(now time.Time) {
	if now.Sub(s.diskChecked) < diskEvery {
		return
	}
	s.diskChecked = now
	free, err := s.o.free(s.dir)
	if err != nil {
		s.o.Log.Warn("store: free space is unknown", zap.Error(err))
		return
	}
	switch low := free < diskMin; {
	case low && s.diskLow.IsZero():
		s.diskLow = now
		s.o.Alarm("disk", now, fmt.Sprintf("%d MB are free on the disk of %s. At 0 no record can be written: "+
			"they stay in memory and are lost if the gateway stops. Free space there", free>>20, s.dir))
	case !low && !s.diskLow.IsZero():
		s.diskLow = time.Time{}
		s.o.Alarm("disk", time.Time{}, fmt.Sprintf("%d MB are free again on the disk of %s", free>>20, s.dir))
	}
}
