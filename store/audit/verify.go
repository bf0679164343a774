package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga112/siaga112/call"
)

// Report is what Verify found of a bundle.
type Report struct {
	Manifest   Manifest // as signed; zero where the signature is not right
	Checkpoint Checkpoint
	Counts     Counts // as counted
	Old        string // what --checkpoint showed, in words; "" where none was given
	Bad        []Bad  // empty: all is as it was signed
}

// OK tells whether nothing is bad.
func (r Report) OK() bool { return len(r.Bad) == 0 }

// Check says with what a bundle is verified.
type Check struct {
	Key   note.Verifier
	Table Table
	Old   []byte // a signed checkpoint that somebody else kept; nil: none
}

// Verify checks everything in a bundle, with the key alone: the files of the zip, the manifest's signature and the hashes in
// it, the checkpoint, every leaf and the tree's root, every record against its entries, the table of calls, the proofs
// and the counts. It goes on past what is bad and names the file or record of all of it. The error is only that the bundle
// could not be read to its end, or ctx.
func (b *Bundle) Verify(ctx context.Context, c Check) (Report, error) {
	v := &bundleVerifier{b: b, c: c}
	v.entries()
	v.manifest()
	v.checkpoint()
	if err := v.records(ctx); err != nil {
		return v.r, fmt.Errorf("verify bundle: %w", err)
	}
	if err := v.table(ctx); err != nil {
		return v.r, fmt.Errorf("verify bundle: %w", err)
	}
	v.consistency()
	v.counts()
	slices.SortStableFunc(v.r.Bad, func(a, b Bad) int { return cmp.Compare(a.Seq, b.Seq) })
	return v.r, nil
}

type bundleVerifier struct {
	b     *Bundle
	c     Check
	r     Report
	known bool // the manifest is right
	head  bool // the checkpoint is
	tree  climber
	older map[uint64]tlog.Hash // roots of older trees, where they could be computed
}

func (v *bundleVerifier) bad(file, format string, args ...any) {
	v.r.Bad = append(v.r.Bad, Bad{Seq: NoSeq, What: file + ": " + fmt.Sprintf(format, args...)})
}

// entries wants each file once, and no other.
func (v *bundleVerifier) entries() {
	seen := map[string]int{}
	for _, f := range v.b.zip.File {
		seen[f.Name]++
	}
	for _, name := range append(slices.Clone(bundleFiles), fileManifest, fileSignature) {
		switch n := seen[name]; n {
		case 1:
		case 0:
			v.bad(name, "it is missing in the bundle")
		default:
			v.bad(name, "it is in the bundle %d times", n)
		}
		delete(seen, name)
	}
	for name := range seen {
		v.bad(name, "it does not belong in a bundle")
	}
}

func (v *bundleVerifier) manifest() {
	m, err := v.b.Manifest(v.c.Key)
	if err != nil {
		v.r.Bad = append(v.r.Bad, Bad{Seq: NoSeq, What: err.Error()})
		return
	}
	v.r.Manifest, v.known = m, true
	names := make([]string, 0, len(m.Files))
	for _, f := range m.Files {
		names = append(names, f.Name)
		sum, n, err := v.b.fileSum(f.Name)
		switch {
		case err != nil:
			v.bad(f.Name, "it cannot be read: %v", err)
		case n != f.Bytes:
			v.bad(f.Name, "it has %d bytes, the manifest says %d", n, f.Bytes)
		case sum != f.SHA256:
			v.bad(f.Name, "its SHA-256 is not the one in the manifest: it was changed")
		}
	}
	if !slices.Equal(names, bundleFiles) {
		v.bad(fileManifest, "it lists %s", strings.Join(names, ", "))
	}
}

func (v *bundleVerifier) checkpoint() {
	text, err := v.b.small(fileCheckpoint)
	if err == nil {
		v.r.Checkpoint, err = OpenCheckpoint(text, v.c.Key)
	}
	if err != nil {
		v.bad(fileCheckpoint, "%v", err)
		return
	}
	v.head = true
	at, m := v.r.Checkpoint, v.r.Manifest
	if at.Origin != v.c.Key.Name() {
		v.bad(fileCheckpoint, "it is of the ledger %s, the key is of %s", at.Origin, v.c.Key.Name())
	}
	if v.known && (at.Size != m.Size || at.Root.String() != m.Root || at.Origin != m.Origin) {
		v.bad(fileManifest, "it says that %d records have the root %s, the checkpoint that %d have %s", m.Size, m.Root, at.Size, at.Root)
	}
}

// counts holds what was counted against the manifest.
func (v *bundleVerifier) counts() {
	if v.known && v.r.Counts != v.r.Manifest.Counts {
		v.bad(fileManifest, "it counts %+v, the files have %+v", v.r.Manifest.Counts, v.r.Counts)
	}
}

// records checks every record, and the root of the tree that they and the gaps between them make.
func (v *bundleVerifier) records(ctx context.Context) error {
	v.r.Bad = append(v.r.Bad, v.b.broken...)
	gaps, err := v.gaps()
	if err != nil {
		v.bad(fileProof, "%v", err)
	}
	v.older = v.wantRoots()
	var checker Checker
	var erased []uint64
	var acts []Range
	fits := true
	for p, err := range v.b.Scan(ctx, 0) {
		if err != nil {
			return err
		}
		fits = fits && v.fill(&gaps, p.Seq)
		if fits {
			fits = v.push(0, tlog.RecordHash(p.Leaf[:]))
		}
		v.r.Counts.add(p)
		switch {
		case len(p.Body) == 0:
			erased = append(erased, p.Seq)
			continue
		case LeafOf(p) != p.Leaf:
			v.r.Bad = append(v.r.Bad, Bad{Seq: p.Seq, Of: p.Of, What: "its leaf is not the hash of its body"})
		}
		pieces, err := v.b.with(p)
		if err != nil {
			return err
		}
		if pieces[0].Seq != p.Seq {
			continue
		}
		got := checker.Check(p.Of, pieces)
		v.r.Bad = append(v.r.Bad, got.Bad...)
		acts = append(acts, erasedBy(got.Acts)...)
	}
	v.erasures(erased, acts)
	fits = fits && v.fill(&gaps, v.r.Checkpoint.Size) && len(gaps) == 0
	switch {
	case !v.head: // said
	case !fits || v.tree.size != v.r.Checkpoint.Size:
		v.bad(fileProof, "it does not fill the gap at record %d: a record is missing, or one too many is there", v.tree.size)
	case v.tree.root() != v.r.Checkpoint.Root:
		v.bad(fileProof, "the records and the proof have the root %s, the checkpoint says %s: a leaf is another", v.tree.root(), v.r.Checkpoint.Root)
	}
	return nil
}

// erasedBy are the records that acts took away.
func erasedBy(acts []call.Acted) (all []Range) {
	for _, a := range acts {
		if a.What == ActErased || a.What == ActExpired {
			if rs, ok := Erased(a.Detail); ok {
				all = append(all, rs...)
			}
		}
	}
	return all
}

// erasures holds what is gone against the acts that took it away.
func (v *bundleVerifier) erasures(erased []uint64, acts []Range) {
	acts = Union(acts)
	for _, seq := range erased {
		if !Holds(acts, seq) {
			v.r.Bad = append(v.r.Bad, Bad{Seq: seq, What: "it is gone, and no act erased it"})
		}
	}
	for _, p := range v.b.pieces {
		if p.of != 0 && Holds(acts, p.seq) {
			v.r.Bad = append(v.r.Bad, Bad{Seq: p.seq, What: "an act erased it, and it is there"})
		}
	}
}

// fill puts the subtrees of the gap before a record into the tree; false where they are not there.
func (v *bundleVerifier) fill(gaps *[]Subtree, until uint64) bool {
	return cover(v.tree.size, until, func(first uint64, level int) error {
		if v.known && v.r.Manifest.Filter == "" {
			v.r.Bad = append(v.r.Bad, Bad{Seq: first, What: fmt.Sprintf("it is not in the bundle, which is to have everything (%d record(s))", uint64(1)<<level)})
		}
		if len(*gaps) == 0 || (*gaps)[0].First != first || (*gaps)[0].Level != level {
			return ErrFormat
		}
		h := (*gaps)[0].Hash
		*gaps = (*gaps)[1:]
		if !v.push(level, h) {
			return ErrFormat
		}
		return nil
	}) == nil && v.tree.size == until
}

// push adds to the tree, and notes its root where an older one is to be compared.
func (v *bundleVerifier) push(level int, h tlog.Hash) bool {
	if v.tree.push(level, h) != nil {
		return false
	}
	if _, want := v.older[v.tree.size]; want {
		v.older[v.tree.size] = v.tree.root()
	}
	return true
}

// gaps reads the proof.
func (v *bundleVerifier) gaps() ([]Subtree, error) {
	text, err := v.b.small(fileProof)
	if err != nil {
		return nil, err
	}
	return parseGaps(text)
}

func parseGaps(text []byte) ([]Subtree, error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	if !lines.Scan() || lines.Text() != proofHead {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrFormat, proofHead)
	}
	var gaps []Subtree
	for lines.Scan() {
		words := strings.Split(lines.Text(), " ")
		if len(words) != 3 {
			return gaps, fmt.Errorf("%w: %q, want FIRST COUNT HASH", ErrFormat, lines.Text())
		}
		first, ok1 := number(words[0])
		n, ok2 := number(words[1])
		raw, err := base64.StdEncoding.DecodeString(words[2])
		if !ok1 || !ok2 || err != nil || len(raw) != tlog.HashSize || n == 0 || n&(n-1) != 0 {
			return gaps, fmt.Errorf("%w: %q, want FIRST COUNT HASH", ErrFormat, lines.Text())
		}
		level := 0
		for uint64(1)<<level < n {
			level++
		}
		gaps = append(gaps, Subtree{First: first, Level: level, Hash: tlog.Hash(raw)})
	}
	return gaps, lines.Err()
}

// table writes the table of calls again and compares.
func (v *bundleVerifier) table(ctx context.Context) error {
	f, ok := v.b.entry(fileCalls)
	if !ok || v.c.Table == nil || !v.known {
		v.r.Counts.Rows = v.r.Manifest.Counts.Rows
		return nil // said
	}
	zone, err := time.LoadLocation(v.r.Manifest.Zone)
	if err != nil {
		v.bad(fileManifest, "zone %q: %v", v.r.Manifest.Zone, err)
		return nil
	}
	r, err := f.Open()
	if err != nil {
		return nil // said with the files' hashes
	}
	defer r.Close()
	d := &differ{want: bufio.NewReaderSize(r, 64<<10)}
	rows, err := v.c.Table(ctx, d, v.b, zone)
	v.r.Counts.Rows = uint64(rows)
	if err != nil {
		v.bad(fileCalls, "the records do not make a table: %v", err)
		return ctx.Err()
	}
	if d.close(); d.line > 0 {
		v.bad(fileCalls, "line %d is not as the records say", d.line)
	}
	return nil
}

// wantRoots are the sizes of older trees whose roots are to be computed on the way.
func (v *bundleVerifier) wantRoots() map[uint64]tlog.Hash {
	want := map[uint64]tlog.Hash{}
	if v.c.Old != nil {
		if old, err := OpenCheckpoint(v.c.Old, v.c.Key); err == nil {
			want[old.Size] = tlog.Hash{}
		}
	}
	return want
}

// consistency checks the proofs of older trees, and the checkpoint that somebody else kept.
func (v *bundleVerifier) consistency() {
	text, err := v.b.small(fileConsistency)
	if err != nil {
		v.bad(fileConsistency, "%v", err)
		return
	}
	proofs, err := parseConsistencies(text)
	if err != nil {
		v.bad(fileConsistency, "%v", err)
	}
	for _, p := range proofs {
		if err := p.Verify(v.r.Checkpoint); v.head && err != nil {
			v.bad(fileConsistency, "%v", err)
		}
	}
	if v.c.Old == nil {
		return
	}
	old, err := OpenCheckpoint(v.c.Old, v.c.Key)
	if err == nil && v.head {
		err = v.extends(old, proofs)
	}
	if err != nil {
		v.bad("the older checkpoint", "%v", err)
	} else {
		v.r.Old = fmt.Sprintf("the ledger begins with the %d records of the checkpoint of %s", old.Size, old.Time.Format(time.RFC3339))
	}
}

// errNoProof: the bundle cannot show it.
var errNoProof = errors.New("the bundle has no proof from it, and not all the records: ask for siaga112 cdr prove --since")

func (v *bundleVerifier) extends(old Checkpoint, proofs []Consistency) error {
	at := v.r.Checkpoint
	if old.Size > at.Size {
		return fmt.Errorf("it covers %d records, the bundle's only %d: records are gone from the end, or the bundle is the older one", old.Size, at.Size)
	}
	rewritten := fmt.Errorf("its %d records have the root %s, in this bundle they have another: the history was rewritten", old.Size, old.Root)
	if old.Size == at.Size {
		if old.Root != at.Root {
			return rewritten
		}
		return nil
	}
	for _, p := range proofs {
		if p.OldSize == old.Size {
			if p.OldRoot != old.Root {
				return rewritten
			}
			return p.Verify(at)
		}
	}
	switch root := v.older[old.Size]; root {
	case tlog.Hash{}:
		return errNoProof
	case old.Root:
		return nil
	}
	return rewritten
}

// parseConsistencies reads the proofs of a bundle: the text of each, without a checkpoint.
func parseConsistencies(text []byte) (all []Consistency, err error) {
	for len(text) > 0 {
		one, rest, found := bytes.Cut(text, []byte("\n\n"))
		if !found {
			return all, fmt.Errorf("%w: the last proof is cut off", ErrFormat)
		}
		p, err := ParseConsistency(append(slices.Clip(one), "\n\n"...))
		if err != nil {
			return all, err
		}
		all, text = append(all, p), rest
	}
	return all, nil
}
