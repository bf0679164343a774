package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

// TestEveryOperation asks each operation through a real socket: the backend must see what was asked, the client what was
// answered.
func TestEveryOperation(t *testing.T) {
	wib := time.FixedZone("WIB", 7*3600)
	f := &fake{
		calls: []call.Record{{Of: callID, FirstAt: epoch, LastAt: epoch.Add(time.Minute), Entries: 9, Trunk: "telkom", Outcome: call.WasAnswered, Wait: 4 * time.Second, Score: &call.Scored{P: -1}}},
		pieces: []call.Sealed{
			{Seq: 7, Of: callID, Body: []byte("{}\n{\"a\":\"\xff\"}\n"), Nonce: [32]byte{1}, Leaf: [32]byte{2}},
			{Seq: 9, Of: callID, Leaf: [32]byte{3}},
		},
		live: []call.Entry{
			{Of: callID, N: 1, At: epoch, Event: call.Arrived{Trunk: "telkom", Called: "112", Caller: call.Caller{Number: "0811", Trust: call.Asserted}}},
			{Of: callID, N: 2, At: epoch, Event: call.Scored{P: 0.75, Delay: 7500 * time.Millisecond, Why: []call.Reason{{Kind: "prank", Count: 3}}}},
		},
		report: web.Report{Arrived: 30, Ended: 29, Live: 1, Records: 44, Root: "cm9vdA==", Bad: []string{"record 3: leaf"}},
		view: web.View{
			At: epoch, Arrived: 3, Ended: 1, Live: 2, Outcomes: map[call.Outcome]uint64{call.WasAbandoned: 1},
			Waiting: []web.Waiting{{ID: callID, Caller: call.Caller{Number: "0811", Trust: call.Claimed}, Since: epoch, P: 0.5, Delay: time.Second, Passed: 2, Ringing: []call.TakerID{"ani"}}},
			Takers:  []web.Taker{{Name: "ani", Department: "BPBD", State: call.Ready, Since: epoch, Call: callID}},
		},
		takers: []web.Taker{
			{Name: "ani", Department: "BPBD", Added: epoch, Digest: "SHA-256", Registered: epoch, Reachable: epoch.Add(1), Rang: epoch.Add(2), Answered: epoch.Add(3)},
			{Name: "budi"},
		},
		export: func(_ context.Context, w io.Writer) error {
			_, err := io.WriteString(w, "call_id\r\n")
			return err
		},
	}
	c, _ := serve(t, f)
	ctx := t.Context()
	var out bytes.Buffer
	type subject struct {
		Pieces []call.Sealed
		Live   []call.Entry
	}
	show := func(id call.ID) (subject, error) {
		p, l, err := c.Show(ctx, id)
		return subject{p, l}, err
	}
	for _, s := range []struct {
		asked string
		want  any
		ask   func() (any, error)
	}{
		{`calls - - "" 50`, f.calls, func() (any, error) { return c.Calls(ctx, web.Query{}) }},
		{`calls 2026-03-01T01:02:03.45Z 2026-03-01T02:02:03.45Z "+62811" 5`, f.calls, func() (any, error) {
			return c.Calls(ctx, web.Query{From: epoch.In(wib), To: epoch.Add(time.Hour), Number: "+62811", Limit: 5})
		}},
		{"show " + string(callID), subject{f.pieces, f.live}, func() (any, error) { return show(callID) }},
		{"show " + string(shiftID), subject{f.pieces, f.live}, func() (any, error) { return show(shiftID) }},
		{
			"export csv excel en from - to 2026-03-01T01:02:03Z outcome answered,test department B,C,D kind prank,none trunk telkom " +
				"number +62811*****01 numbers masked going on at record 1 of 3; audit 7",
			"call_id\r\n{2 3 1 2 9}{2 3 1 2 9}", func() (any, error) {
				var e web.Export
				e.Format, e.Profile, e.Locale, e.Mask, e.From, e.Size, e.By, e.Why = "csv", "excel", "en", true, 1, 3, "budi", "audit 7"
				e.Filter = export.Filter{
					To: epoch, Outcomes: []call.Outcome{call.WasAnswered, call.WasTest}, Departments: []string{"B,C", "D"},
					Kinds: []call.Kind{call.Prank, export.Unclassified}, Trunks: []string{"telkom"}, Number: "+628115550001",
				}
				e.Progress = func(p export.Progress) { fmt.Fprint(&out, p) }
				p, err := c.Export(ctx, &out, e)
				return out.String() + fmt.Sprint(p), err
			},
		},
		{"verify", f.report, func() (any, error) { return c.Verify(ctx) }},
		{"view", f.view, func() (any, error) { return c.View(ctx) }},
		{`classify ` + string(callID) + ` "ani" prank "anak \"kecil\""`, nil, func() (any, error) {
			return nil, c.Classify(ctx, callID, "ani", call.Prank, `anak "kecil"`)
		}},
		{"pause ani", nil, func() (any, error) { return nil, c.Pause(ctx, "ani") }},
		{"ready a/b c", nil, func() (any, error) { return nil, c.Ready(ctx, "a/b c") }},
		{"takers", f.takers, func() (any, error) { return c.Takers(ctx) }},
		{`add ani "Dinas Kesehatan" "rahasia sekali" "SHA-256"`, nil, func() (any, error) {
			return nil, c.AddTaker(ctx, web.Account{Name: "ani", Department: "Dinas Kesehatan", Password: "rahasia sekali", Digest: "SHA-256"})
		}},
		{"remove ani", nil, func() (any, error) { return nil, c.RemoveTaker(ctx, "ani") }},
	} {
		f.asked = nil
		got, err := s.ask()
		if err != nil {
			t.Errorf("%s: %v", s.asked, err)
		}
		if diff := cmp.Diff(s.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s\n%s", s.asked, diff)
		}
		if diff := cmp.Diff([]string{s.asked}, f.asked); diff != "" {
			t.Error(diff)
		}
	}
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
}

// TestErrors: an error of the backend comes out of the client with its sentence and its sentinel.
func TestErrors(t *testing.T) {
	f := &fake{}
	c, _ := serve(t, f)
	ctx := t.Context()
	sentinels := []error{web.ErrInvalid, web.ErrNotFound, web.ErrConflict, web.ErrNotRunning}
	for _, want := range append(sentinels, errors.New("disk on fire")) {
		f.err = fmt.Errorf("call %s: %w", callID, want)
		_, e1 := c.Calls(ctx, web.Query{})
		_, _, e2 := c.Show(ctx, callID)
		_, e3 := c.Verify(ctx)
		_, e4 := c.View(ctx)
		_, e5 := c.Takers(ctx)
		for i, err := range []error{
			e1, e2, e3, e4, e5,
			exported(ctx, c, io.Discard, "csv"),
			c.Classify(ctx, callID, "", call.Prank, ""),
			c.Pause(ctx, "ani"),
			c.Ready(ctx, "ani"),
			c.AddTaker(ctx, web.Account{Name: "ani", Password: "rahasia sekali"}),
			c.RemoveTaker(ctx, "ani"),
		} {
			if err == nil || err.Error() != f.err.Error() {
				t.Errorf("%d: got %v, want %v", i, err, f.err)
			}
			for _, s := range sentinels {
				if errors.Is(err, s) != errors.Is(f.err, s) {
					t.Errorf("%d: %v is %v: got %v", i, err, s, errors.Is(err, s))
				}
			}
		}
	}
}

func TestNobodyServes(t *testing.T) {
	f := &fake{}
	c, stop := serve(t, f)
	if err := c.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := c.Ping(t.Context()); !errors.Is(err, web.ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
	if err := web.Dial(filepath.Join(t.TempDir(), "s.sock")).Ping(t.Context()); !errors.Is(err, web.ErrNotRunning) {
		t.Errorf("no socket: %v", err)
	}
	long := "/" + strings.Repeat("a", 107)
	if err := web.Dial(long).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "has 108 bytes") {
		t.Errorf("a path too long: %v", err)
	}
}

// TestExportStreams: rows are with the client while the export goes on.
func TestExportStreams(t *testing.T) {
	seen := make(chan struct{})
	row := bytes.Repeat([]byte("x"), 64<<10) // more than any buffer on the way
	f := &fake{export: func(ctx context.Context, w io.Writer) error {
		if _, err := w.Write(row); err != nil {
			return err
		}
		select {
		case <-seen:
		case <-ctx.Done():
			return ctx.Err()
		}
		_, err := w.Write([]byte("end"))
		return err
	}}
	c, _ := serve(t, f)
	var got bytes.Buffer
	first := true
	err := exported(t.Context(), c, writer(func(b []byte) (int, error) {
		if first {
			first = false
			close(seen)
		}
		return got.Write(b)
	}), "jsonl")
	if err != nil || got.Len() != len(row)+3 {
		t.Errorf("got %d bytes and %v", got.Len(), err)
	}
}

// exported is an export of all calls.
func exported(ctx context.Context, c *web.Client, w io.Writer, format string) error {
	var e web.Export
	e.Format = format
	_, err := c.Export(ctx, w, e)
	return err
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// TestExportFails: an export that is not whole never looks whole.
func TestExportFails(t *testing.T) {
	for _, rows := range []int{0, 1, 10_000} {
		f := &fake{export: func(_ context.Context, w io.Writer) error {
			for range rows {
				if _, err := io.WriteString(w, "a,b,c\r\n"); err != nil {
					return err
				}
			}
			return errors.New("record 7:\nis “missing”")
		}}
		c, _ := serve(t, f)
		var out bytes.Buffer
		err := exported(t.Context(), c, &out, "csv")
		if err == nil || err.Error() != "record 7:\nis “missing”" || out.Len() != 7*rows {
			t.Errorf("%d rows: got %v after %d bytes", rows, err, out.Len())
		}
	}
}

func TestExportOfNothing(t *testing.T) {
	c, _ := serve(t, &fake{export: func(context.Context, io.Writer) error { return nil }})
	var out bytes.Buffer
	if err := exported(t.Context(), c, &out, "jsonl"); err != nil || out.Len() != 0 {
		t.Errorf("got %q and %v", out.String(), err)
	}
}

func TestExportToAFullDisk(t *testing.T) {
	c, _ := serve(t, &fake{export: func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, "row\n")
		return err
	}})
	full := errors.New("no space left")
	err := exported(t.Context(), c, writer(func([]byte) (int, error) { return 0, full }), "csv")
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

// TestGatewayEndsInAnExport: closing the handler ends what it serves, waits for it, and the client knows.
func TestGatewayEndsInAnExport(t *testing.T) {
	begun, over := make(chan struct{}), false
	f := &fake{export: func(ctx context.Context, w io.Writer) error {
		if _, err := w.Write([]byte("row\n")); err != nil {
			return err
		}
		close(begun)
		<-ctx.Done()
		over = true // read below without a lock: the race detector holds Close to its word
		return ctx.Err()
	}}
	c, stop := serve(t, f)
	result := make(chan error, 1)
	go func() { result <- exported(t.Context(), c, io.Discard, "csv") }()
	<-begun
	stop()
	if !over {
		t.Error("Close did not wait")
	}
	if err := <-result; err == nil {
		t.Error("half an export looked whole")
	}
}
