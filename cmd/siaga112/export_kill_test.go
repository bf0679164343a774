package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

// stalling is a ledger of which an export stops after its second chunk, until whoever asked for it has gone.
type stalling struct {
	ledger
	stall atomic.Bool
}

func (l *stalling) Export(ctx context.Context, w io.Writer, e web.Export) (export.Progress, error) {
	if !l.stall.Load() {
		return l.ledger.Export(ctx, w, e)
	}
	told, chunks := e.Progress, 0
	e.Progress = func(p export.Progress) {
		if told(p); chunks == 1 {
			<-ctx.Done()
		}
		chunks++
	}
	return l.ledger.Export(ctx, w, e)
}

// TestExportGoesOnAfterAKill: the program is killed in the middle of an export; the same command makes the whole file.
func TestExportGoesOnAfterAKill(t *testing.T) {
	program := build(t)
	file, _ := configured(t)
	l := &stalling{ledger: filledLedger(t, 3000)}
	l.stall.Store(true)
	socket := filepath.Join(filepath.Dir(file), "data", config.SocketName)
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := web.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: web.New(web.Backend{Ledger: l}, zap.NewNop())}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-served); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})

	out := filepath.Join(t.TempDir(), "calls.csv")
	args := []string{"-c", file, "cdr", "export", "--out", out}
	p := start(t, exec.Command(program, args...))
	eventually(t, "it has saved how far it is", func() bool {
		_, err := os.Stat(out + ".part.json")
		return err == nil
	})
	if p.ended() {
		t.Fatal("it has ended before it was killed")
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
	if _, err := os.Stat(out); err == nil {
		t.Error("half an export has its name")
	}
	l.stall.Store(false)
	if said := run(t, program, args...); !strings.Contains(said, "going on at record") {
		t.Errorf("it said %q", said)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	var whole web.Export
	whole.Format = export.CSV
	if _, err := l.Export(t.Context(), &want, whole); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes, want %d", len(got), want.Len())
	}
	if left, _ := filepath.Glob(out + ".*"); left != nil {
		t.Errorf("it left %q", left)
	}
}
