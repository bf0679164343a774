package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

const (
	diskEvery   = 5 * time.Second
	diskMin     = 200 << 20   // bytes
	diskSpan    = time.Hour   // over which the rate is measured at which the disk fills
	diskSample  = time.Minute // between two measurements that are remembered
	reserveFile = "siaga112.reserve"
)

// disk is what the committer knows of the room on its disk.
type disk struct {
	checked time.Time
	low     time.Time // since when; zero: there is enough
	samples []room    // by time, over the last diskSpan
	given   time.Time // when the reserve was given up; zero: it was not
}

type room struct {
	at   time.Time
	free uint64
}

// check raises or clears the alarm about free space, and makes the reserve anew where there is room, at most every few
// seconds.
func (d *disk) check(s *Store, now time.Time) {
	if now.Sub(d.checked) < diskEvery {
		return
	}
	d.checked = now
	free, err := s.o.free(s.dir)
	if err != nil {
		s.o.Log.Warn("store: free space is unknown", zap.Error(err))
		return
	}
	d.sample(room{now, free})
	switch low := free < s.o.FreeSpace; {
	case low && d.low.IsZero():
		d.low = now
		s.o.Alarm("disk", now, fmt.Sprintf("%d MB are free on the disk of %s%s. At 0 no record can be written: "+
			"they stay in memory and are lost if the gateway stops. Free space there", free>>20, s.dir, d.fullIn(free)))
	case !low && !d.low.IsZero():
		d.low = time.Time{}
		s.o.Alarm("disk", time.Time{}, fmt.Sprintf("%d MB are free again on the disk of %s", free>>20, s.dir))
	}
	if !d.given.IsZero() && free >= s.o.FreeSpace+uint64(s.o.Reserve) {
		d.given = time.Time{}
		d.keepReserve(s)
	}
}

func (d *disk) sample(r room) {
	if n := len(d.samples); n > 0 && r.at.Sub(d.samples[n-1].at) < diskSample {
		return
	}
	d.samples = append(d.samples, r)
	for r.at.Sub(d.samples[0].at) > diskSpan {
		d.samples = d.samples[1:]
	}
}

// fullIn says how long it takes until nothing is free, at the rate of the last hour; "" where that cannot be told.
func (d *disk) fullIn(free uint64) string {
	if len(d.samples) == 0 {
		return ""
	}
	first := d.samples[0]
	span := d.checked.Sub(first.at)
	if span < diskSample || first.free <= free {
		return ""
	}
	left := time.Duration(float64(free) / float64(first.free-free) * float64(span))
	return fmt.Sprintf("; at the rate of the last %s it is full in about %s", span.Round(time.Minute), left.Round(time.Minute))
}

// keepReserve makes the reserve, unless it is there or there is no room for it.
func (d *disk) keepReserve(s *Store) {
	if s.o.Reserve <= 0 {
		return
	}
	file := filepath.Join(s.dir, reserveFile)
	if info, err := os.Stat(file); err == nil && info.Size() == s.o.Reserve {
		return
	}
	if free, err := s.o.free(s.dir); err == nil && free < uint64(s.o.Reserve) {
		d.given = time.Now()
		return
	}
	if err := makeReserve(file, s.o.Reserve); err != nil {
		d.given = time.Now()
		s.o.Log.Warn("store: no reserve on the disk", zap.Error(err), zap.NamedError("remove", os.Remove(file)))
	}
}

// makeReserve fills a file with bytes that take room.
func makeReserve(file string, size int64) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(allocate(f, size), f.Sync(), f.Close())
}

// writeZeros takes room on a disk that cannot be asked for it.
func writeZeros(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

// giveUp removes the reserve and what a copy has written: the disk is full.
func (d *disk) giveUp(s *Store) {
	s.dropCopy()
	if s.o.Reserve <= 0 || !d.given.IsZero() {
		return
	}
	d.given = time.Now()
	if err := os.Remove(filepath.Join(s.dir, reserveFile)); err != nil {
		s.o.Log.Warn("store: the disk is full, and there is no reserve to give up", zap.Error(err))
		return
	}
	s.o.Log.Warn("store: the disk is full, the reserve has been given up", zap.Int64("bytes", s.o.Reserve))
}
