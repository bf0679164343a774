package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/web"
)

// audited is a ledger that answers an auditor, and notes what it was asked.
type audited struct {
	web.Ledger
	asked []string
	err   error
}

func (a *audited) note(format string, args ...any) error {
	a.asked = append(a.asked, fmt.Sprintf(format, args...))
	return a.err
}

func (a *audited) Key(context.Context) (string, error) { return "key", a.note("key") }

func (a *audited) Checkpoint(context.Context) (string, error) {
	return "note\n\n— a\n", a.note("checkpoint")
}

func (a *audited) Prove(_ context.Context, what string) ([]string, error) {
	return []string{"one\n", "two\n"}, a.note("prove %s", what)
}

func (a *audited) ProveSince(_ context.Context, old string) (string, error) {
	return "since\n", a.note("since %q", old)
}

// auditor serves a ledger on a socket and gives its client.
func auditor(t *testing.T, l web.Ledger) *web.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	ln, err := web.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	h := web.New(web.Backend{Ledger: l}, zap.NewNop())
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	c := web.Dial(path)
	t.Cleanup(func() { c.Close(); _ = srv.Close(); h.Close(); <-done })
	return c
}

func TestAuditor(t *testing.T) {
	l := &audited{}
	c := auditor(t, l)
	key, err1 := c.Key(t.Context())
	checkpoint, err2 := c.Checkpoint(t.Context())
	proofs, err3 := c.Prove(t.Context(), "c/1 ?")
	since, err4 := c.ProveSince(t.Context(), "old\n\n— x\n")
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	want := []string{"key", "checkpoint", "prove c/1 ?", `since "old\n\n— x\n"`}
	if diff := cmp.Diff(want, l.asked); diff != "" {
		t.Error(diff)
	}
	got := []string{key, checkpoint, proofs[0], proofs[1], since}
	if diff := cmp.Diff([]string{"key", "note\n\n— a\n", "one\n", "two\n", "since\n"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAuditorFails(t *testing.T) {
	l := &audited{err: fmt.Errorf("the history was rewritten: %w", web.ErrConflict)}
	c := auditor(t, l)
	_, err1 := c.Key(t.Context())
	_, err2 := c.Checkpoint(t.Context())
	_, err3 := c.Prove(t.Context(), "1")
	_, err4 := c.ProveSince(t.Context(), "x")
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, web.ErrConflict) || !strings.Contains(err.Error(), "rewritten") {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestOlderGateway: a running gateway of an older version knows nothing of it, and that is what people are told.
func TestOlderGateway(t *testing.T) {
	var none struct{ web.Ledger }
	c := auditor(t, none)
	for _, ask := range []func() error{
		func() error { _, err := c.Key(t.Context()); return err },
		func() error { _, err := c.Prove(t.Context(), "1"); return err },
	} {
		if err := ask(); !errors.Is(err, web.ErrNoAuditor) {
			t.Errorf("%v", err)
		}
	}
}
