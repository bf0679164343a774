package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged: the file is not as the store left it. Nothing in it has been changed.
var ErrDamaged = errors.New("the file is damaged")

// workSuffix is what the names of files end with that a crash may leave behind: they are removed when the store is opened.
const workSuffix = ".part"

// lockTimeout is how long Open waits for another process to let go of the file.
const lockTimeout = 500 * time.Millisecond

// openFile opens dir's file, making it if there is none. The errors wrap ErrHeld or ErrDamaged where they fit.
func openFile(dir string) (*bolt.DB, error) {
	file := filepath.Join(dir, File)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if err := createFile(dir); err != nil {
			return nil, err
		}
	}
	for {
		db, opened, err := openBolt(file)
		switch {
		case errors.Is(err, berrors.ErrTimeout):
			return nil, fmt.Errorf("%w by %s", ErrHeld, readHolder(dir))
		case err != nil:
			return nil, err
		}
		// Who had it has put another file in its place: what was opened has no name any more.
		if now, err := os.Stat(file); err == nil && os.SameFile(opened, now) {
			return db, nil
		} else if err := errors.Join(err, db.Close()); err != nil {
			return nil, err
		}
	}
}

// createFile makes an empty file under another name and gives it its own: a file that is there is whole, also after a crash.
func createFile(dir string) error {
	file := filepath.Join(dir, File)
	part := file + ".new" + workSuffix
	db, err := bolt.Open(part, 0o600, boltOptions())
	if errors.Is(err, berrors.ErrTimeout) {
		return fmt.Errorf("%w by %s", ErrHeld, readHolder(dir))
	}
	if err != nil { // a crash has left it half made
		if err := os.Remove(part); err != nil {
			return err
		}
		if db, err = bolt.Open(part, 0o600, boltOptions()); err != nil {
			return err
		}
	}
	if err := os.Link(part, file); err != nil && !errors.Is(err, os.ErrExist) {
		err = os.Rename(part, file) // a disk without links
		return errors.Join(err, db.Close(), syncDir(dir))
	}
	return errors.Join(os.Remove(part), db.Close(), syncDir(dir))
}

// boltOptions: the freelist is written with each commit; without it a cold open reads the whole file.
func boltOptions() *bolt.Options {
	return &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType}
}

// openBolt opens a file that is there. bbolt panics at some damage and the processor traps at some; both are ErrDamaged.
func openBolt(file string) (db *bolt.DB, info os.FileInfo, err error) {
	if err := checkFile(file); err != nil {
		return nil, nil, err
	}
	var f *os.File
	defer trap(&err, func() {
		if f != nil {
			unlock(f) // what is mapped keeps it locked
			_ = f.Close()
		}
	})
	o := boltOptions()
	o.OpenFile = func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
		f, err = os.OpenFile(name, flag&^os.O_CREATE, mode)
		return f, err
	}
	db, err = bolt.Open(file, 0o600, o)
	switch {
	case err == nil:
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return nil, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	default:
		return nil, nil, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, info, nil
}

// trap makes an error of a panic, also of one that a missing page of a mapped file causes. It is to be deferred.
func trap(err *error, then func()) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, p)
		then()
	}
}

// faultsPanic makes a missing page of a mapped file a panic of this goroutine instead of the end of the process, until
// what it returns is called.
func faultsPanic() func() {
	old := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(old) }
}

// The layout of a bbolt meta page: its header, and the fields that checkFile reads.
const (
	metaMagic     = 0xED0CDAED
	metaLen       = 64 // magic (4) version (4) page size (4) flags (4) root (16) freelist (8) pages (8) transaction (8) checksum (8)
	pageHeaderLen = 16
)

// checkFile looks at the two meta pages, as they say how long the file must be: a page that is missing at the end would
// be found only when it is read. The process that has the file may write meanwhile.
func checkFile(file string) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	for range 3 {                    // a meta page may be read while it is being written
		var pages, size uint64
		if pages, size, err = readMetas(f); err != nil {
			continue
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if need := pages * size; uint64(info.Size()) < need {
			return fmt.Errorf("%w: it has %d bytes, %d were written", ErrDamaged, info.Size(), need)
		}
		return nil
	}
	return err
}

// readMetas tells how many pages of which size the last commit left, by the meta pages that are whole.
func readMetas(f *os.File) (pages, size uint64, err error) {
	head := make([]byte, 64<<10+pageHeaderLen+metaLen)
	n, err := f.ReadAt(head, 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return 0, 0, err
	case n == 0:
		return 0, 0, fmt.Errorf("%w: it is empty", ErrDamaged)
	}
	head = head[:n]
	found := false
	var last uint64
	// The first page's place is known; the second's is the size of a page, which the first may no longer tell.
	for at := 0; at <= 64<<10; at = max(1<<10, at*2) {
		p, s, tx, ok := readMeta(head, at)
		if ok && (!found || tx > last) {
			found, pages, size, last = true, p, s, tx
		}
	}
	if !found {
		return 0, 0, fmt.Errorf("%w: neither of its first pages is whole", ErrDamaged)
	}
	return pages, size, nil
}

func readMeta(head []byte, at int) (pages, size, tx uint64, ok bool) {
	at += pageHeaderLen
	if at+metaLen > len(head) {
		return 0, 0, 0, false
	}
	m, le := head[at:at+metaLen], binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaLen-8]) // never fails
	if le.Uint32(m) != metaMagic || le.Uint64(m[metaLen-8:]) != sum.Sum64() {
		return 0, 0, 0, false
	}
	return le.Uint64(m[40:]), uint64(le.Uint32(m[8:])), le.Uint64(m[48:]), true
}

// syncDir makes what was renamed in the folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeParts removes what a crash left half done. The file's lock is held.
func removeParts(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, File+".*"+workSuffix))
	if err != nil {
		return err
	}
	for _, name := range names {
		err = errors.Join(err, os.RemoveAll(name))
	}
	return err
}

// failed is the error of Open, with what to do about a damaged file.
func (o Options) failed(err error, file string) error {
	switch {
	case o.aside:
		return err
	case !errors.Is(err, ErrDamaged):
		return fmt.Errorf("open store %s: %w", file, err)
	}
	return fmt.Errorf("open store %s: %w. It was left as it is. Keep it for a repair, then put the latest backup in its place: "+
		"siaga112 restore FILE", file, err)
}

// Asides are the files beside the store's that hold records too, by name: what a restore put aside. An erasure does not reach
// them.
func Asides(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, File+".*"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range names {
		if !strings.HasSuffix(n, workSuffix) {
			out = append(out, n)
		}
	}
	return out, nil
}
