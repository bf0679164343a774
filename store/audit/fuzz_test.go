package audit_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/store/audit"
)

func FuzzCheckpoint(f *testing.F) {
	l := history(f)
	key := l.key()
	f.Add(l.checkpoint(7))
	f.Add([]byte("siaga112/ktp1\n1\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := audit.PeekCheckpoint(b)
		if err == nil && !bytes.HasPrefix(b, []byte(c.Text())) {
			t.Errorf("%q is read as %q", b, c.Text())
		}
		if _, err := audit.OpenCheckpoint(b, key); err == nil && c.Text() == "" {
			t.Error("opened, and has no text")
		}
	})
}

func FuzzProof(f *testing.F) {
	l := history(f)
	key := l.key()
	at, err := audit.OpenCheckpoint(l.checkpoint(32), l.key())
	if err != nil {
		f.Fatal(err)
	}
	in, err := audit.ProveInclusion(11, l.pieces[11].Leaf, at, l.checkpoint(32), l)
	if err != nil {
		f.Fatal(err)
	}
	way, err := audit.ProveConsistency(at, at, nil, l)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(in.Text())
	f.Add(way.Text())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := audit.ParseInclusion(b); err == nil {
			if diff := cmp.Diff(string(b), string(p.Text())); diff != "" {
				t.Error(diff)
			}
			_, _ = p.Verify(key) // must only not panic
		}
		if p, err := audit.ParseConsistency(b); err == nil {
			if diff := cmp.Diff(string(b), string(p.Text())); diff != "" {
				t.Error(diff)
			}
			if p.Verify(at) == nil && p.OldSize == at.Size && p.OldRoot != at.Root {
				t.Error("two roots of one size")
			}
		}
	})
}

func FuzzBundle(f *testing.F) {
	l := history(f)
	key := l.key()
	bundle := l.bundle(l.order())
	f.Add(bundle)
	f.Add(rezip(f, unzip(f, bundle)))
	f.Fuzz(func(t *testing.T, b []byte) {
		z, err := audit.NewBundle(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		defer closed(t, z)
		r, err := z.Verify(t.Context(), audit.Check{Key: key, Table: table})
		if err == nil && r.OK() && r.Checkpoint.Size != 32 {
			t.Error("another bundle verifies")
		}
	})
}
