package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ErrBusy: a compaction or a backup is under way.
var ErrBusy = errors.New("a compaction or a backup is under way")

// ErrNoRoom: the disk has no room for a copy of the file, or records needed it.
var ErrNoRoom = errors.New("the disk is too full for a copy of the database")

const (
	copyRows  = 8192     // one read transaction copies at most so many rows
	copyBytes = 4 << 20  // or bytes
	copySync  = 16 << 20 // bytes after which what was written is synced: the last sync, in the pause, finds little
	copySpare = 16 << 20 // bytes that a copy leaves free
	copyFill  = 0.9      // of a page
	fewKeys   = 256      // changed keys that the pause may be left with
	maxRounds = 8        // of catching up before it
)

// copying makes a copy of the store's buckets in a new file, in short read transactions, while the committer goes on. What it
// has touched meanwhile is copied again, round after round; the last round is made between two transactions, so that the
// copy is the store as of one commit. Nothing that was erased, and no page that is free, gets into it.
type copying struct {
	s        *Store
	to       *bolt.DB
	unsynced int
}

// copyTo makes the copy under a name that ends with workSuffix and hands it, synced and still open, to finish, which the
// committer runs between two transactions; pause is how long that took. The file is closed and removed unless finish kept it.
func (s *Store) copyTo(ctx context.Context, file string, finish func(to *bolt.DB) (kept bool, err error), pause *time.Duration) (err error) {
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	o := boltOptions()
	o.NoSync = true
	to, err := bolt.Open(file, 0o600, o)
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			err = errors.Join(err, to.Close(), os.Remove(file))
		}
	}()
	c := &copying{s: s, to: to}
	// Noting begins between two transactions: none is under way whose keys are not noted.
	if err := s.between(ctx, func() error { s.touched.start(); return nil }); err != nil {
		return err
	}
	defer s.touched.stop()
	if err := c.all(ctx); err != nil {
		return err
	}
	for range maxRounds {
		keys := s.touched.take()
		if err := errors.Join(context.Cause(ctx), c.again(keys), c.sync()); err != nil {
			return err
		}
		if keys.len() <= fewKeys {
			break
		}
	}
	return s.between(ctx, func() error {
		begin := time.Now()
		defer func() { *pause = time.Since(begin) }()
		err := errors.Join(context.Cause(ctx), c.again(s.touched.take()), c.clean(), to.Sync())
		if err != nil {
			return err
		}
		kept, err = finish(to)
		return err
	})
}

// beginCopy gives a copy its turn; end is to be called once nothing of it is on the disk any more. The context ends when the
// room is needed for records. The error is ErrBusy.
func (s *Store) beginCopy(ctx context.Context) (_ context.Context, end func(), err error) {
	if !s.copying.TryLock() {
		return nil, nil, ErrBusy
	}
	ctx, stop := context.WithCancelCause(ctx)
	set := func(f context.CancelCauseFunc) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stopCopy = f
	}
	set(stop)
	return ctx, func() { set(nil); stop(nil); s.copying.Unlock() }, nil
}

// dropCopy ends a copy that is being made.
func (s *Store) dropCopy() {
	s.mu.Lock()
	stop := s.stopCopy
	s.mu.Unlock()
	if stop != nil {
		stop(ErrNoRoom)
	}
}

// between runs f in the committer, between two transactions, and waits for it, or until the context ends before it begins:
// a committer that cannot commit does not come to it.
func (s *Store) between(ctx context.Context, f func() error) error {
	var taken atomic.Bool
	done := make(chan error, 1)
	s.post(&op{done: func(err error) { done <- err }, alone: func() error {
		if !taken.CompareAndSwap(false, true) {
			return nil
		}
		return f()
	}})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if taken.CompareAndSwap(false, true) {
			return context.Cause(ctx)
		}
		return <-done
	}
}

// all copies every bucket.
func (c *copying) all(ctx context.Context) error {
	for n, name := range bucketNames() {
		if err := c.to.Update(func(tx *bolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists([]byte(name))
			return err
		}); err != nil {
			return err
		}
		var from []byte
		for more := true; more; {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			var rows []row
			err := c.s.view(func(t *txn) error {
				rows, from = t.rows(n, from)
				return nil
			})
			if err := errors.Join(err, c.put(n, rows)); err != nil {
				return err
			}
			more = from != nil
		}
	}
	return c.sync()
}

// row is a key and its value; a value of nil is a key that is not there.
type row struct{ k, v []byte }

// rows copies rows of a bucket, and tells where to go on; nil: there are no more.
func (t *txn) rows(n int, from []byte) (rows []row, next []byte) {
	c := t.bucket(n).Cursor()
	size := 0
	var ahead ahead
	for k, v := c.Seek(from); k != nil; k, v = c.Next() {
		if len(rows) == copyRows || size > copyBytes {
			return rows, bytes.Clone(k)
		}
		ahead.at(v)
		// A value may be empty and is there; bytes.Clone would keep nil.
		rows = append(rows, row{bytes.Clone(k), append([]byte{}, v...)})
		size += len(k) + len(v)
	}
	return rows, nil
}

// bucket is the n-th of bucketNames.
func (t *txn) bucket(n int) bucket {
	return [...]bucket{t.live, t.leg, t.rec, t.id, t.idx, t.tree, t.todo, t.taker, t.check, t.hold, t.meta}[n]
}

// put writes rows of a bucket into the copy.
func (c *copying) put(n int, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	err := c.to.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucketNames()[n]))
		b.FillPercent = copyFill
		for _, r := range rows {
			c.unsynced += len(r.k) + len(r.v)
			if r.v == nil {
				if err := b.Delete(r.k); err != nil {
					return err
				}
			} else if err := b.Put(r.k, r.v); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && c.unsynced > copySync {
		err = c.sync()
	}
	return err
}

func (c *copying) sync() error {
	c.unsynced = 0
	return c.to.Sync()
}

// again copies keys as they are now.
func (c *copying) again(keys *keySet) error {
	for n := range bucketNames() {
		sorted := make([]string, 0, len(keys.keys[n]))
		for k := range keys.keys[n] {
			sorted = append(sorted, k)
		}
		slices.Sort(sorted)
		for some := range slices.Chunk(sorted, copyRows/8) {
			rows := make([]row, len(some))
			err := c.s.view(func(t *txn) error {
				for i, k := range some {
					rows[i] = row{k: []byte(k)}
					if v := t.bucket(n).Get([]byte(k)); v != nil {
						rows[i].v = append([]byte{}, v...)
					}
				}
				return nil
			})
			if err := errors.Join(err, c.put(n, rows)); err != nil {
				return err
			}
		}
	}
	return nil
}

// clean notes in the copy that no erased bytes are in it.
func (c *copying) clean() error {
	return c.to.Update(func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Delete([]byte(metaErased))
	})
}

// room refuses to begin a copy for which the disk has no room.
func (s *Store) room() error {
	var need uint64
	err := s.view(func(t *txn) error {
		tx := t.meta.Tx()
		need = uint64(tx.Size())
		st := tx.DB().Stats()
		if unused := uint64((st.FreePageN + st.PendingPageN) * tx.DB().Info().PageSize); unused < need {
			need -= unused
		}
		return nil
	})
	if err != nil {
		return err
	}
	need += copySpare
	free, err := s.o.free(s.dir)
	if err == nil && free < need {
		return fmt.Errorf("%w: %d MB are free on the disk of %s, the copy needs %d MB", ErrNoRoom, free>>20, s.dir, need>>20+1)
	}
	return err
}
