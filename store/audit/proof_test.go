package audit_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/storetest"
)

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

func TestCheckpointText(t *testing.T) {
	c := audit.Checkpoint{Origin: audit.OriginOf("ktp1"), Size: 12, Time: storetest.Start(), Arrived: 10, Ended: 9, Why: audit.WhyMinute}
	want := "siaga112/ktp1\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\ntime 2026-03-01T08:00:00Z\ncalls 10 arrived 9 ended\nwhy minute\n"
	if c.Text() != want {
		t.Errorf("got %q", c.Text())
	}
	l := newLedger(t)
	b, err := c.Sign(l.signer())
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.OpenCheckpoint(b, l.key())
	if err != nil || got != c {
		t.Errorf("%+v %v", got, err)
	}
}

// TestCheckpointChanged: a checkpoint is written in one way; every other byte is a fault.
func TestCheckpointChanged(t *testing.T) {
	l := history(t)
	signed := l.checkpoint(20)
	for i := range signed {
		for _, bit := range []byte{1, 2, 4, 0x20} {
			b := bytes.Clone(signed)
			b[i] ^= bit
			if _, err := audit.OpenCheckpoint(b, l.key()); err == nil {
				t.Fatalf("byte %d of %q", i, b)
			}
		}
	}
	for name, b := range map[string]string{
		"signed twice": string(signed) + string(signed[bytes.LastIndex(signed, []byte("—")):]),
		"two at once":  string(signed) + "\n" + string(signed),
		"cut":          string(signed[:len(signed)-1]),
		"":             "",
	} {
		if _, err := audit.OpenCheckpoint([]byte(b), l.key()); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	// What another has signed too is as good.
	other := newLedger(t)
	n, err := note.Open(signed, note.VerifierList(l.key()))
	if err != nil {
		t.Fatal(err)
	}
	both, err := note.Sign(n, other.signer())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []note.Verifier{l.key(), other.key()} {
		if _, err := audit.OpenCheckpoint(both, key); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenKey(t *testing.T) {
	for _, text := range []string{"", "x", "siaga112/ktp1+00000000+AAAA"} {
		if _, err := audit.OpenKey(text); err == nil || !strings.Contains(err.Error(), "cdr key") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := audit.PublicKey("x"); err == nil {
		t.Error("no secret passes")
	}
}

func TestInclusion(t *testing.T) {
	l := history(t)
	for size := 1; size <= len(l.pieces); size++ {
		signed := l.checkpoint(size)
		at, err := audit.OpenCheckpoint(signed, l.key())
		if err != nil {
			t.Fatal(err)
		}
		for seq := range uint64(size) {
			p, err := audit.ProveInclusion(seq, l.pieces[seq].Leaf, at, signed, l)
			if err != nil {
				t.Fatal(err)
			}
			again, err := audit.ParseInclusion(p.Text())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := again.Verify(l.key()); err != nil {
				t.Fatalf("record %d of %d: %v", seq, size, err)
			}
			again.Leaf[0] ^= 1
			if _, err := again.Verify(l.key()); err == nil {
				t.Fatalf("record %d of %d: another leaf passes", seq, size)
			}
		}
		if _, err := audit.ProveInclusion(uint64(size), [32]byte{}, at, signed, l); err == nil {
			t.Error("a record behind the checkpoint is proven")
		}
	}
}

func TestConsistency(t *testing.T) {
	l := history(t)
	signed := l.checkpoint(len(l.pieces))
	at, err := audit.OpenCheckpoint(signed, l.key())
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(l.pieces) + 1 {
		old, err := audit.OpenCheckpoint(l.checkpoint(size), l.key())
		if err != nil {
			t.Fatal(err)
		}
		p, err := audit.ProveConsistency(old, at, signed, l)
		if err != nil {
			t.Fatal(err)
		}
		again, err := audit.ParseConsistency(p.Text())
		if err == nil {
			err = again.Verify(at)
		}
		if err != nil {
			t.Fatalf("%d: %v", size, err)
		}
		again.OldRoot[3] ^= 1
		if err := again.Verify(at); err == nil {
			t.Fatalf("%d: another root passes", size)
		}
		if _, err := audit.ProveConsistency(at, old, nil, l); size < len(l.pieces) && err == nil {
			t.Errorf("%d: an older one is proven to be newer", size)
		}
	}
}

// TestProofsChanged: a proof is written in one way.
func TestProofsChanged(t *testing.T) {
	l := history(t)
	signed := l.checkpoint(32)
	at, err := audit.OpenCheckpoint(signed, l.key())
	if err != nil {
		t.Fatal(err)
	}
	old, err := audit.OpenCheckpoint(l.checkpoint(21), l.key())
	if err != nil {
		t.Fatal(err)
	}
	in, err := audit.ProveInclusion(11, l.pieces[11].Leaf, at, signed, l)
	if err != nil {
		t.Fatal(err)
	}
	way, err := audit.ProveConsistency(old, at, signed, l)
	if err != nil {
		t.Fatal(err)
	}
	for i := range in.Text() {
		b := in.Text()
		b[i] ^= 1
		if p, err := audit.ParseInclusion(b); err == nil {
			if _, err := p.Verify(l.key()); err == nil {
				t.Fatalf("byte %d of %q", i, b)
			}
		}
	}
	for i := range way.Text() {
		b := way.Text()
		b[i] ^= 1
		if p, err := audit.ParseConsistency(b); err == nil {
			got, err := audit.OpenCheckpoint(p.Checkpoint, l.key())
			if err == nil {
				err = p.Verify(got)
			}
			if err == nil && p.OldRoot == old.Root && p.OldSize == old.Size {
				t.Fatalf("byte %d of %q", i, b)
			}
		}
	}
}
