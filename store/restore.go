package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
)

// Errors of Restore.
var (
	// ErrOlder: the backup is older than what is there: records would be lost.
	ErrOlder = errors.New("the backup is older than what is there")
	// ErrOther: the backup and what is there have gone different ways.
	ErrOther = errors.New("the backup is of another history")
	// ErrIncomparable: what is there is of a newer version of the program, and may have what the backup has not.
	ErrIncomparable = errors.New("what is there cannot be compared with the backup")
	// ErrUnverified: the backup does not verify.
	ErrUnverified = errors.New("the backup does not verify")
)

// Restored is what a restore did.
type Restored struct {
	Report Report       // of the backup
	Lost   uint64       // records of the file that was there which the backup has not
	Aside  string       // where that file is now; "" if there was none
	Undone []call.Acted // of those records: who was erased or held, or released from a hold, and is not any more
	Damage error        // why that file could not be compared with the backup; nil if it could, or there was none
}

// Restore puts a verified backup in the place of dir's file, which is kept beside it under the name of the time now. It refuses
// while a process has the store open (ErrHeld), a backup that does not verify (ErrUnverified, ErrDamaged) and, unless forced,
// one that lacks what is there (ErrOlder, ErrOther) or cannot be compared with it (ErrIncomparable). A file that is damaged keeps nothing from being restored. The act
// ActRestored stands in the restored ledger. After a crash one of the two files has the store's name; where links cannot be
// made it may be neither, and is to be run again.
func Restore(ctx context.Context, dir, file string, force bool, by call.TakerID) (done Restored, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("restore %s: %w", file, err)
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return done, err
	}
	var old *Store
	place := filepath.Join(dir, File)
	_, err = os.Stat(place)
	fresh := errors.Is(err, os.ErrNotExist)
	// The lock of what is there keeps a gateway from starting meanwhile; where nothing is, an empty file is made for it.
	switch old, err = Open(dir, Options{}); {
	case err == nil:
		defer func() {
			if fresh && err != nil {
				err = errors.Join(err, os.Remove(place))
			}
			err = errors.Join(err, old.Close())
		}()
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrNewer) && force:
		done.Damage = err
	case errors.Is(err, ErrNewer):
		return done, fmt.Errorf("%w: %w", ErrIncomparable, err)
	default:
		return done, err
	}
	tmp := filepath.Join(dir, File+".restore"+workSuffix)
	if err := errors.Join(os.RemoveAll(tmp), os.Mkdir(tmp, 0o700)); err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := copyFile(ctx, file, filepath.Join(tmp, File)); err != nil {
		return done, err
	}
	if err := done.prepare(ctx, old, tmp, filepath.Base(file), force, by); err != nil {
		return done, err
	}
	return done, done.swap(dir, tmp, fresh)
}

// prepare verifies the copy of the backup, holds it against what is there and says in its ledger that it was restored.
func (done *Restored) prepare(ctx context.Context, old *Store, tmp, name string, force bool, by call.TakerID) (err error) {
	s, err := Open(tmp, Options{aside: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if done.Report, err = s.Verify(ctx); err != nil {
		return err
	}
	if !done.Report.OK() {
		return fmt.Errorf("%w: %s", ErrUnverified, done.Report.Bad[0])
	}
	detail := fmt.Sprintf("%s; %d records", name, done.Report.Records)
	if old != nil {
		done.Lost, err = missing(old, s)
		if known := errors.Is(err, ErrOlder) || errors.Is(err, ErrOther); err != nil && (!known || !force) {
			return err
		}
		if err := done.undone(ctx, old); err != nil {
			return err
		}
		detail += fmt.Sprintf("; %d that were there are not in it", done.Lost)
	}
	now := time.Now()
	return s.waitOp(&op{weight: 1}, func(t *txn) (records []call.Record, refused, err error) {
		return t.act(call.NewID(call.Act, now), now, call.Acted{By: by, What: ActRestored, Detail: detail})
	})
}

// undone looks for what the lost records say of erasures and holds.
func (done *Restored) undone(ctx context.Context, old *Store) error {
	size, err := old.Size()
	if err != nil {
		return err
	}
	for p, err := range old.Scan(ctx, size-min(size, done.Lost)) {
		if err != nil {
			return err
		}
		if p.Of.Kind() != call.Act || len(p.Body) == 0 {
			continue
		}
		r, err := call.ParseRecord(p.Body)
		if err != nil {
			return err
		}
		switch r.Act.What {
		case audit.ActErased, ActHeld, ActReleased:
			done.Undone = append(done.Undone, *r.Act)
		}
	}
	return nil
}

// missing tells how many records the old store has and the backup has not. The error wraps ErrOlder where the backup is an
// earlier state of the same store, ErrOther where it is of another one.
func missing(old, backup *Store) (lost uint64, err error) {
	was, err := old.state()
	if err != nil {
		return 0, err
	}
	is, err := backup.state()
	if err != nil {
		return 0, err
	}
	common := min(was.size, is.size)
	lost = was.size - common
	a, err := was.root(common)
	if err != nil {
		return lost, err
	}
	b, err := is.root(common)
	switch {
	case err != nil:
		return lost, err
	case a != b:
		return was.size, fmt.Errorf("%w: of the %d records that both have, not all are the same", ErrOther, common)
	case lost > 0:
		return lost, fmt.Errorf("%w: %d records are missing in it, of %d", ErrOlder, lost, was.size)
	case is.commits < was.commits:
		return 0, fmt.Errorf("%w: it has all records, but not the latest of the calls that have not ended", ErrOlder)
	}
	return 0, nil
}

// state says how far a store's history has come.
type state struct {
	s             *Store
	size, commits uint64
}

func (s *Store) state() (state, error) {
	st := state{s: s}
	err := s.view(func(t *txn) error {
		st.size, st.commits = t.count(metaSize), t.count(metaCommits)
		return nil
	})
	return st, err
}

// root is the tree's, of the first n records.
func (st state) root(n uint64) (root tlog.Hash, err error) {
	err = st.s.view(func(t *txn) (err error) {
		root, err = tlog.TreeHash(int64(n), tlog.HashReaderFunc(t.readHashes))
		return err
	})
	return root, err
}

// swap puts the prepared file in the place of the old one, which gets the name of the time now unless it is fresh.
func (done *Restored) swap(dir, tmp string, fresh bool) error {
	place := filepath.Join(dir, File)
	if !fresh {
		aside := place + "." + time.Now().Format("20060102T150405")
		for n, name := 2, aside; ; n++ {
			if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
				break
			}
			aside = fmt.Sprintf("%s-%d", name, n)
		}
		if err := os.Link(place, aside); err != nil { // a disk without links
			if err := os.Rename(place, aside); err != nil {
				return err
			}
		}
		done.Aside = aside
	}
	return errors.Join(os.Rename(filepath.Join(tmp, File), place), syncDir(dir))
}

// copyFile copies a file and syncs the copy.
func copyFile(ctx context.Context, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, contextReader{ctx, in})
	return errors.Join(err, out.Sync(), out.Close())
}
