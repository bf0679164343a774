package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/store/storetest"
	"github.com/siaga112/siaga112/web"
)

// filledLedger is a ledger with n calls.
func filledLedger(t *testing.T, n int) ledger {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := storetest.Fill(s, n); err != nil {
		t.Fatal(err)
	}
	return ledger{s, time.UTC}
}

// interrupted is an export that ends after so many chunks, in the middle of the next.
func interrupted(ctx context.Context, l ledger, chunks int) exporting {
	return func(w io.Writer, r web.Export) (export.Progress, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		told := r.Progress
		r.Progress = func(p export.Progress) {
			if chunks == 0 {
				return
			}
			if told(p); chunks == 1 {
				cancel()
			}
			chunks--
		}
		_, err := l.Export(ctx, w, r)
		return export.Progress{}, err
	}
}

// TestExportGoesOn: an interrupted export leaves no file of its name; the same command goes on and makes the same file.
func TestExportGoesOn(t *testing.T) {
	l := filledLedger(t, 3000)
	whole := func(w io.Writer, r web.Export) (export.Progress, error) { return l.Export(t.Context(), w, r) }
	for _, format := range export.Formats {
		dir := t.TempDir()
		var said bytes.Buffer
		term := terminal{err: &said}
		e := cdrExport{Format: format, Out: filepath.Join(dir, "whole"), Kind: []call.Kind{call.Prank, call.Emergency, export.Unclassified}}
		if err := e.export(term, time.UTC, whole); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(e.Out)
		if err != nil {
			t.Fatal(err)
		}
		e.Out = filepath.Join(dir, "calls")
		for chunks := 2; chunks <= 3; chunks++ {
			if err := e.export(term, time.UTC, interrupted(t.Context(), l, chunks)); !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", format, err)
			}
			if _, err := os.Stat(e.Out); err == nil {
				t.Errorf("%s: half an export has its name", format)
			}
		}
		if left, _ := filepath.Glob(e.Out + ".part*"); len(left) != map[bool]int{true: 2}[export.Resumable(format)] {
			t.Errorf("%s: it left %q", format, left)
		}
		said.Reset()
		if err := e.export(term, time.UTC, whole); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(e.Out)
		if err != nil {
			t.Fatal(err)
		}
		// What is not lines has times of its own, or a later size.
		if export.Resumable(format) && !bytes.Equal(want, got) {
			t.Errorf("%s: %d bytes, want %d", format, len(got), len(want))
		}
		if strings.Contains(said.String(), "going on at record") != export.Resumable(format) || !strings.Contains(said.String(), "calls: ") {
			t.Errorf("%s: it said %q", format, &said)
		}
		if left, _ := filepath.Glob(e.Out + ".*"); left != nil {
			t.Errorf("%s: it left %q", format, left)
		}
	}
}

// TestExportAfterACrash: rows behind the last that were saved are cut off, and a state without its rows begins anew.
func TestExportAfterACrash(t *testing.T) {
	l := filledLedger(t, 1500)
	whole := func(w io.Writer, r web.Export) (export.Progress, error) { return l.Export(t.Context(), w, r) }
	var want []byte
	for _, crash := range []func(p *part) error{
		nil,
		func(p *part) error { _, err := p.file.WriteString("half a row"); return err },
		func(p *part) error { return p.file.Truncate(10) },
	} {
		e := cdrExport{Format: export.JSONL, Out: filepath.Join(t.TempDir(), "calls")}
		if crash != nil {
			r, err := e.request(time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			p, err := openPart(e.Out, &r, time.UTC, false)
			if err != nil {
				t.Fatal(err)
			}
			p.saved = time.Time{} // it is long ago
			r.Progress = p.progress
			if _, err := interrupted(t.Context(), l, 2)(p, r); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if err := errors.Join(crash(p), p.file.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.export(terminal{err: io.Discard}, time.UTC, whole); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(e.Out)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%d bytes, want %d", len(got), len(want))
		}
	}
}

// TestExportOfAnother: what another export left is not gone on with, and not thrown away unasked.
func TestExportOfAnother(t *testing.T) {
	l := filledLedger(t, 1500)
	whole := func(w io.Writer, r web.Export) (export.Progress, error) { return l.Export(t.Context(), w, r) }
	e := cdrExport{Format: export.CSV, Out: filepath.Join(t.TempDir(), "calls"), Mask: "numbers"}
	term := terminal{err: io.Discard}
	if err := e.export(term, time.UTC, interrupted(t.Context(), l, 1)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	e.Mask = ""
	if err := e.export(term, time.UTC, whole); err == nil || !strings.Contains(err.Error(), "--anew") {
		t.Errorf("got %v", err)
	}
	e.Anew = true
	if err := e.export(term, time.UTC, whole); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(e.Out); err != nil || bytes.Contains(got, []byte("*****")) {
		t.Errorf("the masked rows are in it, %v", err)
	}
}

// TestExportActs: each run says what it does before the first row, and how much it was after the last.
func TestExportActs(t *testing.T) {
	l := filledLedger(t, 50)
	var e web.Export
	e.Format, e.By, e.Why, e.Filter.Number = export.CSV, "budi", "audit 7", "+628115550001"
	if _, err := l.Export(t.Context(), io.Discard, e); err != nil {
		t.Fatal(err)
	}
	e.Size = 1 << 40
	if _, err := l.Export(t.Context(), io.Discard, e); !errors.Is(err, web.ErrConflict) {
		t.Errorf("as of more than there is: %v", err)
	}
	var acts []string
	for p, err := range l.store.Scan(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r, err := call.ParseRecord(p.Body); err != nil || r.Act != nil {
			acts = append(acts, r.Act.What+" "+string(r.Act.By)+" "+strings.TrimLeft(r.Act.Detail, "acdefghjkmnpqrstvwxyzABCDEFGHJKMNPQRSTVWXYZ0123456789:"))
		}
	}
	// The checkpoint of the export is the ledger's first: its key is made.
	if len(acts) != 3 || !strings.HasPrefix(acts[2], "key-made ") || acts[0] != "export budi  from - to - number +62811*****01; audit 7" || !strings.HasPrefix(acts[1], "exported budi  0 rows as of record ") {
		t.Errorf("%q", acts)
	}
	if i := slices.Index(acts, "5550001"); i >= 0 {
		t.Error("a number is in the ledger")
	}
}
