package store

import (
	"crypto/rand"
	"fmt"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// migrations[n] takes a file from format n to n+1, inside the transaction that makes it whole.
var migrations = [format]func(*bolt.Tx) error{
	0: func(*bolt.Tx) error { return nil }, // a new file
	1: func(*bolt.Tx) error { return nil }, // the buckets checkpoint and hold, which prepare makes
}

// prepare makes what a new file lacks, migrates an older one and refuses one of a newer format. All is in one transaction:
// a crash leaves the file as it was or whole. It writes nothing to a file that is whole.
func (s *Store) prepare() (err error) {
	defer trap(&err, func() {})
	defer faultsPanic()()
	has, err := s.format()
	if err != nil || has == format {
		return err
	}
	return s.db.Load().Update(func(tx *bolt.Tx) error {
		for _, name := range bucketNames() {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		for from := has; from < format; from++ {
			if err := migrations[from](tx); err != nil {
				return fmt.Errorf("migrate it from format %d: %w", from, err)
			}
		}
		meta := tx.Bucket([]byte(bucketMeta))
		if has == 0 {
			if _, err := rand.Read(s.secret[:]); err != nil {
				return err
			}
			if err := meta.Put([]byte(metaSecret), s.secret[:]); err != nil {
				return err
			}
		}
		return meta.Put([]byte(metaFormat), strconv.AppendInt(nil, format, 10))
	})
}

// format reads the file's format and its secret; 0 is a new file. The error wraps ErrNewer.
func (s *Store) format() (v int, err error) {
	err = s.db.Load().View(func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte(bucketMeta))
		if meta == nil {
			return nil
		}
		b := meta.Get([]byte(metaFormat))
		if v, err = strconv.Atoi(string(b)); err != nil || v < 1 {
			return fmt.Errorf("format %q: not a store of this program", b)
		}
		if v > format {
			return fmt.Errorf("%w: its format is %d, this program knows %d: install the newer program", ErrNewer, v, format)
		}
		if n := copy(s.secret[:], meta.Get([]byte(metaSecret))); n != len(s.secret) {
			return fmt.Errorf("its secret has %d bytes instead of %d", n, len(s.secret))
		}
		return nil
	})
	return v, err
}
