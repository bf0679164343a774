package audit

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The first lines of the two proofs.
const (
	inclusionHead   = "siaga112 inclusion v1"
	consistencyHead = "siaga112 consistency v1"
)

// Inclusion proves that a record is in the tree of a checkpoint.
type Inclusion struct {
	Seq        uint64
	Leaf       [32]byte
	Hashes     []tlog.Hash // as tlog.ProveRecord lists them
	Checkpoint []byte      // the signed note
}

// ProveInclusion makes the proof of a record with that leaf; at is what the signed checkpoint says.
func ProveInclusion(seq uint64, leaf [32]byte, at Checkpoint, signed []byte, tree tlog.HashReader) (Inclusion, error) {
	if seq >= at.Size {
		return Inclusion{}, fmt.Errorf("prove record %d: the checkpoint covers the records up to %d", seq, int64(at.Size)-1)
	}
	hs, err := tlog.ProveRecord(int64(at.Size), int64(seq), tree)
	if err != nil {
		return Inclusion{}, fmt.Errorf("prove record %d: %w", seq, err)
	}
	return Inclusion{Seq: seq, Leaf: leaf, Hashes: hs, Checkpoint: signed}, nil
}

// Text is the proof as it is handed over: a head, the record, its leaf, the hashes, an empty line and the checkpoint.
func (p Inclusion) Text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nrecord %d\nleaf %x\n", inclusionHead, p.Seq, p.Leaf)
	writeHashes(&b, p.Hashes)
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// ParseInclusion reads what Text wrote, and nothing else. The error wraps ErrFormat.
func ParseInclusion(text []byte) (Inclusion, error) {
	var p Inclusion
	lines, signed, err := proofLines(text, inclusionHead, 2)
	if err != nil {
		return p, err
	}
	seq, _ := strings.CutPrefix(lines[1], "record ")
	leaf, _ := strings.CutPrefix(lines[2], "leaf ")
	p.Seq, _ = number(seq)
	p.Leaf, _ = parseHex(leaf)
	p.Hashes, err = parseHashes(lines[3:])
	p.Checkpoint = signed
	if err == nil && !bytes.Equal(p.Text(), text) {
		err = fmt.Errorf("%w: record %q, leaf %q", ErrFormat, lines[1], lines[2])
	}
	return p, err
}

// Verify checks the proof, down to the checkpoint's signature.
func (p Inclusion) Verify(key note.Verifier) (Checkpoint, error) {
	at, err := OpenCheckpoint(p.Checkpoint, key)
	if err != nil {
		return at, err
	}
	if p.Seq >= at.Size {
		return at, fmt.Errorf("record %d: the checkpoint covers the records up to %d", p.Seq, int64(at.Size)-1)
	}
	if err := tlog.CheckRecord(tlog.RecordProof(p.Hashes), int64(at.Size), at.Root, int64(p.Seq), tlog.RecordHash(p.Leaf[:])); err != nil {
		return at, fmt.Errorf("record %d is not proven to be in the tree of %d records: %w", p.Seq, at.Size, err)
	}
	return at, nil
}

// Consistency proves that the tree of a checkpoint begins with the tree of an older one: nothing in it was changed,
// dropped or put in between.
type Consistency struct {
	OldSize    uint64
	OldRoot    tlog.Hash
	Hashes     []tlog.Hash // as tlog.ProveTree lists them
	Checkpoint []byte      // the signed newer note; in a bundle, whose checkpoint it is, empty
}

// ProveConsistency makes the proof from old to at, whose signed note is signed.
func ProveConsistency(old, at Checkpoint, signed []byte, tree tlog.HashReader) (Consistency, error) {
	p := Consistency{OldSize: old.Size, OldRoot: old.Root, Checkpoint: signed}
	if old.Size > at.Size {
		return p, fmt.Errorf("the older checkpoint covers %d records, the newer only %d: records are gone from the end", old.Size, at.Size)
	}
	if old.Size == 0 {
		return p, nil
	}
	var err error
	if p.Hashes, err = tlog.ProveTree(int64(at.Size), int64(old.Size), tree); err != nil {
		return p, fmt.Errorf("prove that the tree of %d records begins with that of %d: %w", at.Size, old.Size, err)
	}
	return p, nil
}

// Text is the proof as it is handed over: a head, the older tree, the hashes, an empty line and the newer checkpoint.
func (p Consistency) Text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nold %d %s\n", consistencyHead, p.OldSize, p.OldRoot)
	writeHashes(&b, p.Hashes)
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// ParseConsistency reads what Text wrote, and nothing else. The error wraps ErrFormat.
func ParseConsistency(text []byte) (Consistency, error) {
	lines, signed, err := proofLines(text, consistencyHead, 1)
	if err != nil {
		return Consistency{}, err
	}
	p, err := parseOld(lines[1], lines[2:])
	p.Checkpoint = signed
	if err == nil && !bytes.Equal(p.Text(), text) {
		err = fmt.Errorf("%w: %q", ErrFormat, lines[1])
	}
	return p, err
}

// parseOld reads the line of the older tree and the hashes.
func parseOld(line string, hashes []string) (p Consistency, err error) {
	words := strings.Split(line, " ")
	if len(words) != 3 || words[0] != "old" {
		return p, fmt.Errorf("%w: %q, want old SIZE ROOT", ErrFormat, line)
	}
	var ok bool
	if p.OldSize, ok = number(words[1]); !ok {
		return p, fmt.Errorf("%w: size %q", ErrFormat, words[1])
	}
	if p.OldRoot, err = parseHash(words[2]); err != nil {
		return p, err
	}
	p.Hashes, err = parseHashes(hashes)
	return p, err
}

// Verify checks that the tree of at begins with the older tree.
func (p Consistency) Verify(at Checkpoint) error {
	switch {
	case p.OldSize > at.Size:
		return fmt.Errorf("the older tree has %d records, the newer %d: records are gone from the end", p.OldSize, at.Size)
	case p.OldSize == 0:
		if want, _ := tlog.TreeHash(0, nil); p.OldRoot != want || len(p.Hashes) > 0 {
			return fmt.Errorf("the tree of no records has another root than %s", p.OldRoot)
		}
		return nil
	}
	if err := tlog.CheckTree(tlog.TreeProof(p.Hashes), int64(at.Size), at.Root, int64(p.OldSize), p.OldRoot); err != nil {
		return fmt.Errorf("the tree of %d records does not begin with that of %d: the history was rewritten: %w", at.Size, p.OldSize, err)
	}
	return nil
}

func writeHashes(b *bytes.Buffer, hs []tlog.Hash) {
	for _, h := range hs {
		fmt.Fprintf(b, "hash %s\n", h)
	}
}

// maxProof bounds how many hashes a proof has: two for each level of a tree that is deeper than any.
const maxProof = 128

func parseHashes(lines []string) ([]tlog.Hash, error) {
	if len(lines) > maxProof {
		return nil, fmt.Errorf("%w: %d hashes, at most %d are in any proof", ErrFormat, len(lines), maxProof)
	}
	var hs []tlog.Hash
	for _, l := range lines {
		text, found := strings.CutPrefix(l, "hash ")
		h, err := parseHash(text)
		if err != nil || !found {
			return nil, fmt.Errorf("%w: %q, want hash BASE64", ErrFormat, l)
		}
		hs = append(hs, h)
	}
	return hs, nil
}

// proofLines cuts a proof into its lines, with the head and at least so many more, and its checkpoint.
func proofLines(text []byte, head string, more int) (lines []string, signed []byte, err error) {
	first, signed, found := bytes.Cut(text, []byte("\n\n"))
	lines = strings.Split(string(first), "\n")
	if !found || lines[0] != head || len(lines) < 1+more {
		return nil, nil, fmt.Errorf("%w: a proof begins with %q and has an empty line before its checkpoint", ErrFormat, head)
	}
	return lines, signed, nil
}

func parseHex(s string) (h [32]byte, ok bool) {
	if len(s) != 64 {
		return h, false
	}
	for i := range h {
		hi, lo := hexDigit(s[2*i]), hexDigit(s[2*i+1])
		if hi < 0 || lo < 0 {
			return h, false
		}
		h[i] = byte(hi<<4 | lo)
	}
	return h, true
}

// hexDigit is a digit's value, -1 for none. Hex is written in lower case, and in no other way.
func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
