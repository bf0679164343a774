package export_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/export"
)

var arrival = time.Date(2026, 3, 1, 1, 0, 0, 123456789, time.UTC)

func wib() *time.Location { return time.FixedZone("WIB", 7*3600) }

// log is a Source in memory.
type log struct {
	pieces []call.Sealed
	reads  int
	err    error
}

func (l *log) Size() (uint64, error) { return uint64(len(l.pieces)), l.err }

func (l *log) Scan(_ context.Context, from uint64) iter.Seq2[call.Sealed, error] {
	return func(yield func(call.Sealed, error) bool) {
		for i := from; i < uint64(len(l.pieces)); i++ {
			l.reads++
			var err error
			if l.pieces[i].Of == "" {
				err = call.ErrFormat
			}
			if !yield(l.pieces[i], err) {
				return
			}
		}
	}
}

func (l *log) Pieces(id call.ID) ([]call.Sealed, error) {
	var ps []call.Sealed
	for _, p := range l.pieces {
		if p.Of == id {
			ps = append(ps, p)
		}
	}
	return ps, nil
}

// add seals entries of one subject as a piece, after those it has.
func (l *log) add(tb testing.TB, es ...call.Entry) {
	tb.Helper()
	var before []call.Entry
	ps, _ := l.Pieces(es[0].Of)
	for _, p := range ps {
		_, some, err := call.ParseBody(p.Body)
		if err != nil {
			tb.Fatal(err)
		}
		before = append(before, some...)
	}
	body, err := call.AppendRecord(nil, call.Fold(slices.Values(append(before, es...))))
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range es {
		if body, err = call.AppendEntry(body, e); err != nil {
			tb.Fatal(err)
		}
	}
	p := call.Sealed{Seq: uint64(len(l.pieces)), Of: es[0].Of, Body: body}
	p.Leaf = call.LeafHash(p.Nonce, p.Body)
	l.pieces = append(l.pieces, p)
}

func id(n int) call.ID { return call.ID(fmt.Sprintf("c01ARZ3NDEKTSV4RRFFQ6%06d", n)) }

func entries(of call.ID, at time.Time, events ...call.Event) []call.Entry {
	es := make([]call.Entry, len(events))
	for i, ev := range events {
		es[i] = call.Entry{Of: of, N: uint32(i) + 1, At: at.Add(time.Duration(i) * 1500 * time.Millisecond), Event: ev}
	}
	return es
}

func answered(n int) []call.Entry {
	return entries(
		id(n), arrival.Add(time.Duration(n)*time.Hour),
		call.Arrived{Trunk: "telkom", Called: "112", SIPCallID: "a@b", Caller: call.Caller{Number: "+628115550001", Trust: call.Asserted}},
		call.Scored{P: 0.8125, Why: []call.Reason{{Kind: "prank", Count: 3, Days: 2, Last: arrival}, {Kind: "silent", Count: 1}}},
		call.Offered{Leg: 1, To: call.Party{Taker: "sari", Department: "BPBD"}, For: "answer"},
		call.Answered{Leg: 0},
		call.Answered{Leg: 1},
		call.Left{Leg: 1, By: "taker"},
		call.Left{Leg: 0, By: "desk"},
		call.Ended{Outcome: call.WasAnswered},
	)
}

func rejected(n int) []call.Entry {
	return entries(
		id(n), arrival.Add(time.Duration(n)*time.Hour),
		call.Arrived{Trunk: "=telkom", Called: "@118", SIPCallID: "-x\"y,\n", Caller: call.Caller{Trust: call.None}, Reject: 404},
		call.Scored{P: -1},
		call.Left{Leg: 0, By: "node", Code: 404},
		call.Ended{Outcome: call.WasRejected},
	)
}

// sample is two calls, a shift between them, and an amendment of the first.
func sample(tb testing.TB) *log {
	tb.Helper()
	l := &log{}
	l.add(tb, answered(0)...)
	l.add(tb, call.Entry{
		Of: "s01ARZ3NDEKTSV4RRFFQ6000001", N: 1, At: arrival, Event: call.TakerChanged{Taker: "sari", State: call.Off},
	})
	l.add(tb, rejected(1)...)
	l.add(tb, call.Entry{Of: id(0), N: 9, At: arrival.Add(time.Hour), Event: call.Classified{By: "sari", Kind: call.Prank}})
	return l
}

func TestCSV(t *testing.T) {
	l := sample(t)
	var b bytes.Buffer
	n, err := export.WriteCSV(&b, export.Rows(t.Context(), l, export.Span{}), wib())
	if n != 2 || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	want := "call_id,arrived_at,trunk,caller,caller_trust,called,outcome,code,wait_s,talk_s,taker,department,kind,prank_p," +
		"prank_reasons,sip_call_id,seq,leaf\r\n" +
		string(id(0)) + ",2026-03-01T08:00:00.123+07:00,telkom,+628115550001,asserted,112,answered,,6.000,3.000,sari,BPBD," +
		"prank,0.813,prank=3 days=2 last=2026-03-01T08:00:00.123+07:00; silent=1,a@b,0," + leaf(l, 0) + "\r\n" +
		string(id(1)) + ",2026-03-01T09:00:00.123+07:00,'=telkom,,none,'@118,rejected,404,3.000,0.000,,," +
		",,,\"'-x\"\"y,\r\n\",2," + leaf(l, 2) + "\r\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(export.Names(), lines[0]); d != "" {
		t.Error(d)
	}
}

func leaf(l *log, seq int) string { return fmt.Sprintf("%x", l.pieces[seq].Leaf) }

func TestJSONL(t *testing.T) {
	l := sample(t)
	var b bytes.Buffer
	n, err := export.WriteJSONL(&b, export.Rows(t.Context(), l, export.Span{}), wib())
	if n != 2 || err != nil {
		t.Fatalf("%d rows, %v", n, err)
	}
	want := `{"call_id":"` + string(id(0)) + `","arrived_at":"2026-03-01T08:00:00.123+07:00","trunk":"telkom",` +
		`"caller":"+628115550001","caller_trust":"asserted","called":"112","outcome":"answered","code":null,"wait_s":6,` +
		`"talk_s":3,"taker":"sari","department":"BPBD","kind":"prank","prank_p":0.813,"prank_reasons":` +
		`["prank=3 days=2 last=2026-03-01T08:00:00.123+07:00","silent=1"],"sip_call_id":"a@b","seq":0,"leaf":"` + leaf(l, 0) + `"}
{"call_id":"` + string(id(1)) + `","arrived_at":"2026-03-01T09:00:00.123+07:00","trunk":"=telkom","caller":"",` +
		`"caller_trust":"none","called":"@118","outcome":"rejected","code":404,"wait_s":3,"talk_s":0,"taker":"",` +
		`"department":"","kind":"","prank_p":null,"prank_reasons":[],"sip_call_id":"-x\"y,\n","seq":2,"leaf":"` + leaf(l, 2) + `"}
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
	dec := json.NewDecoder(&b)
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		t.Fatal(err)
	}
	for _, name := range export.Names() {
		if _, ok := object[name]; !ok {
			t.Errorf("%s is missing", name)
		}
		delete(object, name)
	}
	if len(object) > 0 {
		t.Errorf("more names: %v", object)
	}
}

func seqs(t *testing.T, rows iter.Seq2[export.Row, error]) []uint64 {
	t.Helper()
	var got []uint64
	for r, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Seq)
	}
	return got
}

func TestSpan(t *testing.T) {
	l := &log{}
	for i := range 10 {
		l.add(t, rejected(i)...)
	}
	at := func(h int) time.Time { return arrival.Add(time.Duration(h) * time.Hour) }
	for _, c := range []struct {
		span export.Span
		want []uint64
	}{
		{export.Span{From: at(8)}, []uint64{8, 9}},
		{export.Span{To: at(2)}, []uint64{0, 1}},
		{export.Span{From: at(3), To: at(5)}, []uint64{3, 4}},
		{export.Span{From: at(5), To: at(5)}, nil},
		{export.Span{From: at(2).In(wib()), To: at(3).In(wib())}, []uint64{2}},
	} {
		if d := cmp.Diff(c.want, seqs(t, export.Rows(t.Context(), l, c.span))); d != "" {
			t.Errorf("%v: %s", c.span, d)
		}
	}
}

// TestRowsAreAsOfTheStart: what is sealed while the export runs is not in it.
func TestRowsAreAsOfTheStart(t *testing.T) {
	l := sample(t)
	n := 0
	for r, err := range export.Rows(t.Context(), l, export.Span{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 1 {
			l.add(t, call.Entry{Of: id(1), N: 5, At: arrival, Event: call.Classified{Kind: call.Silent}})
			l.add(t, rejected(7)...)
		}
		if r.Seq == 2 && r.Record.Kind != "" {
			t.Errorf("the second call is %s already", r.Record.Kind)
		}
	}
	if n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

func TestRowsStop(t *testing.T) {
	l := sample(t)
	for _, err := range export.Rows(t.Context(), l, export.Span{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if l.reads != 1 {
		t.Errorf("%d pieces were read for one row", l.reads)
	}
	for _, err := range export.Rows(t.Context(), &log{}, export.Span{}) {
		t.Errorf("an empty store has a row, %v", err)
	}
}

func TestRowsErrors(t *testing.T) {
	damaged := sample(t)
	damaged.pieces[2].Of = ""
	garbage := sample(t)
	garbage.pieces[3].Body = []byte("?\n")
	noLine := sample(t)
	noLine.pieces[2].Body = []byte("?")
	broken := sample(t)
	broken.err = io.ErrUnexpectedEOF
	for name, c := range map[string]struct {
		src  *log
		rows int
		want error
	}{
		"a damaged record":  {damaged, 1, call.ErrFormat},
		"no record":         {garbage, 0, call.ErrFormat},
		"no line":           {noLine, 1, call.ErrFormat},
		"an unread source":  {broken, 0, io.ErrUnexpectedEOF},
		"nothing is broken": {sample(t), 2, nil},
	} {
		for format, write := range map[string]func(io.Writer, iter.Seq2[export.Row, error], *time.Location) (int, error){
			"csv": export.WriteCSV, "jsonl": export.WriteJSONL,
		} {
			var b bytes.Buffer
			n, err := write(&b, export.Rows(t.Context(), c.src, export.Span{}), time.UTC)
			if n != c.rows || !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %d rows, %v; want %d, %v", name, format, n, err, c.rows, c.want)
			}
			if got := strings.Count(b.String(), string(id(0))); got != min(1, c.rows) {
				t.Errorf("%s, %s: the first row is written %d times", name, format, got)
			}
		}
	}
}

func TestErasedHasNoRow(t *testing.T) {
	l := sample(t)
	l.pieces[2].Body = nil
	if d := cmp.Diff([]uint64{0}, seqs(t, export.Rows(t.Context(), l, export.Span{}))); d != "" {
		t.Error(d)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWriterFails(t *testing.T) {
	l := &log{}
	for i := range 40 {
		l.add(t, answered(i)...)
	}
	if _, err := export.WriteCSV(full{}, export.Rows(t.Context(), l, export.Span{}), time.UTC); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("csv: %v", err)
	}
	if _, err := export.WriteJSONL(full{}, export.Rows(t.Context(), l, export.Span{}), time.UTC); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("jsonl: %v", err)
	}
}

func TestSafe(t *testing.T) {
	for _, as := range []string{
		"", "112", "0811555", "+628115550001", "+1", "a=b", "a@b", "prank=3", "anonymous", "' x", " =1", "é",
		"+" + strings.Repeat("1", 32),
	} {
		if got := export.Safe(as); got != as {
			t.Errorf("%q became %q", as, got)
		}
	}
	for _, formula := range []string{
		"=1+1", "=cmd|'/C calc'!A0", "+1+1", "+", "+62 811", "+62811-555", "+SUM(A1)", "++1", "+1e5", "+1.5", "-1", "-", "@SUM(A1)",
		"\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x", "+６２", "+62\x00", "+" + strings.Repeat("1", 33),
	} {
		if got := export.Safe(formula); got != "'"+formula {
			t.Errorf("%q became %q", formula, got)
		}
	}
}

func FuzzSafe(f *testing.F) {
	for _, s := range []string{"", "+628115550001", "=1", "+1+1", "\xff=", "＝"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := export.Safe(s)
		if strings.TrimPrefix(got, "'") != strings.TrimPrefix(s, "'") {
			t.Fatalf("%q became %q", s, got)
		}
		if got == "" || !strings.ContainsRune("=+-@\t\r\n", rune(got[0])) {
			return
		}
		if digits, err := strconv.ParseFloat(got[1:], 64); got[0] != '+' || err != nil || digits < 0 || strings.ContainsAny(got[1:], "+-.eExXpP_iInN") {
			t.Errorf("%q is written as it is", got)
		}
	})
}

func BenchmarkCSV(b *testing.B) {
	l := &log{}
	l.add(b, answered(0)...)
	var row export.Row
	for r, err := range export.Rows(b.Context(), l, export.Span{}) {
		if err != nil {
			b.Fatal(err)
		}
		row = r
	}
	rows := func(yield func(export.Row, error) bool) {
		for b.Loop() {
			if !yield(row, nil) {
				return
			}
		}
	}
	b.ReportAllocs()
	if _, err := export.WriteCSV(io.Discard, rows, wib()); err != nil {
		b.Fatal(err)
	}
}
