// Package store is what the gateway remembers: one bbolt file that holds the journal of unfinished subjects, the
// dialogs of their legs, the sealed records with their hash tree, and the call takers' accounts.
//
// One goroutine writes. Everything that changes the file goes through one first-in-first-out mailbox, so what was
// handed in first is durable first, and nothing is acknowledged before it is on the disk.
package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

// File is the name of the store's file in its folder.
const File = "siaga112.db"

// format is the version of what the buckets hold. An older file is migrated (migrate.go), a newer one is refused.
const format = 2

// Errors of Open.
var (
	// ErrHeld: another process has the file open. The error's text names it.
	ErrHeld = errors.New("the store is in use")
	// ErrNewer: a newer version of the program wrote the file.
	ErrNewer = errors.New("the store was written by a newer version")
)

// Errors that Append hands to done. Nothing of that Append is stored then.
var (
	// ErrUnknown: the entry's subject does not exist and the entry does not begin one.
	ErrUnknown = errors.New("no such subject in the journal")
	// ErrOrder: the entry does not fit those before it: its number is taken by another entry or leaves a gap, or it ends
	// a call a second time.
	ErrOrder = errors.New("the entry does not fit those before it")
	// ErrInvalid: the entry cannot be stored: its subject is no id, or its event cannot be encoded.
	ErrInvalid = errors.New("not an entry")
	// ErrErased: the entry is of a call that was erased.
	ErrErased = errors.New("it was erased")
)

// ErrClosed: the store is closed, or was closed before this could be stored.
var ErrClosed = errors.New("the store is closed")

// Options are what a store is opened with. All may be left zero.
type Options struct {
	// Alarm hears "store" (commits are late or fail) and "disk" (little free space).
	Alarm call.Alarm
	Log   *zap.Logger
	// Sealed is told the record of every piece after its commit, in order of seq, from the committer's goroutine, before
	// the done of the Append that sealed it. It must not block.
	Sealed func(call.Record)
	// Node names the ledger when the key of its checkpoints is made; it keeps that name. "" is "node".
	Node string
	// Checkpointed is told each signed checkpoint that was made, after its commit, from the committer's goroutine, and
	// the latest by KeepCheckpoints when it starts. It must not block and not change what it gets.
	Checkpointed func(signed []byte)
	// FreeSpace is the number of bytes free on the disk below which the alarm "disk" sounds; 0: 200 MB.
	FreeSpace uint64
	// Reserve is the size in bytes of a file that is given up when the disk is full, so that records can be written for a
	// while longer; 0: none.
	Reserve int64

	update func(*bolt.DB, func(*bolt.Tx) error) error // how a transaction is committed; tests make it fail
	free   func(dir string) (uint64, error)           // bytes free on the disk of dir
	aside  bool                                       // it is no gateway's file: no advice is given about its damage
}

// Store is an open store. All methods may be called from any goroutine.
type Store struct {
	dir    string
	o      Options
	db     atomic.Pointer[bolt.DB] // the committer alone replaces it
	secret [32]byte

	mu     sync.Mutex // guards what follows; held for a few instructions only
	queued []*op
	weight int // entries in queued
	enough int // as many end the committer's rest; 0: it does not rest
	closed bool

	wake    chan struct{} // one signal: queued or closed has changed
	full    chan struct{} // one signal: enough is there
	closing chan struct{} // closed by Close
	stopped chan struct{} // closed by the committer once closeErr is set
	once    sync.Once

	closeErr error

	busy atomic.Bool // the committer has work

	copying  sync.Mutex              // held by TryLock only: one copy of the file at a time
	stopCopy context.CancelCauseFunc // of the copy that is being made; guarded by mu
	touched  changes

	// The committer's own.
	disk disk
	pace pace
}

// Open opens the store in dir, making both if there are none, and starts its committer. The errors wrap ErrHeld or
// ErrNewer where they fit. After a crash the file is as of its last commit; there is nothing to repair.
func Open(dir string, o Options) (*Store, error) {
	o = o.filled()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	file := filepath.Join(dir, File)
	db, err := openFile(dir)
	if err != nil {
		return nil, o.failed(err, file)
	}
	s := &Store{
		dir: dir, o: o,
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.db.Store(db)
	if err := errors.Join(removeParts(dir), s.prepare()); err != nil {
		return nil, errors.Join(o.failed(err, file), db.Close())
	}
	s.disk.keepReserve(s)
	if err := writeHolder(dir, time.Now()); err != nil {
		o.Log.Warn("store: cannot write who holds it", zap.Error(err))
	}
	go s.run()
	return s, nil
}

func (o Options) filled() Options {
	if o.Alarm == nil {
		o.Alarm = func(string, time.Time, string) {}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Sealed == nil {
		o.Sealed = func(call.Record) {}
	}
	if o.Node == "" {
		o.Node = "node"
	}
	if o.Checkpointed == nil {
		o.Checkpointed = func([]byte) {}
	}
	if o.update == nil {
		o.update = (*bolt.DB).Update
	}
	if o.FreeSpace == 0 {
		o.FreeSpace = diskMin
	}
	if o.free == nil {
		o.free = freeSpace
	}
	return o
}

// Close commits what is queued, closes the file and waits for the committer. If commits fail it gives up after two
// seconds: the error says how many entries are lost, and their done gets ErrClosed. A second Close returns the same.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		close(s.closing)
		s.signal()
	})
	<-s.stopped
	return s.closeErr
}

// Secret is 32 random bytes, made with the file and kept in it.
func (s *Store) Secret() [32]byte { return s.secret }

// Beat notes that the gateway lived at now. It returns at once; a crash may lose the last few.
func (s *Store) Beat(now time.Time) {
	b := now.UTC().AppendFormat(nil, time.RFC3339Nano)
	s.post(&op{weight: 1, apply: func(t *txn) (error, error) {
		return nil, t.meta.Put([]byte(metaBeat), b)
	}})
}

// LastBeat is the last Beat that is durable; zero if there is none.
func (s *Store) LastBeat() time.Time {
	var at time.Time
	err := s.view(func(t *txn) error {
		if b := t.meta.Get([]byte(metaBeat)); b != nil {
			return at.UnmarshalText(b)
		}
		return nil
	})
	if err != nil {
		s.o.Log.Error("store: heartbeat", zap.Error(err))
		return time.Time{}
	}
	return at
}

// Ledger counts the calls: all that arrived, those that ended, and those that live. arrived = ended + live holds in
// every state of the file.
func (s *Store) Ledger() (arrived, ended, live uint64, err error) {
	err = s.view(func(t *txn) error {
		arrived, ended, live = t.count(metaArrived), t.count(metaEnded), t.liveCalls()
		return nil
	})
	if err != nil {
		return 0, 0, 0, fmt.Errorf("ledger: %w", err)
	}
	return arrived, ended, live, nil
}

// Size is the number of sealed pieces: the seq of the next one.
func (s *Store) Size() (uint64, error) {
	var n uint64
	err := s.view(func(t *txn) error {
		n = t.count(metaSize)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("size: %w", err)
	}
	return n, nil
}

// view runs f in one short read transaction. What f reads is gone when it returns: it copies. A page that cannot be read is
// an error that wraps ErrDamaged.
func (s *Store) view(f func(t *txn) error) error {
	for {
		db := s.db.Load()
		err := viewOf(db, f)
		switch {
		case !errors.Is(err, berrors.ErrDatabaseNotOpen):
			return err
		case s.db.Load() == db:
			return ErrClosed
		} // else a compaction has put another file in its place
	}
}

func viewOf(db *bolt.DB, f func(t *txn) error) (err error) {
	defer trap(&err, func() {})
	defer faultsPanic()()
	return db.View(func(tx *bolt.Tx) error {
		t, err := newTxn(tx)
		if err != nil {
			return err
		}
		return f(t)
	})
}

// views runs f in one read transaction after the other until it says that it is done. deliver runs between them, with
// no transaction open; it says whether to go on.
func (s *Store) views(ctx context.Context, f func(t *txn) (more bool, err error), deliver func() bool) error {
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.view(func(t *txn) (err error) {
			more, err = f(t)
			return err
		})
		if err != nil {
			return err
		}
		if !deliver() {
			return nil
		}
	}
	return nil
}

// Dir is the folder of the store's file.
func (s *Store) Dir() string { return s.dir }
