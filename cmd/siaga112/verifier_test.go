package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

// otherVerifier runs the other verifier, which was written from docs/audit.md alone, and gives what it says.
func otherVerifier(t *testing.T, args ...string) (said string, ok bool) {
	t.Helper()
	python := tool(t, "python3", "python3")
	script := filepath.Join("..", "..", "testdata", "opened", "verify.py")
	out, err := exec.CommandContext(t.Context(), python, append([]string{script}, args...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), err == nil
}

// bundled writes a bundle into a file.
func bundled(t *testing.T, l ledger, f export.Filter) string {
	t.Helper()
	var e web.Export
	e.Format, e.By, e.Why, e.Filter = web.Bundle, "inspektorat", "audit 7", f
	var b bytes.Buffer
	if _, err := l.Export(t.Context(), &b, e); err != nil {
		t.Fatal(err)
	}
	return kept(t, b.Bytes())
}

// kept writes a file into a folder of its own.
func kept(t *testing.T, content []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// rezipped is a bundle in which each file is as change makes it.
func rezipped(t *testing.T, file string, change func(name string, content []byte) []byte) string {
	t.Helper()
	r, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range r.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err1 := io.ReadAll(in)
		out, err2 := w.Create(f.Name)
		if err := errors.Join(err1, err2, in.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(change(f.Name, content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(r.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return kept(t, b.Bytes())
}

// erasedLedger has calls, a checkpoint that somebody keeps, and then an erasure.
func erasedLedger(t *testing.T, n int) (l ledger, key, old string) {
	t.Helper()
	l = filledLedger(t, n)
	text, err1 := l.Key(t.Context())
	signed, err2 := l.Checkpoint(t.Context())
	_, err3 := l.store.Erase(t.Context(), store.Erasure{Number: firstNumber(t, l), Reason: "court", Order: "7"})
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return l, text, kept(t, []byte(signed))
}

// TestOtherVerifier: a program that shares nothing with this one, but for docs/audit.md, comes to the same verdict.
func TestOtherVerifier(t *testing.T) {
	l, key, old := erasedLedger(t, 150)
	first := bundled(t, l, export.Filter{})
	// Kinds and outcomes lie scattered: many gaps, which the proof fills.
	some := bundled(t, l, export.Filter{Outcomes: []call.Outcome{call.WasAbandoned}})
	all := bundled(t, l, export.Filter{})
	for name, args := range map[string][]string{
		"whole, with erased records": {first, key},
		"with a file of the key":     {first, kept(t, []byte(key+"\n"))},
		"with an old checkpoint":     {all, key, old},
		"filtered":                   {some, key},
		"filtered to nothing":        {bundled(t, l, export.Filter{Trunks: []string{"none"}}), key},
	} {
		if said, ok := otherVerifier(t, args...); !ok || !strings.HasSuffix(said, "\nverified\n") {
			t.Errorf("%s: %s", name, said)
		}
	}
}

// TestOtherVerifierFindsTampering: of each file of a bundle, and of the key and the history.
func TestOtherVerifierFindsTampering(t *testing.T) {
	l, key, old := erasedLedger(t, 30)
	all := bundled(t, l, export.Filter{})
	some := bundled(t, l, export.Filter{Outcomes: []call.Outcome{call.WasAbandoned}})
	other := filledLedger(t, 30)
	otherKey, err1 := other.Key(t.Context())
	otherCheckpoint, err2 := other.Checkpoint(t.Context())
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	replace := func(name, from, to string) func(string, []byte) []byte {
		return func(file string, content []byte) []byte {
			if file != name {
				return content
			}
			changed := bytes.Replace(content, []byte(from), []byte(to), 1)
			if bytes.Equal(changed, content) {
				t.Errorf("%s has no %q", name, from)
			}
			return changed
		}
	}
	for name, args := range map[string][]string{
		"a body":             {rezipped(t, all, replace("records.jsonl", "abandoned", "answered!")), key},
		"the table":          {rezipped(t, all, replace("calls.csv", "abandoned", "answered")), key},
		"the proof":          {rezipped(t, some, replace("proof", "v1\n", "v1\n0 1 AAAA\n")), key},
		"a consistency":      {rezipped(t, some, replace("consistency", "old ", "old 1")), key},
		"the checkpoint":     {rezipped(t, all, replace("checkpoint", "arrived", "arrived!")), key},
		"who":                {rezipped(t, all, replace("manifest.json", "inspektorat", "somebody")), key},
		"another key":        {all, otherKey},
		"another checkpoint": {all, key, kept(t, []byte(otherCheckpoint))},
		"no bundle":          {old, key},
		"no key":             {all, "siaga112/node+00000000+AAAA"},
	} {
		if said, ok := otherVerifier(t, args...); ok || strings.Contains(said, "verified") || strings.Contains(said, "Traceback") {
			t.Errorf("%s: %s", name, said)
		}
	}
	if said, ok := otherVerifier(t, all, key, old); !ok {
		t.Error(said)
	}
}
