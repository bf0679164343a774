package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

func TestPortable(t *testing.T) {
	for _, c := range []struct {
		goos, command string
		want          bool
	}{
		{"linux", "serve", true},
		{"darwin", "cdr verify", true},
		{"windows", "cdr verify <file>", true},
		{"windows", "cdr export", true},
		{"windows", "version", true},
		{"windows", "cdr verify", false},
		{"windows", "serve", false},
		{"windows", "cdr key", false},
	} {
		if got := portable(c.goos, c.command); got != c.want {
			t.Errorf("%s %q: %v", c.goos, c.command, got)
		}
	}
}

// TestWindows: an auditor's machine may run Windows.
func TestWindows(t *testing.T) {
	c := exec.Command("go", "build", "-o", os.DevNull, ".")
	c.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// acts are what the ledger's acts say, in order, without their ids.
func acts(t *testing.T, l ledger) (all []string) {
	t.Helper()
	for p, err := range l.store.Scan(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if r, err := call.ParseRecord(p.Body); err == nil && r.Act != nil {
			all = append(all, r.Act.What)
		}
	}
	return all
}

// TestEveryExportIsSigned: of whatever format, the act stands before the rows and the counts behind them, and the last
// checkpoint is an export's and covers both.
func TestEveryExportIsSigned(t *testing.T) {
	for _, format := range append([]string{web.Bundle}, export.Formats...) {
		t.Run(format, func(t *testing.T) {
			l := filledLedger(t, 20)
			if _, err := l.Key(t.Context()); err != nil {
				t.Fatal(err)
			}
			var e web.Export
			e.Format, e.By, e.Why = format, "budi", "audit 7"
			begun := false
			_, err := l.Export(t.Context(), writerFunc(func(b []byte) (int, error) {
				if !begun {
					begun = true
					if diff := cmp.Diff([]string{"key-made", "export"}, acts(t, l)); diff != "" {
						t.Error(diff)
					}
				}
				return len(b), nil
			}), e)
			if err != nil || !begun {
				t.Fatal(begun, err)
			}
			if diff := cmp.Diff([]string{"key-made", "export", "exported"}, acts(t, l)); diff != "" {
				t.Error(diff)
			}
			signed, err := l.store.LastCheckpoint()
			if err != nil {
				t.Fatal(err)
			}
			key, err := l.verifier(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			at, err := audit.OpenCheckpoint(signed, key)
			if size, _ := l.store.Size(); err != nil || at.Why != audit.WhyExport || at.Size != size {
				t.Errorf("%+v %v", at, err)
			}
		})
	}
}

type writerFunc func(b []byte) (int, error)

func (w writerFunc) Write(b []byte) (int, error) { return w(b) }

// TestBundleFilters: a bundle obeys every filter that an export does, has whole calls, and says what was asked for.
func TestBundleFilters(t *testing.T) {
	l := filledLedger(t, 300)
	var all web.Export
	all.Format = export.JSONL
	for name, filter := range map[string]export.Filter{
		"all":        {},
		"outcome":    {Outcomes: []call.Outcome{call.WasAnswered}},
		"kind":       {Kinds: []call.Kind{call.Prank, export.Unclassified}},
		"department": {Departments: []string{"fire"}},
		"trunk":      {Trunks: []string{"none"}},
		"number":     {Number: firstNumber(t, l)},
	} {
		t.Run(name, func(t *testing.T) {
			e := all
			e.Filter = filter
			rows, err := l.Export(t.Context(), io.Discard, e)
			if err != nil {
				t.Fatal(err)
			}
			e.Format, e.By, e.Why = web.Bundle, "inspektorat", "audit 7"
			var last export.Progress
			e.Progress = func(p export.Progress) {
				if p.Next < last.Next || p.Next > p.Size {
					t.Errorf("after %+v %+v", last, p)
				}
				last = p
			}
			var file bytes.Buffer
			p, err := l.Export(t.Context(), &file, e)
			if err != nil || p.Rows != rows.Rows || last != p || p.Next != p.Size {
				t.Fatalf("%+v, last %+v, want %d rows; %v", p, last, rows.Rows, err)
			}
			b, err := audit.NewBundle(bytes.NewReader(file.Bytes()), int64(file.Len()))
			if err != nil {
				t.Fatal(err)
			}
			key, err1 := l.verifier(t.Context())
			r, err2 := b.Verify(t.Context(), audit.Check{Key: key, Table: callsTable})
			if err := errors.Join(err1, err2, b.Close()); err != nil || !r.OK() {
				t.Fatal(err, r.Bad)
			}
			if m := r.Manifest; m.By != e.By || m.Why != e.Why || (m.Filter == "") != (name == "all") || !strings.Contains(m.Filter, map[bool]string{false: name}[name == "all"]) {
				t.Errorf("%+v", m)
			}
			if r.Counts.Calls != rows.Rows || name != "all" && r.Counts.Acts+r.Counts.Shifts > 0 {
				t.Errorf("%+v, want %d calls", r.Counts, rows.Rows)
			}
		})
	}
}

// firstNumber is the first caller's number.
func firstNumber(t *testing.T, l ledger) string {
	t.Helper()
	for row, err := range export.Rows(t.Context(), l.store, export.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if row.Record.Caller.Number != "" {
			return row.Record.Caller.Number
		}
	}
	t.Fatal("nobody has a number")
	return ""
}
