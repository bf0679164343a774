package web_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

// asked is a ledger that notes the export that it is asked for, and tells how far it is.
type asked struct {
	web.Ledger
	got web.Export
}

func (a *asked) Export(_ context.Context, w io.Writer, e web.Export) (export.Progress, error) {
	a.got = e
	p := export.Progress{Next: 3, Size: 7, Rows: 2, Erased: 1}
	if e.Progress != nil {
		e.Progress(p)
	}
	_, err := io.WriteString(w, "PK")
	return p, err
}

// full is a bundle of everything that can be asked for.
func full() web.Export {
	var e web.Export
	e.Format, e.By, e.Why = web.Bundle, "a b", "c & d"
	e.Filter = export.Filter{
		From: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC),
		Outcomes: []call.Outcome{call.WasAnswered}, Departments: []string{"fire, east", "police"},
		Kinds: []call.Kind{call.Prank, export.Unclassified}, Trunks: []string{"telkom"}, Number: "+628115550001",
	}
	return e
}

// TestBundleIsAnExport: the socket carries all that a bundle can be asked for, and how far it is.
func TestBundleIsAnExport(t *testing.T) {
	l := &asked{}
	c := auditor(t, l)
	e, far := full(), 0
	e.Progress = func(p export.Progress) { far = int(p.Next) }
	var b strings.Builder
	p, err := c.Export(t.Context(), &b, e)
	if err != nil || b.String() != "PK" || p.Rows != 2 || far != 3 {
		t.Errorf("%q %+v %d %v", b.String(), p, far, err)
	}
	if d := cmp.Diff(full(), l.got, cmpopts.IgnoreFields(export.Options{}, "Progress", "sheetRows")); d != "" {
		t.Error(d)
	}
	want := "bundle from 2026-01-02T00:00:00Z to 2026-01-03T00:00:00Z outcome answered department fire, east,police kind prank,none " +
		"trunk telkom number +62811*****01; c & d"
	if got := e.Detail(); got != want || e.All() || !(web.Export{By: "a", Why: "b"}).All() {
		t.Errorf("%s", got)
	}
}

// TestCheckBundle: what a bundle cannot be is refused, with the reason.
func TestCheckBundle(t *testing.T) {
	for _, c := range []struct {
		change func(e *web.Export)
		want   string
	}{
		{func(*web.Export) {}, ""},
		{func(e *web.Export) { e.Mask = true }, "cannot be masked: its records are shown as they were hashed"},
		{func(e *web.Export) { e.Profile = export.Excel }, "no profile"},
		{func(e *web.Export) { e.Locale = "id" }, "no locale"},
		{func(e *web.Export) { e.From, e.Size = 1, 2 }, "begins anew"},
		{func(e *web.Export) { e.Size = 2 }, "as of the checkpoint"},
		{func(e *web.Export) { e.By = "" }, "want by and why"},
		{func(e *web.Export) { e.Why = "" }, "want by and why"},
		{func(e *web.Export) { e.Filter.Outcomes = []call.Outcome{"lost"} }, `outcome "lost"`},
		{func(e *web.Export) { e.Format = "pdf" }, "freeswitch, bundle"},
	} {
		e := full()
		c.change(&e)
		err := web.CheckExport(e)
		if c.want == "" && err == nil {
			continue
		}
		if !errors.Is(err, web.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

// TestMaskedBundle: the socket refuses it, too.
func TestMaskedBundle(t *testing.T) {
	c := auditor(t, &asked{})
	e := full()
	e.Mask = true
	if _, err := c.Export(t.Context(), io.Discard, e); !errors.Is(err, web.ErrInvalid) || !strings.Contains(err.Error(), "masked") {
		t.Error(err)
	}
}
