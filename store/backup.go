package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
)

// The acts of backups.
const (
	ActBackedUp     = "backed-up"
	ActBackupFailed = "backup-failed" // the backup of that name, of which the ledger says before that it was made
	ActRestored     = "restored"
)

// Backup writes the store as of one commit to w: one file, in which nothing is that was erased. Reading and writing go on
// meanwhile; it needs room for a copy beside the file. The act ActBackedUp with the name stands in the ledger, and in the
// backup, before the first byte is written; where it then fails, ActBackupFailed follows. The error wraps ErrBusy where another copy
// is being made, ErrNoRoom where the disk is too full.
func (s *Store) Backup(ctx context.Context, w io.Writer, by call.TakerID, name string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("backup: %w", err)
		}
	}()
	ctx, end, err := s.beginCopy(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := s.room(); err != nil {
		return err
	}
	said := func(what string, done func(error)) {
		now := time.Now()
		s.Append([]call.Entry{{
			Of: call.NewID(call.Act, now), N: 1, At: now, Event: call.Acted{By: by, What: what, Detail: name},
		}}, done)
	}
	durable := make(chan error, 1)
	said(ActBackedUp, func(err error) { durable <- err })
	if err := <-durable; err != nil {
		return err
	}
	if err := s.copyOut(ctx, w); err != nil {
		said(ActBackupFailed, nil) // it may take until the disk has room
		return err
	}
	return nil
}

// copyOut writes the copy of a backup.
func (s *Store) copyOut(ctx context.Context, w io.Writer) error {
	part := filepath.Join(s.dir, File+".backup"+workSuffix)
	var pause time.Duration
	err := s.copyTo(ctx, part, func(to *bolt.DB) (bool, error) { return true, to.Close() }, &pause)
	if err != nil {
		return err
	}
	f, err := os.Open(part)
	if err != nil {
		return err
	}
	// From here on a crash leaves nothing.
	if err := os.Remove(part); err != nil {
		return errors.Join(err, f.Close())
	}
	_, err = io.Copy(w, contextReader{ctx, f})
	return errors.Join(err, f.Close())
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// CheckFile verifies a backup where it lies, and writes nothing. The error wraps ErrUnverified, ErrDamaged or ErrNewer.
func CheckFile(ctx context.Context, file string) (r Report, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("check %s: %w", file, err)
		}
	}()
	if err := checkFile(file); err != nil {
		return r, err
	}
	db, err := openReadOnly(file)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s := &Store{o: Options{}.filled()}
	s.db.Store(db)
	switch has, err := s.format(); {
	case err != nil:
		return r, err
	case has != format:
		return r, fmt.Errorf("%w: its format is %d, this program's is %d", ErrUnverified, has, format)
	}
	if r, err = s.Verify(ctx); err == nil && !r.OK() {
		err = fmt.Errorf("%w: %s", ErrUnverified, r.Bad[0])
	}
	return r, err
}

func openReadOnly(file string) (db *bolt.DB, err error) {
	defer trap(&err, func() {})
	o := boltOptions()
	o.ReadOnly = true
	db, err = bolt.Open(file, 0, o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return db, nil
}
