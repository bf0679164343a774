package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a backend that notes what it is asked and answers what it is told.
type fake struct {
	mu    sync.Mutex
	asked []string
	err   error // of everything

	calls  []call.Record
	pieces []call.Sealed
	live   []call.Entry
	report web.Report
	view   web.View
	takers []web.Taker
	export func(ctx context.Context, w io.Writer) error
}

var _ web.Admin = (*fake)(nil)

func (f *fake) note(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fake) Calls(_ context.Context, q web.Query) ([]call.Record, error) {
	return f.calls, f.note("calls %s %s %q %d", stamp(q.From), stamp(q.To), q.Number, q.Limit)
}

func (f *fake) Show(_ context.Context, id call.ID) ([]call.Sealed, []call.Entry, error) {
	return f.pieces, f.live, f.note("show %s", id)
}

func (f *fake) Export(ctx context.Context, w io.Writer, e web.Export) (export.Progress, error) {
	if err := f.note("export %s", e.Detail()); err != nil {
		return export.Progress{}, err
	}
	p := export.Progress{Next: e.From + 1, Size: 3, Rows: 1, Erased: 2, Bytes: 9}
	err := f.export(ctx, w)
	if err == nil && e.Progress != nil {
		e.Progress(p)
	}
	return p, err
}

func (f *fake) Verify(context.Context) (web.Report, error) { return f.report, f.note("verify") }

func (f *fake) Classify(_ context.Context, id call.ID, by call.TakerID, kind call.Kind, note string) error {
	return f.note("classify %s %q %s %q", id, by, kind, note)
}

func (f *fake) Pause(_ context.Context, taker call.TakerID) error { return f.note("pause %s", taker) }

func (f *fake) Ready(_ context.Context, taker call.TakerID) error { return f.note("ready %s", taker) }
func (f *fake) View(context.Context) (web.View, error)            { return f.view, f.note("view") }
func (f *fake) Takers(context.Context) ([]web.Taker, error)       { return f.takers, f.note("takers") }

func (f *fake) AddTaker(_ context.Context, a web.Account) error {
	return f.note("add %s %q %q %q", a.Name, a.Department, a.Password, a.Digest)
}

func (f *fake) RemoveTaker(_ context.Context, name call.TakerID) error {
	return f.note("remove %s", name)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// handler is the API over the fake.
func handler(t *testing.T, f *fake) *web.Handler {
	t.Helper()
	h := web.New(web.Backend{Ledger: f, Desk: f, Roster: f, Keeper: f}, zaptest.NewLogger(t))
	t.Cleanup(h.Close)
	return h
}

// serve serves the fake on a real socket, and gives a client of it and what stops it.
func serve(t *testing.T, f *fake) (c *web.Client, stop func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	ln, err := web.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	h := handler(t, f)
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = server.Serve(ln)
	})
	c = web.Dial(path)
	stop = sync.OnceFunc(func() {
		h.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		c.Close()
	})
	t.Cleanup(stop)
	return c, stop
}

var epoch = time.Date(2026, 3, 1, 1, 2, 3, 450_000_000, time.UTC)

// ids are ids of the kinds, the same in each run.
const (
	callID  call.ID = "c01JN7QJZ8R0000000000000001"
	shiftID call.ID = "s01JN7QJZ8R0000000000000002"
)

func TestIDsOfTheseTests(t *testing.T) {
	for _, id := range []call.ID{callID, shiftID} {
		if got, err := call.ParseID(strings.ToLower(string(id))); err != nil || got != id {
			t.Errorf("%s: %v", id, err)
		}
	}
}
