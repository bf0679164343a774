package audit

import (
	"archive/zip"
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/siaga112/siaga112/call"
)

// Bounds of what is read of a bundle, in bytes: a bundle may come from anybody.
const (
	maxLine  = 64 << 20 // a line of records.jsonl
	maxSmall = 64 << 20 // a file that is held in memory
)

// Bundle is an open bundle: a Source of what is in it. Nothing of it is believed until Verify has passed.
type Bundle struct {
	zip    *zip.Reader
	closer io.Closer // of the file; nil if it is the caller's
	temp   *os.File  // records.jsonl, unpacked

	seed    maphash.Seed
	pieces  []piece
	byOf    []uint32 // pieces, by subject and then by seq
	sum     [32]byte // of records.jsonl
	size    int64    // of records.jsonl, in bytes
	broken  []Bad    // lines that cannot be read
	missing error    // why records.jsonl is not there
}

// piece is a line of records.jsonl.
type piece struct {
	of  uint64 // its subject, hashed; 0: erased
	at  int64  // where it begins
	seq uint64
}

// OpenBundle opens a bundle. It unpacks the records into a temporary file, and needs 28 bytes of memory for each. Close must
// be called. The error is that the file cannot be read or is no zip file; what is wrong inside is Verify's.
func OpenBundle(path string) (*Bundle, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open bundle: %w", err), f.Close())
	}
	b, err := NewBundle(f, info.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open bundle %s: %w", path, err), f.Close())
	}
	b.closer = f
	return b, nil
}

// NewBundle is OpenBundle for a file that the caller has open.
func NewBundle(r io.ReaderAt, size int64) (*Bundle, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	b := &Bundle{zip: z, seed: maphash.MakeSeed()}
	if b.temp, err = os.CreateTemp("", "siaga112-bundle-*"); err != nil {
		return nil, err
	}
	if b.missing, err = b.unpack(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.byOf = make([]uint32, len(b.pieces))
	for i := range b.byOf {
		b.byOf[i] = uint32(i)
	}
	slices.SortFunc(b.byOf, func(x, y uint32) int {
		p, q := b.pieces[x], b.pieces[y]
		return cmp.Or(cmp.Compare(p.of, q.of), cmp.Compare(p.seq, q.seq))
	})
	return b, nil
}

// Close closes the bundle and removes its temporary file.
func (b *Bundle) Close() error {
	err := errors.Join(b.temp.Close(), os.Remove(b.temp.Name()))
	if b.closer != nil {
		err = errors.Join(err, b.closer.Close())
	}
	return err
}

// entry is a file of the zip; ok is false where there is none.
func (b *Bundle) entry(name string) (f *zip.File, ok bool) {
	for _, f := range b.zip.File {
		if f.Name == name {
			return f, true
		}
	}
	return nil, false
}

// unpack copies records.jsonl and notes where its lines are. fault is what is wrong with the bundle's file.
func (b *Bundle) unpack() (fault, err error) {
	f, ok := b.entry(fileRecords)
	if !ok {
		return errors.New("it is missing"), nil
	}
	in, err := f.Open()
	if err != nil {
		return err, nil
	}
	defer in.Close()
	sum := sha256.New()
	out := bufio.NewWriterSize(b.temp, 64<<10)
	lines := bufio.NewReaderSize(in, 64<<10)
	var long []byte
	for {
		line, err := readLine(lines, &long)
		if len(line) > 0 {
			b.index(line)
			sum.Write(line)
			b.size += int64(len(line))
			if _, err := out.Write(line); err != nil {
				return nil, err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err, out.Flush()
		}
	}
	b.sum = [32]byte(sum.Sum(nil))
	return nil, out.Flush()
}

// readLine reads a line with its newline, into long where it does not fit the reader.
func readLine(r *bufio.Reader, long *[]byte) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	*long = (*long)[:0]
	for errors.Is(err, bufio.ErrBufferFull) {
		if *long = append(*long, line...); len(*long) > maxLine {
			return nil, fmt.Errorf("%w: a line has more than %d bytes", ErrFormat, maxLine)
		}
		line, err = r.ReadSlice('\n')
	}
	*long = append(*long, line...)
	return *long, err
}

func (b *Bundle) index(line []byte) {
	p, err := parseRecordLine(line)
	if err == nil && line[len(line)-1] != '\n' {
		err = fmt.Errorf("%w: its line is cut off", ErrFormat)
	}
	if err != nil {
		b.broken = append(b.broken, Bad{Seq: NoSeq, What: fmt.Sprintf("%s line %d: record %d: %v", fileRecords, len(b.pieces)+len(b.broken)+1, p.Seq, err)})
		return
	}
	if n := len(b.pieces); n > 0 && p.Seq <= b.pieces[n-1].seq {
		b.broken = append(b.broken, Bad{Seq: p.Seq, Of: p.Of, What: fmt.Sprintf("it stands after record %d", b.pieces[n-1].seq)})
		return
	}
	at := piece{at: b.size, seq: p.Seq}
	if p.Of != "" {
		at.of = maphash.String(b.seed, string(p.Of)) | 1
	}
	b.pieces = append(b.pieces, at)
}

// read reads the i-th piece.
func (b *Bundle) read(i int) (call.Sealed, error) {
	r := bufio.NewReader(io.NewSectionReader(b.temp, b.pieces[i].at, b.size-b.pieces[i].at))
	var long []byte
	line, err := readLine(r, &long)
	if err != nil {
		return call.Sealed{}, err
	}
	return parseRecordLine(line)
}

// Size implements Source: the number of records in the tree, of which the bundle may have only some.
func (b *Bundle) Size() (uint64, error) {
	if len(b.pieces) == 0 {
		return 0, nil
	}
	return b.pieces[len(b.pieces)-1].seq + 1, nil
}

// Scan implements Source.
func (b *Bundle) Scan(ctx context.Context, from uint64) iter.Seq2[call.Sealed, error] {
	return func(yield func(call.Sealed, error) bool) {
		i, _ := slices.BinarySearchFunc(b.pieces, from, func(p piece, seq uint64) int { return cmp.Compare(p.seq, seq) })
		if i == len(b.pieces) {
			return
		}
		start := b.pieces[i].at
		lines := bufio.NewReaderSize(io.NewSectionReader(b.temp, start, b.size-start), 64<<10)
		var long []byte
		for at := start; i < len(b.pieces); {
			line, err := readLine(lines, &long)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(call.Sealed{}, fmt.Errorf("bundle: %w", err))
				return
			}
			if at == b.pieces[i].at { // else a broken line
				i++
				if p, err := parseRecordLine(line); !yield(p, err) {
					return
				}
			}
			at += int64(len(line))
		}
	}
}

// Pieces implements Source.
func (b *Bundle) Pieces(id call.ID) ([]call.Sealed, error) {
	want := maphash.String(b.seed, string(id)) | 1
	i, _ := slices.BinarySearchFunc(b.byOf, want, func(x uint32, of uint64) int { return cmp.Compare(b.pieces[x].of, of) })
	var ps []call.Sealed
	for ; i < len(b.byOf) && b.pieces[b.byOf[i]].of == want; i++ {
		p, err := b.read(int(b.byOf[i]))
		if err != nil {
			return nil, fmt.Errorf("bundle: %s: %w", id, err)
		}
		if p.Of == id {
			ps = append(ps, p)
		}
	}
	return ps, nil
}

// with is all pieces of p's subject. Most have only one, which is not read again.
func (b *Bundle) with(p call.Sealed) ([]call.Sealed, error) {
	want := maphash.String(b.seed, string(p.Of)) | 1
	i, _ := slices.BinarySearchFunc(b.byOf, want, func(x uint32, of uint64) int { return cmp.Compare(b.pieces[x].of, of) })
	if i+1 < len(b.byOf) && b.pieces[b.byOf[i+1]].of == want {
		return b.Pieces(p.Of)
	}
	return []call.Sealed{p}, nil
}

// small reads a file that is held in memory.
func (b *Bundle) small(name string) ([]byte, error) {
	f, ok := b.entry(name)
	if !ok {
		return nil, errors.New("it is missing")
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, maxSmall+1))
	if err == nil && len(text) > maxSmall {
		err = fmt.Errorf("%w: it is longer than %d bytes", ErrFormat, maxSmall)
	}
	return text, err
}

// Manifest is what the bundle says of itself, where its signature is right. The files that it lists may be others.
func (b *Bundle) Manifest(key note.Verifier) (Manifest, error) {
	text, err := b.small(fileManifest)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", fileManifest, err)
	}
	signature, err := b.small(fileSignature)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", fileSignature, err)
	}
	return openManifest(text, signature, key)
}

// Zone is the zone of the times in calls.csv, as the bundle says without proof; UTC where it says none.
func (b *Bundle) Zone() *time.Location {
	var m Manifest
	if text, err := b.small(fileManifest); err == nil && json.Unmarshal(text, &m) == nil {
		if zone, err := time.LoadLocation(m.Zone); err == nil {
			return zone
		}
	}
	return time.UTC
}

// fileSum hashes a file of the zip.
func (b *Bundle) fileSum(name string) (sum string, n int64, err error) {
	if name == fileRecords {
		return hex.EncodeToString(b.sum[:]), b.size, b.missing
	}
	f, ok := b.entry(name)
	if !ok {
		return "", 0, errors.New("it is missing")
	}
	r, err := f.Open()
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	h := sha256.New()
	n, err = io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// differ compares what is written to it with the bytes of a reader, line by line.
type differ struct {
	want *bufio.Reader
	line int // the first that differs; 0: none yet
	at   int // lines so far
	buf  []byte
}

func (d *differ) Write(b []byte) (int, error) {
	if d.line > 0 {
		return len(b), nil
	}
	if cap(d.buf) < len(b) {
		d.buf = make([]byte, len(b))
	}
	got := d.buf[:len(b)]
	n, err := io.ReadFull(d.want, got)
	same := 0
	for same < n && got[same] == b[same] {
		same++
	}
	d.at += bytes.Count(b[:same], []byte{'\n'})
	if same < len(b) {
		d.line = d.at + 1
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	return len(b), nil
}

// close looks whether more follows.
func (d *differ) close() {
	if _, err := d.want.ReadByte(); err == nil && d.line == 0 {
		d.line = d.at + 1
	}
}
