package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/storetest"
)

// copyIsThere tells whether a half-made copy lies in the folder.
func copyIsThere(dir string) bool {
	names, err := filepath.Glob(filepath.Join(dir, "*.part"))
	return err != nil || len(names) > 0
}

// On a disk that is full while a copy waits for its turn the copy is given up: records need its room.
func TestCopyGivesUpItsRoom(t *testing.T) {
	for name, do := range map[string]func(s *store.Store) error{
		"compaction": func(s *store.Store) error { _, err := s.Compact(context.Background()); return err },
		"backup":     func(s *store.Store) error { return s.Backup(context.Background(), &bytes.Buffer{}, "", "b") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := storetest.Dir(t)
			s := open(t, dir, store.Options{}.WithUpdate(func(db *bolt.DB, fn func(*bolt.Tx) error) error {
				if copyIsThere(dir) {
					return fmt.Errorf("write: %w", syscall.ENOSPC)
				}
				return db.Update(fn)
			}))
			if err := storetest.Fill(s, 100); err != nil {
				t.Fatal(err)
			}
			// Commits come all the time, so that one is due while the copy is there.
			stopped := make(chan struct{})
			var stop atomic.Bool
			go func() {
				defer close(stopped)
				for i := 0; !stop.Load(); i++ {
					if err := storetest.Append(s, storetest.Abandoned(callID(5000+i), storetest.Start(), "")...); err != nil {
						t.Error(err)
						return
					}
				}
			}()
			var err error
			for range 50 {
				if err = do(s); err != nil {
					break
				}
			}
			stop.Store(true)
			<-stopped
			if !errors.Is(err, store.ErrNoRoom) {
				t.Errorf("got %v", err)
			}
			if copyIsThere(dir) {
				t.Error("the copy is still there")
			}
			storetest.Check(t, s)
		})
	}
}

// A backup that fails says so in the ledger, after what says that it was made; one that is refused says nothing.
func TestBackupFails(t *testing.T) {
	free := uint64(1 << 40)
	s := open(t, storetest.Dir(t), store.Options{}.WithFree(func(string) (uint64, error) { return free, nil }))
	must(t, s, storetest.Abandoned(callID(1), storetest.Start(), "")...)
	var inner error
	full := writer(func() error {
		inner = s.Backup(t.Context(), &bytes.Buffer{}, "", "second")
		return syscall.ENOSPC
	})
	if err := s.Backup(t.Context(), full, "admin", "first"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if !errors.Is(inner, store.ErrBusy) {
		t.Errorf("a second one: %v", inner)
	}
	free = 1 << 20
	if err := s.Backup(t.Context(), &bytes.Buffer{}, "", "third"); !errors.Is(err, store.ErrNoRoom) {
		t.Errorf("without room: %v", err)
	}
	must(t, s)
	want := []call.Acted{
		{By: "admin", What: store.ActBackedUp, Detail: "first"}, {By: "admin", What: store.ActBackupFailed, Detail: "first"},
	}
	if d := cmp.Diff(want, acts(t, s)); d != "" {
		t.Error(d)
	}
	if copyIsThere(s.Dir()) {
		t.Error("the copy is still there")
	}
}

type writer func() error

func (w writer) Write([]byte) (int, error) { return 0, w() }

// Where there is no file the folder is held all the same while a backup is restored, and a restore that fails leaves none.
func TestRestoreIntoNothing(t *testing.T) {
	s := crowd(t, 4)
	file := backup(t, s)
	dir := storetest.Dir(t)
	bad := filepath.Join(storetest.Dir(t), "bad")
	if err := os.WriteFile(bad, []byte("no store"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Restore(t.Context(), dir, bad, false, ""); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, store.File)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed restore leaves a file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "siaga112.holder"), []byte("process 1 since 2026-01-01T00:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(storetest.Dir(t), "pipe") // the backup comes when we say so
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	restored := make(chan error, 1)
	go func() {
		done, err := store.Restore(context.Background(), dir, pipe, false, "")
		if err == nil && done.Aside != "" {
			err = fmt.Errorf("an empty file was put aside: %s", done.Aside)
		}
		restored <- err
	}()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // it is being read
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(dir, store.Options{}); !errors.Is(err, store.ErrHeld) {
		t.Errorf("a gateway starts in the middle: %v", err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Error(err)
	}
	if err := errors.Join(w.Close(), <-restored); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, store.Options{})
	storetest.Check(t, s)
	if n, err := s.Size(); err != nil || n != 8 {
		t.Errorf("%d records, %v", n, err)
	}
}

// A file of a newer program gives way to a backup of this one's by force only, and is kept.
func TestRestoreOverNewer(t *testing.T) {
	s := crowd(t, 4)
	dir := s.Dir()
	file := backup(t, s)
	closed(t, s)
	edit(t, dir, func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("99")) })
	if _, err := store.Restore(t.Context(), dir, file, false, ""); !errors.Is(err, store.ErrIncomparable) {
		t.Errorf("without force: %v", err)
	}
	done, err := store.Restore(t.Context(), dir, file, true, "")
	if err != nil || done.Aside == "" || !errors.Is(done.Damage, store.ErrNewer) {
		t.Fatalf("%+v, %v", done, err)
	}
	storetest.Check(t, open(t, dir, store.Options{}))
	if _, err := store.Restore(t.Context(), storetest.Dir(t), done.Aside, true, ""); !errors.Is(err, store.ErrNewer) {
		t.Errorf("a backup of a newer program: %v", err)
	}
}

// A backup that is restored by force undoes what was erased and held since: whoever restores is told.
func TestRestoreTellsWhatIsUndone(t *testing.T) {
	s := crowd(t, 4)
	file := backup(t, s)
	_, err := s.Erase(t.Context(), erase(erasedNumber))
	_, heldErr := s.Hold(store.Hold{Number: "+628115550002", Reason: "court"})
	if err := errors.Join(err, heldErr); err != nil {
		t.Fatal(err)
	}
	must(t, s, storetest.Abandoned(callID(1), storetest.Start(), "")...)
	closed(t, s)
	done, err := store.Restore(t.Context(), s.Dir(), file, true, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []call.Acted{
		{By: "admin", What: audit.ActErased, Detail: "records 0-1 3; request of the caller; 188/2026"},
		{What: store.ActHeld, Detail: "a number; court"},
	}
	if d := cmp.Diff(want, done.Undone); d != "" || done.Lost != 3 {
		t.Errorf("%d lost, %s", done.Lost, d)
	}
}

// What is said about a backup that is damaged names the backup, not a file that is gone when it is read.
func TestRestoreNamesTheBackup(t *testing.T) {
	s := crowd(t, 60)
	file := backup(t, s)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b[:len(b)/64], 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = store.Restore(t.Context(), storetest.Dir(t), file, false, "")
	if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "Keep") || strings.Contains(err.Error(), ".part") {
		t.Errorf("got %v", err)
	}
}
