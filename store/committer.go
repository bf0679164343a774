package store

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

const (
	batchMax   = 1000                   // events in one transaction
	restAbove  = 2000                   // events a second, above which commits are followed by a rest
	restBurst  = 100                    // events above that, before the first rest
	restEach   = 100 * time.Microsecond // for each event more
	restMax    = 8 * time.Millisecond
	restFull   = 128                    // events that end a rest, or as many as the last commit had if those were more
	alarmAfter = 200 * time.Millisecond // a commit that takes longer raises the alarm
	pauseFirst = 20 * time.Millisecond  // before the second attempt; doubled each time
	pauseMax   = time.Second
	giveUp     = 2 * time.Second // after Close
)

// op is one thing to store. apply writes it into a transaction: refused is the op's own fault, and it has then written
// nothing; err is the store's fault, and the whole transaction is tried again.
type op struct {
	weight int
	over   string // what it stores the latest of, a leg: another op of its transaction with the same makes it needless; "" else
	apply  func(*txn) (refused, err error)
	done   func(error) // may be nil

	// alone, where it is set, is all there is: the committer runs it between two transactions.
	alone func() error

	// Set by the transaction that applied it.
	refused error
	records []call.Record
	after   func() // runs before done once it is durable; may be nil
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
	full := false
	if !closed {
		s.queued = append(s.queued, o)
		s.weight += o.weight
		if full = s.enough > 0 && s.weight >= s.enough; full {
			s.enough = 0
		}
	}
	s.mu.Unlock()
	if closed {
		o.finish(ErrClosed)
		return
	}
	s.signal()
	if full {
		select {
		case s.full <- struct{}{}:
		default:
		}
	}
}

// wait posts the op and waits until it is durable or refused.
func (s *Store) wait(o *op) error {
	done := make(chan error, 1)
	o.done = func(err error) { done <- err }
	s.post(o)
	return <-done
}

// waitOp posts the op with what it does and waits until it is durable or refused.
func (s *Store) waitOp(o *op, apply func(*txn) (records []call.Record, refused, err error)) error {
	o.apply = func(t *txn) (refused, err error) {
		o.records, refused, err = apply(t)
		return refused, err
	}
	return s.wait(o)
}

// waiting is how many entries are queued.
func (s *Store) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.weight
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
	ops, s.queued, s.weight = s.queued, nil, 0
	return ops, s.closed
}

// run is the committer's goroutine: it alone writes to the file.
func (s *Store) run() {
	defer close(s.stopped)
	for {
		ops, closed := s.take()
		for len(ops) > 0 {
			s.busy.Store(true)
			batch := ops[:batchLen(ops)]
			ops = ops[len(batch):]
			if alone := batch[0].alone; alone != nil {
				batch[0].finish(alone())
				continue
			}
			s.disk.check(s, time.Now())
			if err := s.commit(batch); err != nil {
				s.abandon(append(slices.Clip(batch), ops...), err)
				return
			}
			s.settle(batch)
			n := weight(batch)
			if pause := s.pace.after(n, time.Now()); len(ops) == 0 {
				s.rest(pause, n)
			}
		}
		s.busy.Store(false)
		if closed {
			s.closeErr = s.closeFile()
			return
		}
		<-s.wake
	}
}

// pace tells how long events may come together for the next commit, for a commit costs more than what is in it. Up to
// restAbove events a second there is no rest: somebody waits for each commit, a call taker to be rung. What comes above is
// counted up to where the rest is restMax, so that a burst is over soon.
type pace struct {
	above float64 // events above restAbove a second, not yet made up for
	last  time.Time
}

// after takes note of a commit of n events that has ended now.
func (p *pace) after(n int, now time.Time) (rest time.Duration) {
	const most = restBurst + float64(restMax/restEach)
	p.above = min(most, max(0, p.above-restAbove*now.Sub(p.last).Seconds())+float64(n))
	p.last = now
	return time.Duration(max(0, p.above-restBurst) * float64(restEach))
}

// rest waits, but not while the store closes, and no longer than until as many events have come as the last commit had,
// where those were many: writers that all wait for their turn lose no time.
func (s *Store) rest(d time.Duration, last int) {
	if d < time.Millisecond || !s.fewerThan(max(last, restFull)) { // a timer is late by as much
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.full:
	case <-s.closing:
	}
}

// fewerThan tells that fewer entries are queued; full is then signaled when as many are.
func (s *Store) fewerThan(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.full: // of an earlier rest
	default:
	}
	if s.weight >= n {
		s.enough = 0
		return false
	}
	s.enough = n
	return true
}

func weight(ops []*op) (n int) {
	for _, o := range ops {
		n += o.weight
	}
	return n
}

// batchLen is how many of the ops go into one transaction: one at least, and an op that runs alone does.
func batchLen(ops []*op) int {
	weight := 0
	for i, o := range ops {
		if o.alone != nil {
			return max(1, i)
		}
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
		if o.after != nil && o.refused == nil {
			o.after()
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
	if err := errors.Join(removeHolder(s.dir), s.db.Load().Close()); err != nil {
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
	defer faultsPanic()()
	touched := s.touched.begin()
	defer s.touched.merge(touched) // also where it failed: it may have been made all the same
	return s.o.update(s.db.Load(), func(tx *bolt.Tx) error {
		t, err := newTxn(tx)
		if err != nil {
			return err
		}
		t.touched = touched
		last := t.count(metaCommits)
		made := *mark != 0 && *mark == last
		if !made {
			*mark = last + 1
		}
		if err := t.setCount(metaCommits, *mark); err != nil || made {
			return err
		}
		latest := map[string]*op{}
		for _, o := range batch {
			if o.over != "" {
				latest[o.over] = o
			}
		}
		for _, o := range batch {
			if o.over != "" && latest[o.over] != o {
				continue // nobody can see the file in between
			}
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
	w := watch{s: s, waiting: weight(batch), since: time.Now(), late: time.NewTimer(alarmAfter), closing: s.closing}
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
		if errors.Is(err, syscall.ENOSPC) {
			s.disk.giveUp(s)
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
	waiting int // entries of the batch
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
		"and is lost if the gateway stops: %d entries since %s. Free space or repair the disk; writing is retried by itself",
		w.s.dir, what, w.waiting+w.s.waiting(), w.since.Format("2006-01-02 15:04:05"))
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
