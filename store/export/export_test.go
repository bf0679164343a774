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
	"pgregory.net/rapid"

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
			if l.pieces[i].Of == "" && len(l.pieces[i].Body) > 0 {
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

// write is an export into memory.
func write(tb testing.TB, src export.Source, o export.Options) (string, export.Progress, error) {
	tb.Helper()
	if o.Zone == nil {
		o.Zone = wib()
	}
	var b bytes.Buffer
	p, err := export.Write(tb.Context(), &b, src, o)
	return b.String(), p, err
}

func TestCSV(t *testing.T) {
	l := sample(t)
	got, p, err := write(t, l, export.Options{Format: export.CSV})
	if p.Rows != 2 || p.Next != 4 || p.Size != 4 || p.Bytes != uint64(len(got)) || err != nil {
		t.Fatalf("%+v, %v", p, err)
	}
	want := "call_id,arrived_at,trunk,caller,caller_trust,called,outcome,code,wait_s,talk_s,taker,department,kind,prank_p," +
		"prank_reasons,sip_call_id,seq,leaf,answered_at,ended_at,other_takers,kind_by,note,reason,priority,overtaken,test\r\n" +
		string(id(0)) + ",2026-03-01T08:00:00.123+07:00,telkom,+628115550001,asserted,112,answered,,6.000,3.000,sari,BPBD," +
		"prank,0.813,prank=3 days=2 last=2026-03-01T08:00:00.123+07:00; silent=1,a@b,0," + leaf(l, 0) +
		",2026-03-01T08:00:06.123+07:00,2026-03-01T08:00:09.123+07:00,,sari,,,,0,false\r\n" +
		string(id(1)) + ",2026-03-01T09:00:00.123+07:00,'=telkom,,none,'@118,rejected,404,3.000,0.000,,," +
		",,,\"'-x\"\"y,\n\",2," + leaf(l, 2) + ",,2026-03-01T09:00:03.123+07:00,,,,,,0,false\r\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	lines, err := csv.NewReader(strings.NewReader(got)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(export.Names(), lines[0]); d != "" {
		t.Error(d)
	}
}

// TestExcel: what a spreadsheet of the locale opens by a double click.
func TestExcel(t *testing.T) {
	l := sample(t)
	for locale, want := range map[string]string{
		"":   ";2026-03-01 08:00:00;telkom;+628115550001;asserted;112;answered;;6,000;3,000;sari;",
		"id": ";2026-03-01 08:00:00;telkom;+628115550001;asserted;112;answered;;6,000;3,000;sari;",
		"en": ",2026-03-01 08:00:00,telkom,+628115550001,asserted,112,answered,,6.000,3.000,sari,",
	} {
		got, _, err := write(t, l, export.Options{Format: export.CSV, Profile: export.Excel, Locale: locale})
		if err != nil || !strings.HasPrefix(got, "\ufeffcall_id") || !strings.Contains(got, string(id(0))+want) || !strings.Contains(got, "'@118") {
			t.Errorf("%s: %v\n%s", locale, err, got)
		}
		if locale != "en" && !strings.Contains(got, `2026-03-01T08:00:00.123+07:00; silent=1"`) {
			t.Errorf("a field with the separator is not in quotes:\n%s", got)
		}
	}
}

func leaf(l *log, seq int) string { return fmt.Sprintf("%x", l.pieces[seq].Leaf) }

func TestJSONL(t *testing.T) {
	l := sample(t)
	got, p, err := write(t, l, export.Options{Format: export.JSONL})
	if p.Rows != 2 || err != nil {
		t.Fatalf("%+v, %v", p, err)
	}
	want := `{"call_id":"` + string(id(0)) + `","arrived_at":"2026-03-01T08:00:00.123+07:00","trunk":"telkom",` +
		`"caller":"+628115550001","caller_trust":"asserted","called":"112","outcome":"answered","code":null,"wait_s":6,` +
		`"talk_s":3,"taker":"sari","department":"BPBD","kind":"prank","prank_p":0.813,"prank_reasons":` +
		`["prank=3 days=2 last=2026-03-01T08:00:00.123+07:00","silent=1"],"sip_call_id":"a@b","seq":0,"leaf":"` + leaf(l, 0) +
		`","answered_at":"2026-03-01T08:00:06.123+07:00","ended_at":"2026-03-01T08:00:09.123+07:00","other_takers":[],` +
		`"kind_by":"sari","note":"","reason":"","priority":"","overtaken":0,"test":false}
{"call_id":"` + string(id(1)) + `","arrived_at":"2026-03-01T09:00:00.123+07:00","trunk":"=telkom","caller":"",` +
		`"caller_trust":"none","called":"@118","outcome":"rejected","code":404,"wait_s":3,"talk_s":0,"taker":"",` +
		`"department":"","kind":"","prank_p":null,"prank_reasons":[],"sip_call_id":"-x\"y,\n","seq":2,"leaf":"` + leaf(l, 2) +
		`","answered_at":null,"ended_at":"2026-03-01T09:00:03.123+07:00","other_takers":[],"kind_by":"","note":"",` +
		`"reason":"","priority":"","overtaken":0,"test":false}
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	dec := json.NewDecoder(strings.NewReader(got))
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

// TestJSONIsGos: a text is written as encoding/json writes it.
func TestJSONIsGos(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("a\"\\\b\f\n\r\t\x00\x1f\x7f<&>\u2028\u2029\ufffdé🙂")), 0, 20, -1),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "s")
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.String(), string(export.AppendJSON(nil, s))+"\n"); d != "" {
			t.Fatal(d)
		}
	})
}

// TestTimesAreGos: a time is written as the standard library writes it.
func TestTimesAreGos(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.IntRange(-12*60, 14*60).Draw(t, "minutes")*60)
		at := time.Unix(rapid.Int64Range(-1e9, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).In(zone)
		if d := cmp.Diff(at.Format("2006-01-02T15:04:05.000Z07:00"), string(export.AppendTime(nil, at, at.Location()))); d != "" {
			t.Fatal(d)
		}
	})
}

// TestForeign: the lines that tools for Asterisk and FreeSWITCH read.
func TestForeign(t *testing.T) {
	for format, want := range map[string]string{
		export.Asterisk: `"BPBD","+628115550001","112","telkom","+628115550001","SIP/telkom","SIP/sari","Queue","112",` +
			`"2026-03-01 08:00:00","2026-03-01 08:00:06","2026-03-01 08:00:09",9,3,"ANSWERED","DOCUMENTATION","` + string(id(0)) + `","prank"
"","","'@118","'=telkom","","SIP/=telkom","","Queue","'@118",` +
			`"2026-03-01 09:00:00",,"2026-03-01 09:00:03",3,0,"FAILED","DOCUMENTATION","` + string(id(1)) + `",""
`,
		export.FreeSWITCH: `"","+628115550001","112","telkom","2026-03-01 08:00:00","2026-03-01 08:00:06","2026-03-01 08:00:09",` +
			`"9","3","NORMAL_CLEARING","` + string(id(0)) + `","","BPBD","",""
"","","'@118","'=telkom","2026-03-01 09:00:00","","2026-03-01 09:00:03",` +
			`"3","0","UNALLOCATED_NUMBER","` + string(id(1)) + `","","","",""
`,
	} {
		got, _, err := write(t, sample(t), export.Options{Format: format})
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", format, err, d)
		}
		lines, err := csv.NewReader(strings.NewReader(got)).ReadAll()
		if columns := map[string]int{export.Asterisk: 18, export.FreeSWITCH: 15}[format]; err != nil || len(lines[0]) != columns {
			t.Errorf("%s: %d columns, want %d, %v", format, len(lines[0]), columns, err)
		}
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
		span export.Filter
		want []uint64
	}{
		{export.Filter{From: at(8)}, []uint64{8, 9}},
		{export.Filter{To: at(2)}, []uint64{0, 1}},
		{export.Filter{From: at(3), To: at(5)}, []uint64{3, 4}},
		{export.Filter{From: at(5), To: at(5)}, nil},
		{export.Filter{From: at(2).In(wib()), To: at(3).In(wib())}, []uint64{2}},
	} {
		if d := cmp.Diff(c.want, seqs(t, export.Rows(t.Context(), l, c.span))); d != "" {
			t.Errorf("%+v: %s", c.span, d)
		}
	}
}

// TestRowsAreAsOfTheStart: what is sealed while the export runs is not in it.
func TestRowsAreAsOfTheStart(t *testing.T) {
	l := sample(t)
	n := 0
	for r, err := range export.Rows(t.Context(), l, export.Filter{}) {
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
	l := &log{}
	for i := range 1000 {
		l.add(t, rejected(i)...)
	}
	for _, err := range export.Rows(t.Context(), l, export.Filter{}) {
		if err != nil {
			t.Error(err)
		}
		break
	}
	if l.reads > 300 {
		t.Errorf("%d pieces were read for one row", l.reads)
	}
	for _, err := range export.Rows(t.Context(), &log{}, export.Filter{}) {
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
		for _, format := range export.Formats {
			got, p, err := write(t, c.src, export.Options{Format: format})
			if p.Rows != uint64(c.rows) || !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %d rows, %v; want %d, %v", name, format, p.Rows, err, c.rows, c.want)
			}
			if n := strings.Count(got, string(id(0))); export.Resumable(format) && n != min(1, c.rows) {
				t.Errorf("%s, %s: the first row is written %d times", name, format, n)
			}
		}
	}
}

func TestErasedHasNoRow(t *testing.T) {
	l := sample(t)
	l.pieces[2].Body = nil
	if d := cmp.Diff([]uint64{0}, seqs(t, export.Rows(t.Context(), l, export.Filter{}))); d != "" {
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
	for _, format := range export.Formats {
		o := export.Options{Format: format, Zone: time.UTC}
		if _, err := export.Write(t.Context(), full{}, l, o); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%s: %v", format, err)
		}
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
