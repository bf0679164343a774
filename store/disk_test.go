package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// On a full disk the reserve is given up and writing goes on; with nothing left the alarm says what waits in memory and
// since when; once there is room the reserve is made anew.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := storetest.Dir(t)
		reserve := filepath.Join(dir, "siaga112.reserve")
		has := func() bool { _, err := os.Stat(reserve); return err == nil }
		var full, room atomic.Bool // room: also with the reserve given up
		var free atomic.Uint64
		free.Store(1 << 30)
		a := newAlarms()
		s := open(t, dir, store.Options{Alarm: a.alarm, Reserve: 1 << 20, FreeSpace: 100 << 20}.
			WithFree(func(string) (uint64, error) { return free.Load(), nil }).
			WithUpdate(func(db *bolt.DB, fn func(*bolt.Tx) error) error {
				if full.Load() && (room.Load() || has()) {
					return fmt.Errorf("write: %w", syscall.ENOSPC)
				}
				return db.Update(fn)
			}))
		if info, err := os.Stat(reserve); err != nil || info.Size() != 1<<20 {
			t.Fatalf("no reserve: %v", err)
		}
		full.Store(true)
		free.Store(0)
		time.Sleep(10 * time.Second)
		must(t, s, storetest.Abandoned(callID(1), storetest.Start(), "")...)
		if has() {
			t.Error("the reserve was not given up")
		}
		if d := time.Since(a.begin); d != 10*time.Second+20*time.Millisecond {
			t.Errorf("written after %s", d)
		}
		room.Store(true) // the reserve is used up
		done := make(chan error, 2)
		s.Append(storetest.Abandoned(callID(2), storetest.Start(), ""), func(err error) { done <- err })
		time.Sleep(time.Second)
		s.Append(storetest.Abandoned(callID(3), storetest.Start(), ""), func(err error) { done <- err })
		time.Sleep(time.Minute)
		last := a.last()
		if !strings.Contains(last, "12 entries since 2000-01-01 00:00:10") || !strings.Contains(last, "no space left") {
			t.Errorf("the alarm says %q", last)
		}
		full.Store(false)
		free.Store(1 << 30)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		must(t, s, storetest.Abandoned(callID(4), storetest.Start(), "")...)
		time.Sleep(6 * time.Second)
		must(t, s, storetest.Abandoned(callID(5), storetest.Start(), "")...)
		if !has() {
			t.Error("the reserve was not made anew")
		}
		storetest.Check(t, s)
		closed(t, s)
	})
}

// The alarm says how long there is room, by how fast the disk has filled.
func TestDiskFillsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := uint64(300 << 20)
		a := newAlarms()
		s := open(t, storetest.Dir(t), store.Options{Alarm: a.alarm}.WithFree(func(string) (uint64, error) { return free, nil }))
		for i := range 12 {
			must(t, s, storetest.Abandoned(callID(i), storetest.Start(), "")...)
			time.Sleep(time.Minute)
			free -= 10 << 20
		}
		if d := cmp.Diff([]string{"disk raised since 11m0s at 11m0s"}, a.got); d != "" {
			t.Error(d)
		}
		if !strings.Contains(a.texts[0], "190 MB are free") || !strings.Contains(a.texts[0], "rate of the last 11m0s it is full in about 19m0s") {
			t.Errorf("the alarm says %q", a.texts[0])
		}
		closed(t, s)
	})
}
