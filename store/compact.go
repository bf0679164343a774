package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// Compacted is what a compaction did.
type Compacted struct {
	Before, After int64         // bytes of the file
	Took          time.Duration // from begin to end
	Pause         time.Duration // how long no commit could be made
}

// Unclean is how many records have been erased since the last compaction: their bytes are still in the file.
func (s *Store) Unclean() (n uint64, err error) {
	err = s.view(func(t *txn) error {
		n = t.count(metaErased)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("unclean: %w", err)
	}
	return n, nil
}

// Compact puts a copy in the place of the file, in which no erased byte and no free page is, while reading and writing go
// on; then it overwrites the old one. A crash leaves the old file or the new one, each whole as of the last commit. It needs
// room for the copy, and gives that up where records need it. The error wraps ErrBusy where another copy is being made, ErrNoRoom
// where the disk is too full.
func (s *Store) Compact(ctx context.Context) (Compacted, error) {
	done, err := s.compact(ctx)
	if err != nil {
		return done, fmt.Errorf("compact: %w", err)
	}
	s.o.Log.Info("store: compacted", zap.Int64("before", done.Before), zap.Int64("after", done.After),
		zap.Duration("took", done.Took), zap.Duration("pause", done.Pause))
	return done, nil
}

func (s *Store) compact(ctx context.Context) (done Compacted, err error) {
	begin := time.Now()
	ctx, end, err := s.beginCopy(ctx)
	if err != nil {
		return done, err
	}
	defer end()
	if err := s.room(); err != nil {
		return done, err
	}
	file := filepath.Join(s.dir, File)
	part := file + ".compact" + workSuffix
	var old *bolt.DB
	var bytes *os.File // of the old file, which has no name any more
	err = s.copyTo(ctx, part, func(to *bolt.DB) (bool, error) {
		var err error
		if bytes, err = os.OpenFile(file, os.O_WRONLY, 0); err != nil {
			return false, err
		}
		if err := os.Rename(part, file); err != nil {
			return false, errors.Join(err, bytes.Close())
		}
		to.NoSync = false
		old = s.db.Swap(to)
		s.syncName()
		return true, nil
	}, &done.Pause)
	if err != nil {
		return done, err
	}
	// Readers that began before the swap end first.
	err = errors.Join(old.Close(), overwrite(ctx, bytes, &done.Before), bytes.Close())
	if info, statErr := os.Stat(file); statErr == nil {
		done.After = info.Size()
	}
	done.Took = time.Since(begin)
	return done, err
}

// syncName makes the file's new name durable, however often it takes: what is committed from now on would be lost with it.
func (s *Store) syncName() {
	for pause := pauseFirst; ; pause = min(2*pause, pauseMax) {
		err := syncDir(s.dir)
		if err == nil {
			return
		}
		s.o.Log.Error("store: the folder cannot be synced, retrying", zap.Error(err))
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-s.closing:
			t.Stop()
			return
		}
	}
}

// overwrite fills a file with zeros. It is no promise on disks that write elsewhere than they read.
func overwrite(ctx context.Context, f *os.File, size *int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	*size = info.Size()
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < info.Size() && ctx.Err() == nil; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), info.Size()-at)], at); err != nil {
			return err
		}
		if at%copySync == 0 {
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
	return f.Sync()
}
