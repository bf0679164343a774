package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/queue"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

// configured writes a configuration for a program's own gateway and gives its file and address.
func configured(t *testing.T) (file, addr string) {
	t.Helper()
	addr = fmt.Sprintf("%s:%d", gatewayIP, freePort(t, gatewayIP))
	file = filepath.Join(t.TempDir(), config.FileName)
	write(t, file, fmt.Appendf(nil, `
data: ./data
sip: {listen: ["udp:%s"]}
trunks: [{name: telkom, from: ["%s/32"], numbers: ["112"]}]
`, addr, trunkIP))
	return file, addr
}

// The terminal is closed while a caller waits: the gateway stops in order, with a goodbye.
func TestHangupOfTheTerminalStops(t *testing.T) {
	program := build(t)
	file, addr := configured(t)
	gateway := serving(t, program, file)
	caller := sipp(t, addr, "is_hung_up_on", "+628115550008", "-m", "1")
	eventually(t, "the caller waits", func() bool { return strings.Contains(gateway.out.String(), "answered") })
	if err := gateway.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	gateway.wait(t, 10*time.Second)
	caller.wait(t, 10*time.Second)
	if out := run(t, program, "-c", file, "cdr", "verify"); !strings.Contains(out, "1 arrived, 1 ended, 0 live, verified") {
		t.Error(out)
	}
}

// Whoever read the log has gone: calls go on.
func TestLogReaderGone(t *testing.T) {
	program := build(t)
	file, addr := configured(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-c", file, "serve")
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, if all went well
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 64)
	if _, err := r.Read(first); err != nil { // it serves
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	sipp(t, addr, "hangs_up", "+628115550008", "-m", "3", "-r", "10", "-d", "300").wait(t, 20*time.Second)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("serve: %v", err)
	}
}

// A command has the store open when the gateway starts: it waits for that, and then serves.
func TestServeWaitsForACommand(t *testing.T) {
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	s, err := quietStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan *gateway, 1)
	go func() {
		g, err := openWhenFree(t.Context(), cfg, zap.NewNop())
		if err != nil {
			t.Error(err)
		}
		opened <- g
	}()
	time.Sleep(time.Second)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if g := <-opened; g != nil {
		if err := g.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	balanced(t, cfg)
}

// A run that found a call unfinished writes how long nobody was there, by the last thing that the earlier one wrote.
func TestGapOfARestart(t *testing.T) {
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	s, err := quietStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	last := time.Now().Add(-10 * time.Second)
	id := call.NewID(call.Call, last)
	entries := []call.Entry{
		{Of: id, N: 1, At: last.Add(-time.Second), Event: call.Arrived{Trunk: "telkom", Called: "112", Caller: call.Caller{Trust: call.None}}},
		{Of: id, N: 2, At: last, Event: call.Queued{Queue: "112", Since: last.Add(-time.Second)}},
	}
	s.Append(entries, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	g := running(t, cfg)
	g.live(t, 0)
	all, err := entriesOf(t.Context(), g.store)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d calls, %v", len(all), err)
	}
	for _, e := range all[0] {
		if r, ok := e.Event.(call.Restored); ok && (r.Gap < 9*time.Second || r.Gap > time.Minute) {
			t.Errorf("a gap of %s, want about 10 s", r.Gap)
		}
	}
	if r := call.Fold(slices.Values(all[0])); r.Outcome != call.WasRestart {
		t.Errorf("the call ended as %s", r.Outcome)
	}
}

// What administrators do stands in the ledger.
func TestActsAreJournaled(t *testing.T) {
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	g := running(t, cfg)
	b, ctx := g.backend(), t.Context()
	if err := b.Roster.AddTaker(ctx, web.Account{Name: "lusia", Department: "PMI", Password: "rahasia-sekali"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Ledger.Export(ctx, &bytes.Buffer{}, web.Export{Options: export.Options{Format: export.CSV}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Roster.RemoveTaker(ctx, "lusia"); err != nil {
		t.Fatal(err)
	}
	if err := g.Stop(context.WithoutCancel(ctx)); err != nil {
		t.Fatal(err)
	}
	s, err := quietStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var acts []string
	for piece, err := range s.Scan(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		r, err := call.ParseRecord(piece.Body)
		if err != nil {
			t.Fatal(err)
		}
		if r.Act != nil {
			acts = append(acts, r.Act.What)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"key-made", "configured", "taker-added", "export", "exported", "taker-removed", "stopped"}; !slices.Equal(acts, want) {
		t.Errorf("acts %v, want %v", acts, want)
	}
}

// A removed taker's phone is forgotten at once: no call is offered to it any more.
func TestRemovedTakerIsNotRung(t *testing.T) {
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	enroll(t, cfg, "t1")
	g := running(t, cfg)
	startBaresip(t, g.address("UDP"), "t1", "t1-pw", "udp", true, 440)
	g.ready(t, "t1")
	if err := g.backend().Roster.RemoveTaker(t.Context(), "t1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the taker is gone", func() bool { return len(g.desk.View().Takers) == 0 })
}

// A demonstration whose store was tampered with fails.
func TestDemoFailsOnABadLedger(t *testing.T) {
	var out bytes.Buffer
	d := &demo{demoCommand: demoCommand{Data: t.TempDir(), Takers: 1, Seed: 1, Calls: 1}}
	if err := d.prepare(); err != nil {
		t.Fatal(err)
	}
	before, err := d.history(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = d.report(t.Context(), terminal{out: &out}, before) // no call was made
	if err == nil || !strings.Contains(out.String(), "ledger: 0 arrived, 0 ended, 0 live, verified") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestDeskErrors(t *testing.T) {
	for err, want := range map[error]error{
		fmt.Errorf("x: %w", store.ErrUnknown): web.ErrNotFound,
		fmt.Errorf("x: %w", queue.ErrOrder):   web.ErrConflict,
		fmt.Errorf("x: %w", queue.ErrClosed):  web.ErrNotRunning,
	} {
		if got := deskError(err); got == nil || !strings.Contains(got.Error(), want.Error()) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
