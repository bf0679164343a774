package audit

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga112/siaga112/call"
)

// Source is where the records come from.
type Source interface {
	// Size is the number of sealed pieces.
	Size() (uint64, error)
	// Scan yields the pieces from seq on, in order. A damaged one may come with an error and be followed by others.
	Scan(ctx context.Context, from uint64) iter.Seq2[call.Sealed, error]
	// Pieces are all pieces of a subject, in order.
	Pieces(id call.ID) ([]call.Sealed, error)
}

// Table writes the calls of a source as a table, calls.csv, and tells how many rows it has. The same source gives the same
// bytes: who verifies a bundle writes the table again.
type Table func(ctx context.Context, w io.Writer, src Source, zone *time.Location) (rows int, err error)

// Order is what is to be in a bundle, and with what it is made.
type Order struct {
	By, Why string
	Filter  string                 // Want in words; "" with a nil Want
	Want    func(call.Record) bool // which calls, by their latest record; nil: all that there is, with shifts and acts
	Zone    *time.Location
	Table   Table
	Now     time.Time

	// Progress is called now and then with how far it is, in records of the checkpoint's size; never while w is written to.
	// nil: nobody asks.
	Progress func(next uint64)

	Source     Source
	Tree       tlog.HashReader
	Checkpoint []byte                            // signed: it covers what is in the bundle
	Older      [][]byte                          // signed checkpoints from which the way to this one is to be provable
	Sign       func(text string) ([]byte, error) // makes a note by the key of the checkpoints
}

// ErrErasedMeanwhile: records were erased while the bundle was written. It is to be made again.
var ErrErasedMeanwhile = errors.New("records were erased while the bundle was written: make it again")

// WriteBundle writes a bundle. What has been written before an error is no bundle. Memory does not grow with the records,
// but for a bit for each.
func WriteBundle(ctx context.Context, w io.Writer, o Order) (Manifest, error) {
	at, err := PeekCheckpoint(o.Checkpoint)
	if err != nil {
		return Manifest{}, fmt.Errorf("write bundle: %w", err)
	}
	b := &bundler{
		o: o, at: at, zip: zip.NewWriter(w), src: newChosen(o, at.Size),
		m: Manifest{
			Format: BundleFormat, Origin: at.Origin, Made: o.Now.UTC().Truncate(time.Second), By: o.By, Why: o.Why,
			Filter: o.Filter, Zone: o.Zone.String(), Size: at.Size, Root: at.Root.String(),
		},
	}
	if err := b.src.choose(ctx); err != nil {
		return b.m, fmt.Errorf("write bundle: %w", err)
	}
	for _, f := range []struct {
		name  string
		write func(ctx context.Context, w *bufio.Writer) error
	}{
		{fileRecords, b.records},
		{fileCalls, b.calls},
		{fileProof, b.proof},
		{fileConsistency, b.consistency},
		{fileCheckpoint, func(_ context.Context, w *bufio.Writer) error { return whole(w.Write(o.Checkpoint)) }},
		{fileReadme, func(_ context.Context, w *bufio.Writer) error { return whole(w.WriteString(readme)) }},
	} {
		if err := b.file(ctx, f.name, f.write); err != nil {
			return b.m, fmt.Errorf("write bundle: %s: %w", f.name, err)
		}
	}
	if err := errors.Join(b.unerased(ctx), b.sign()); err != nil {
		return b.m, fmt.Errorf("write bundle: %w", err)
	}
	return b.m, nil
}

func whole(_ int, err error) error { return err }

// bundler is one bundle being written.
type bundler struct {
	o   Order
	at  Checkpoint
	zip *zip.Writer
	src *chosen
	m   Manifest
}

// counted is a file on its way into the zip.
type counted struct {
	w     io.Writer
	sum   hash.Hash
	n     int64
	wrote func()
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.sum.Write(b[:n])
	c.n += int64(n)
	c.wrote()
	return n, err
}

func (b *bundler) file(ctx context.Context, name string, write func(context.Context, *bufio.Writer) error) error {
	f, err := b.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: b.m.Made})
	if err != nil {
		return err
	}
	c := &counted{w: f, sum: sha256.New(), wrote: b.src.tell}
	w := bufio.NewWriterSize(c, 64<<10)
	if err := write(ctx, w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	b.m.Files = append(b.m.Files, File{Name: name, Bytes: c.n, SHA256: hex.EncodeToString(c.sum.Sum(nil))})
	return nil
}

// records writes the pieces, and makes sure that they fit the checkpoint: a bundle that does not verify is made for nobody.
func (b *bundler) records(ctx context.Context, w *bufio.Writer) error {
	var line []byte
	var tree climber
	for p, err := range b.src.Scan(ctx, 0) {
		if err != nil {
			return err
		}
		if len(p.Body) > 0 && (LeafOf(p) != p.Leaf || !utf8.Valid(p.Body)) {
			return fmt.Errorf("record %d is damaged: siaga112 cdr verify says more", p.Seq)
		}
		if err := errors.Join(b.gap(tree.size, p.Seq, tree.push), tree.push(0, tlog.RecordHash(p.Leaf[:]))); err != nil {
			return err
		}
		if line, err = appendRecordLine(line[:0], p); err != nil {
			return err
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
		b.src.mark(p.Seq)
		b.m.Counts.add(p)
	}
	if err := b.gap(tree.size, b.at.Size, tree.push); err != nil {
		return err
	}
	if got := tree.root(); got != b.at.Root {
		return fmt.Errorf("the records do not fit the checkpoint's root %s: siaga112 cdr verify says more", b.at.Root)
	}
	return nil
}

// LeafOf is the leaf that a piece should have.
func LeafOf(p call.Sealed) [32]byte { return call.LeafHash(p.Nonce, p.Body) }

// add counts a piece.
func (c *Counts) add(p call.Sealed) {
	c.Records++
	switch {
	case len(p.Body) == 0:
		c.Erased++
	case !isFirst(p):
	case p.Of.Kind() == call.Call:
		c.Calls++
	case p.Of.Kind() == call.Shift:
		c.Shifts++
	case p.Of.Kind() == call.Act:
		c.Acts++
	}
}

// gap hands over the whole subtrees between two records.
func (b *bundler) gap(from, until uint64, f func(level int, h tlog.Hash) error) error {
	return cover(from, until, func(first uint64, level int) error {
		hs, err := b.o.Tree.ReadHashes([]int64{tlog.StoredHashIndex(level, int64(first>>level))})
		if err != nil {
			return err
		}
		return f(level, hs[0])
	})
}

func (b *bundler) calls(ctx context.Context, w *bufio.Writer) error {
	b.src.pass++
	n, err := b.o.Table(ctx, w, b.src, b.o.Zone)
	b.m.Counts.Rows = uint64(n)
	return err
}

// proof writes the subtrees between the pieces that are in the bundle.
func (b *bundler) proof(_ context.Context, w *bufio.Writer) error {
	if _, err := w.WriteString(proofHead + "\n"); err != nil {
		return err
	}
	next := uint64(0)
	put := func(level int, h tlog.Hash) error {
		_, err := fmt.Fprintf(w, "%d %d %s\n", next, uint64(1)<<level, h)
		next += 1 << level
		return err
	}
	for seq := range b.at.Size {
		if !b.src.isMarked(seq) {
			continue
		}
		if err := b.gap(next, seq, put); err != nil {
			return err
		}
		next = seq + 1
	}
	return b.gap(next, b.at.Size, put)
}

// consistency writes one proof for each older checkpoint.
func (b *bundler) consistency(_ context.Context, w *bufio.Writer) error {
	for _, signed := range b.o.Older {
		old, err := PeekCheckpoint(signed)
		if err != nil {
			return err
		}
		if old.Size >= b.at.Size {
			continue
		}
		p, err := ProveConsistency(old, b.at, nil, b.o.Tree)
		if err != nil {
			return err
		}
		if err := p.Verify(b.at); err != nil {
			return err
		}
		if _, err := w.Write(p.Text()); err != nil {
			return err
		}
	}
	return nil
}

// unerased looks for erasures that came while the records were read: what is in the bundle may then be of two times.
func (b *bundler) unerased(ctx context.Context) error {
	var c Checker
	for p, err := range b.o.Source.Scan(ctx, b.at.Size) {
		if err != nil {
			return err
		}
		if p.Of.Kind() != call.Act || len(p.Body) == 0 {
			continue
		}
		for _, a := range c.Check(p.Of, []call.Sealed{p}).Acts {
			if a.What == ActErased || a.What == ActExpired {
				return ErrErasedMeanwhile
			}
		}
	}
	return ctx.Err()
}

func (b *bundler) sign() error {
	manifest, err := b.m.text()
	if err != nil {
		return err
	}
	signature, err := b.o.Sign(manifestText(b.at.Origin, manifest))
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
	}{{fileManifest, manifest}, {fileSignature, signature}} {
		w, err := b.zip.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: b.m.Made})
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, bytes.NewReader(f.text)); err != nil {
			return err
		}
	}
	return b.zip.Close()
}

// isFirst tells whether a piece is its subject's first: its first entry is number 1.
func isFirst(p call.Sealed) bool {
	_, rest, _ := bytes.Cut(p.Body, []byte{'\n'})
	line, _, _ := bytes.Cut(rest, []byte{'\n'})
	e, err := call.ParseEntry(line)
	return err == nil && e.N == 1
}
