package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/web"
)

func (f *fake) Erase(_ context.Context, e web.Erasure) (web.Erased, error) {
	return web.Erased{
		Calls: 2, Records: 3, Acts: 1, Said: []call.ID{"a1"}, Mentions: []call.ID{callID}, Asides: []string{"x"},
	}, f.note("erase %+v", e)
}

func (f *fake) SetHold(_ context.Context, h web.Hold, on bool) error {
	return f.note("hold %s %s %q %v", h.Number, h.Call, h.Reason, on)
}

func (f *fake) Holds(context.Context) ([]web.Hold, error) {
	return []web.Hold{{Number: "0811", Reason: "r", Since: epoch, Act: "a1"}, {Call: callID}}, f.note("holds")
}

func (f *fake) Compact(context.Context) (web.Compacted, error) {
	return web.Compacted{Before: 2, After: 1, Took: time.Second, Pause: time.Millisecond}, f.note("compact")
}

func (f *fake) Backup(ctx context.Context, w io.Writer, name string) error {
	if err := f.note("backup %q", name); err != nil {
		return err
	}
	return f.export(ctx, w)
}

// Each operation of Keeper through a real socket.
func TestKeeper(t *testing.T) {
	whole := bytes.Repeat([]byte("page\x00"), 100_000)
	f := &fake{export: func(_ context.Context, w io.Writer) error { _, err := w.Write(whole); return err }}
	c, _ := serve(t, f)
	ctx := t.Context()
	erased, err := c.Erase(ctx, web.Erasure{Number: "0811", By: "ani", Reason: "r", Order: "1", DryRun: true})
	want := web.Erased{Calls: 2, Records: 3, Acts: 1, Said: []call.ID{"a1"}, Mentions: []call.ID{callID}, Asides: []string{"x"}}
	if d := cmp.Diff(want, erased); err != nil || d != "" {
		t.Error(err, d)
	}
	if err := errors.Join(c.SetHold(ctx, web.Hold{Number: "0811", Reason: "r"}, true), c.SetHold(ctx, web.Hold{Call: callID}, false)); err != nil {
		t.Error(err)
	}
	holds, err := c.Holds(ctx)
	if d := cmp.Diff([]web.Hold{{Number: "0811", Reason: "r", Since: epoch, Act: "a1"}, {Call: callID}}, holds); err != nil || d != "" {
		t.Error(err, d)
	}
	done, err := c.Compact(ctx)
	if err != nil || done != (web.Compacted{Before: 2, After: 1, Took: time.Second, Pause: time.Millisecond}) {
		t.Error(done, err)
	}
	var b bytes.Buffer
	if err := c.Backup(ctx, &b, "monday.db"); err != nil || !bytes.Equal(b.Bytes(), whole) {
		t.Errorf("%d bytes, %v", b.Len(), err)
	}
	if d := cmp.Diff([]string{
		"erase {Number:0811 Calls:[] By:ani Reason:r Order:1 DryRun:true}", `hold 0811  "r" true`,
		"hold  " + string(callID) + ` "" false`, "holds", "compact", `backup "monday.db"`,
	}, f.asked); d != "" {
		t.Error(d)
	}
}

// A backup that fails is an error, before its first byte and after it.
func TestBackupFails(t *testing.T) {
	for written, want := range map[string]string{"": "busy: not possible in this state", "half": "busy: not possible in this state"} {
		f := &fake{export: func(_ context.Context, w io.Writer) error {
			if written != "" {
				if _, err := io.WriteString(w, written); err != nil {
					return err
				}
			}
			return fmt.Errorf("busy: %w", web.ErrConflict)
		}}
		c, _ := serve(t, f)
		if err := c.Backup(t.Context(), io.Discard, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("after %q: %v", written, err)
		}
	}
	f := &fake{}
	w := httptest.NewRecorder()
	handler(t, f).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/backup", http.NoBody))
	if w.Code != http.StatusBadRequest || f.asked != nil {
		t.Errorf("without a name: %d, %q", w.Code, f.asked)
	}
}
