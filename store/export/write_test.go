package export_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/export"
)

// many is a log of n calls, some amended, some erased, with a shift now and then.
func many(tb testing.TB, n int) *log {
	tb.Helper()
	l := &log{}
	for i := range n {
		switch i % 5 {
		case 0:
			l.add(tb, rejected(i)...)
		case 4:
			l.add(tb, call.Entry{
				Of: call.ID(fmt.Sprintf("s01ARZ3NDEKTSV4RRFFQ6%06d", i)), N: 1, At: arrival, Event: call.TakerChanged{Taker: "sari", State: call.Off},
			})
			l.add(tb, answered(i)...)
			l.pieces[len(l.pieces)-1].Body, l.pieces[len(l.pieces)-1].Of = nil, ""
		default:
			l.add(tb, answered(i)...)
		}
		if i%3 == 2 && i%5 != 4 {
			l.add(tb, call.Entry{Of: id(i), N: 20, At: arrival.Add(time.Hour), Event: call.Classified{By: "sari", Kind: call.Prank, Note: "a;b,\n\"c\""}})
		}
	}
	return l
}

// TestResume: an export that goes on where another stopped makes the same file, wherever that was.
func TestResume(t *testing.T) {
	l := many(t, 900)
	for _, format := range export.Formats {
		if !export.Resumable(format) {
			continue
		}
		var stops []export.Progress
		o := export.Options{Format: format, Progress: func(p export.Progress) { stops = append(stops, p) }}
		whole, end, err := write(t, l, o)
		if err != nil || end.Rows != 720 || end.Erased != 180 || end.Bytes != uint64(len(whole)) || len(stops) < 4 || stops[len(stops)-1] != end {
			t.Fatalf("%s: %+v, %d stops, %v", format, end, len(stops), err)
		}
		for _, s := range stops {
			rest, p, err := write(t, l, export.Options{Format: format, From: s.Next, Size: s.Size})
			if err != nil || whole != whole[:s.Bytes]+rest || s.Rows+p.Rows != end.Rows || s.Erased+p.Erased != end.Erased {
				t.Fatalf("%s: from %d: %+v after %+v, %v", format, s.Next, p, s, err)
			}
		}
	}
}

// TestFilter: all that is given must fit.
func TestFilter(t *testing.T) {
	l := sample(t)
	for name, c := range map[string]struct {
		f    export.Filter
		want []uint64
	}{
		"nothing":          {export.Filter{}, []uint64{0, 2}},
		"outcome":          {export.Filter{Outcomes: []call.Outcome{call.WasRejected}}, []uint64{2}},
		"outcomes":         {export.Filter{Outcomes: []call.Outcome{call.WasRejected, call.WasAnswered}}, []uint64{0, 2}},
		"department":       {export.Filter{Departments: []string{"BPBD"}}, []uint64{0}},
		"kind, amended":    {export.Filter{Kinds: []call.Kind{call.Prank}}, []uint64{0}},
		"unclassified":     {export.Filter{Kinds: []call.Kind{export.Unclassified}}, []uint64{2}},
		"trunk":            {export.Filter{Trunks: []string{"telkom"}}, []uint64{0}},
		"number":           {export.Filter{Number: "+628115550001"}, []uint64{0}},
		"another number":   {export.Filter{Number: "+62811555000"}, nil},
		"both must hold":   {export.Filter{Trunks: []string{"telkom"}, Outcomes: []call.Outcome{call.WasRejected}}, nil},
		"outcome and kind": {export.Filter{Kinds: []call.Kind{call.Prank}, Outcomes: []call.Outcome{call.WasAnswered}}, []uint64{0}},
	} {
		if d := cmp.Diff(c.want, seqs(t, export.Rows(t.Context(), l, c.f))); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if _, p, err := write(t, l, export.Options{Format: export.CSV, Filter: c.f}); err != nil || p.Rows != uint64(len(c.want)) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func TestMasked(t *testing.T) {
	for number, want := range map[string]string{
		"": "", "+628115550001": "+62811*****01", "628115550001": "62811*****01", "08115550001": "0811*****01", "0811555001": "081*****01",
		"+62811555000123456": "+62811**********56", "112": "*****", "123456": "*****", "1234567": "*****67", "12345678": "1*****78",
		"anonymous": "*****", "+62 811": "*****", "sip:0811555001": "*****", strings.Repeat("1", 40): "*****",
	} {
		if got := export.Masked(number); got != want {
			t.Errorf("%s became %s, want %s", number, got, want)
		}
	}
}

// TestMask: in no format is any of what could tell the caller's number.
func TestMask(t *testing.T) {
	l := &log{}
	es := entries(
		id(0), arrival,
		call.Arrived{
			Trunk: "telkom", Called: "112", SIPCallID: "628115550001-7@10.1.2.3", Priority: "tel:08115550001",
			Caller: call.Caller{Number: "+628115550001", Trust: call.Asserted, Cell: "510-01-08115550001", Place: "08115550001"},
		},
		call.Left{Leg: 0, By: "caller", Reason: `SIP;cause=487;text="+628115550001 caller gone", Q.850;cause=16;text="08115550001", X;cause=08115550001`},
		call.Ended{Outcome: call.WasAbandoned},
		call.Classified{By: "sari", Kind: call.Prank, Note: "panggil 0811-555-0001"},
	)
	l.add(t, es...)
	for _, format := range export.Formats {
		for _, profile := range []string{"", export.Excel} {
			if profile != "" && format != export.CSV {
				continue
			}
			got, _, err := write(t, l, export.Options{Format: format, Profile: profile, Mask: true})
			if err != nil {
				t.Fatal(err)
			}
			if format == export.XLSX {
				got = unzipped(t, got)["xl/worksheets/sheet1.xml"]
			}
			if !strings.Contains(got, "+62811*****01") || strings.Contains(got, "'+") {
				t.Errorf("%s: the masked number is not in it as it is:\n%s", format, got)
			}
			for _, part := range []string{"5550001", "555-0001", "10.1.2.3", "caller gone"} {
				if strings.Contains(got, part) {
					t.Errorf("%s: %s is in it:\n%s", format, part, got)
				}
			}
			if format == export.CSV && !strings.Contains(got, "SIP;cause=487, Q.850;cause=16") {
				t.Errorf("the causes are lost:\n%s", got)
			}
		}
	}
}

// TestMaskHides: at least five digits of a number are gone, and nothing tells them.
func TestMaskHides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`\+?[0-9]{1,20}`).Draw(t, "number")
		got := export.Masked(number)
		if stars := strings.Count(got, "*"); stars < 5 || len(got) > max(len(number), 5) {
			t.Fatalf("%s became %s", number, got)
		}
		if export.Safe(got) != got && strings.HasPrefix(got, "+") && len(got) > 8 && got[1] != '*' {
			t.Fatalf("%s is no number to Safe", got)
		}
	})
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]export.Options{
		"no format":             {},
		"unknown format":        {Format: "ods"},
		"unknown profile":       {Format: export.CSV, Profile: "lotus"},
		"profile of jsonl":      {Format: export.JSONL, Profile: export.Excel},
		"unknown locale":        {Format: export.CSV, Profile: export.Excel, Locale: "de"},
		"locale without excel":  {Format: export.CSV, Locale: "id"},
		"begins past the end":   {Format: export.CSV, From: 9},
		"parquet in the middle": {Format: export.Parquet, From: 1},
	} {
		got, _, err := write(t, sample(t), o)
		if !errors.Is(err, export.ErrOption) || got != "" {
			t.Errorf("%s: %v, %q", name, err, got)
		}
	}
}

// TestCancel: an export that is stopped writes whole rows, says why it ended, and leaves no goroutine.
func TestCancel(t *testing.T) {
	l := many(t, 3000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var b bytes.Buffer
	var last export.Progress
	_, err := export.Write(ctx, &b, l, export.Options{Format: export.CSV, Zone: wib(), Progress: func(p export.Progress) { last = p; cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if last.Next == last.Size || uint64(b.Len()) != last.Bytes || !strings.HasSuffix(b.String(), "\r\n") {
		t.Errorf("%+v, %d bytes", last, b.Len())
	}
}

// TestBegin: every goroutine that computes begins by it.
func TestBegin(t *testing.T) {
	var n atomic.Int32
	if _, _, err := write(t, sample(t), export.Options{Format: export.CSV, Begin: func() { n.Add(1) }}); err != nil {
		t.Fatal(err)
	}
	if n.Load() < 3 {
		t.Errorf("%d goroutines began", n.Load())
	}
}

// endless is a source of n calls, made as they are read.
type endless struct {
	log
	n      uint64
	bodies [][]byte
}

func (e *endless) Size() (uint64, error) { return e.n, nil }

// Latest implements export.Latest.
func (e *endless) Latest(_ context.Context, from, size uint64) iter.Seq2[[]call.Sealed, error] {
	return func(yield func([]call.Sealed, error) bool) {
		for from < size {
			var some []call.Sealed
			for ; from < size && len(some) < 512; from++ {
				some = append(some, call.Sealed{Seq: from, Of: id(0), Body: bytes.Clone(e.bodies[from%2])})
			}
			if !yield(some, nil) {
				return
			}
		}
	}
}

// TestMemory: of ten times as many calls no more is held, and less than is promised. It looks after each chunk.
func TestMemory(t *testing.T) {
	l := &log{}
	l.add(t, answered(0)...)
	l.add(t, rejected(1)...)
	const few, bound = 1200, 64 << 20
	for _, format := range export.Formats {
		many := uint64(12000)
		if format == export.Parquet {
			many = 36000 // more than a row group
		}
		var most [2]uint64
		for i, n := range []uint64{few, many} {
			heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
			runtime.GC()
			o := export.Options{Format: format, Zone: wib(), Progress: func(export.Progress) {
				metrics.Read(heap)
				most[i] = max(most[i], heap[0].Value.Uint64())
			}}
			src := &endless{n: n, bodies: [][]byte{l.pieces[0].Body, l.pieces[1].Body}}
			if p, err := export.Write(t.Context(), io.Discard, src, o); p.Rows != n || err != nil {
				t.Fatalf("%s: %+v, %v", format, p, err)
			}
		}
		t.Logf("%s: %d KB for %d calls, %d KB for %d", format, most[0]>>10, few, most[1]>>10, many)
		if most[1] > bound {
			t.Errorf("%s: %d bytes of heap", format, most[1])
		}
	}
}

// unzipped are the files of a zip.
func unzipped(tb testing.TB, data string) map[string]string {
	tb.Helper()
	z, err := zip.NewReader(strings.NewReader(data), int64(len(data)))
	if err != nil {
		tb.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			tb.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		files[f.Name] = string(b)
	}
	return files
}

// sheet is a sheet as far as the tests read it.
type sheet struct {
	Rows []struct {
		R     int `xml:"r,attr"`
		Cells []struct {
			R    string `xml:"r,attr"`
			S    int    `xml:"s,attr"`
			T    string `xml:"t,attr"`
			V    string `xml:"v"`
			Text string `xml:"is>t"`
		} `xml:"c"`
	} `xml:"sheetData>row"`
}

// cells are a sheet's cells, as text.
func cells(t *testing.T, text string) map[string]string {
	t.Helper()
	var s sheet
	if err := xml.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i, r := range s.Rows {
		if r.R != i+1 {
			t.Errorf("row %d is numbered %d", i+1, r.R)
		}
		for _, c := range r.Cells {
			out[c.R] = c.V + c.Text
		}
	}
	return out
}

func TestXLSX(t *testing.T) {
	l := sample(t)
	got, _, err := write(t, l, export.Options{Format: export.XLSX})
	if err != nil {
		t.Fatal(err)
	}
	files := unzipped(t, got)
	have := cells(t, files["xl/worksheets/sheet1.xml"])
	for cell, want := range map[string]string{
		"A1": "call_id", "AA1": "test", "A2": string(id(0)), "D2": "+628115550001", "I2": "6", "N2": "0.813", "Q3": "2", "AA2": "0",
		"C3": "=telkom", "P3": "-x\"y,\n", "H3": "404", "D3": "", "H2": "",
	} {
		if have[cell] != want {
			t.Errorf("%s is %q, want %q", cell, have[cell], want)
		}
	}
	// 2026-03-01 08:00:00.123 on the clocks of the zone.
	days := time.Date(2026, 3, 1, 8, 0, 0, 123e6, time.UTC).Sub(time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)).Hours() / 24
	if v, err := strconv.ParseFloat(have["B2"], 64); err != nil || v-days > 1e-9 || days-v > 1e-9 {
		t.Errorf("B2 is %s, want %f", have["B2"], days)
	}
	for _, name := range []string{"[Content_Types].xml", "_rels/.rels", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml"} {
		if err := xml.Unmarshal([]byte(files[name]), new(struct{})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSheets: after a sheet's last row comes another sheet, with the same head; a workbook without calls has one.
func TestSheets(t *testing.T) {
	l := &log{}
	for i := range 10 {
		l.add(t, rejected(i)...)
	}
	got, _, err := write(t, l, export.WithSheetRows(export.Options{Format: export.XLSX}, 5))
	if err != nil {
		t.Fatal(err)
	}
	files := unzipped(t, got)
	var seen []string
	for i := 1; i <= 3; i++ {
		have := cells(t, files[fmt.Sprintf("xl/worksheets/sheet%d.xml", i)])
		if have["A1"] != "call_id" {
			t.Errorf("sheet %d has no head", i)
		}
		for r := 2; have[fmt.Sprintf("A%d", r)] != ""; r++ {
			seen = append(seen, have[fmt.Sprintf("A%d", r)])
		}
	}
	var want []string
	for i := range 10 {
		want = append(want, string(id(i)))
	}
	if d := cmp.Diff(want, seen); d != "" || strings.Count(files["xl/workbook.xml"], "<sheet ") != 3 {
		t.Errorf("%s\n%s", d, files["xl/workbook.xml"])
	}
	got, _, err = write(t, &log{}, export.Options{Format: export.XLSX})
	if err != nil || cells(t, unzipped(t, got)["xl/worksheets/sheet1.xml"])["A1"] != "call_id" {
		t.Errorf("an empty workbook: %v", err)
	}
}

// TestXMLText: what XML cannot hold is escaped, and what looks like an escape.
func TestXMLText(t *testing.T) {
	for s, want := range map[string]string{
		"a<b>&c": "a&lt;b&gt;&amp;c", "a\r\nb\tc": "a_x000D_\nb\tc", "\x00\x1f": "_x0000__x001F_", "_x0041_": "_x005F_x0041_", "_x004_": "_x004_",
		"\xff\ufffe": "\ufffd\ufffd", "é🙂": "é🙂", strings.Repeat("🙂", 20000): strings.Repeat("🙂", 16383),
	} {
		if got := string(export.AppendXML(nil, s)); got != want {
			t.Errorf("%.40q became %.60q", s, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		var got string
		if err := xml.Unmarshal([]byte("<t>"+string(export.AppendXML(nil, s))+"</t>"), &got); err != nil {
			t.Fatal(err)
		}
	})
}

func TestParquet(t *testing.T) {
	l := sample(t)
	got, _, err := write(t, l, export.Options{Format: export.Parquet})
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(strings.NewReader(got), int64(len(got)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, field := range f.Schema().Fields() {
		names = append(names, field.Name())
	}
	if d := cmp.Diff(export.Names(), names); d != "" {
		t.Error(d)
	}
	for _, c := range export.Columns() {
		if leaf, ok := f.Schema().Lookup(c.Name); ok && leaf.Node.Optional() != c.Null {
			t.Errorf("%s is optional: %v", c.Name, leaf.Node.Optional())
		}
	}
	rows := parquet.NewReader(f)
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, want := range []map[string]any{
		{
			"call_id": string(id(0)), "arrived_at": arrival.UnixMicro(), "caller": "+628115550001", "code": nil, "wait_s": 6.0, "prank_p": 0.813,
			"answered_at": arrival.Add(6 * time.Second).UnixMicro(), "seq": int64(0), "test": false, "kind": "prank",
		},
		{"call_id": string(id(1)), "trunk": "=telkom", "code": int32(404), "prank_p": nil, "answered_at": nil, "sip_call_id": "-x\"y,\n"},
	} {
		have := map[string]any{}
		if err := rows.Read(&have); err != nil {
			t.Fatal(err)
		}
		for name, v := range want {
			if d := cmp.Diff(v, have[name]); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
	}
}

// TestColumnsAreDocumented: docs/export.md has every column as it is.
func TestColumnsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/export.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range export.Columns() {
		typ := c.Type
		if c.Unit != "" {
			typ += ", " + c.Unit
		}
		if c.Null {
			typ += ", may be unknown"
		}
		if row := fmt.Sprintf("| `%s` | %s | %s |\n", c.Name, typ, c.Meaning); !strings.Contains(string(doc), row) {
			t.Errorf("docs/export.md lacks: %s", row)
		}
	}
}
