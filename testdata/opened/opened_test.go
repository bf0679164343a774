// Package opened_test opens exports with programs that are not ours, DuckDB and openpyxl, and compares every value.
package opened_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/export"
)

var (
	zone  = time.FixedZone("WIB", 7*3600)
	start = time.Date(2026, 11, 24, 0, 0, 0, 123_000_000, time.UTC)
)

// pieces are sealed records in memory.
type pieces []call.Sealed

func (p pieces) Size() (uint64, error)                 { return uint64(len(p)), nil }
func (p pieces) Pieces(call.ID) ([]call.Sealed, error) { return nil, nil }

func (p pieces) Scan(context.Context, uint64) iter.Seq2[call.Sealed, error] {
	return func(func(call.Sealed, error) bool) {}
}

// Latest implements export.Latest.
func (p pieces) Latest(_ context.Context, from, size uint64) iter.Seq2[[]call.Sealed, error] {
	return func(yield func([]call.Sealed, error) bool) { yield(p[from:size], nil) }
}

// awkward are texts that programs like to change.
var awkward = []string{
	"", "112", "+628115550001", "0811", "1e5", "=1+1", "=cmd|'/C calc'!A0", "-1", "@SUM(A1)", "'quoted'", `say "hello"`, "a,b;c|d\te",
	"line\nbreak", "cr\r\nlf", " spaces ", "é ü 漢字 🙂", "NULL", "null", "NaN", "true", "2026-11-24", "_x0041_", "<b>&amp;</b>", "\u2028",
	strings.Repeat("long ", 2000),
}

// source has every awkward text in every column that takes one, and all kinds of calls.
func source(t *testing.T) pieces {
	t.Helper()
	var out pieces
	for i, s := range awkward {
		at := start.Add(time.Duration(i) * 12345678 * time.Millisecond)
		r := call.Record{
			Of: call.ID(fmt.Sprintf("c01ARZ3NDEKTSV4RRFFQ6%06d", i)), FirstAt: at, LastAt: at, Entries: 5, Trunk: s, Called: s, SIPCallID: s,
			Caller: call.Caller{Number: s, Trust: call.Asserted}, Outcome: call.WasAbandoned, Wait: time.Duration(i) * 1234567890, Reason: s, Note: s, Priority: s,
		}
		if i%2 == 0 {
			r.Outcome, r.Taker, r.Dept, r.Talk, r.Takers = call.WasAnswered, call.TakerID(s+"t"), s, 61234*time.Millisecond, []call.TakerID{"ani", call.TakerID(s + "b")}
			r.Kind, r.KindBy, r.Score = call.Prank, "ani", &call.Scored{P: 0.125, Why: []call.Reason{{Kind: "prank", Count: 2, Days: 1, Last: start}}}
		} else {
			r.Code, r.Test, r.Passed = 487, true, 3
		}
		body, err := call.AppendRecord(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, call.Sealed{Seq: uint64(i), Of: r.Of, Body: body, Leaf: call.LeafHash([32]byte{byte(i)}, body)})
	}
	return out
}

// write exports into a file.
func write(t *testing.T, o export.Options) (file string) {
	t.Helper()
	var b bytes.Buffer
	o.Zone = zone
	if _, err := export.Write(t.Context(), &b, source(t), o); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "calls."+o.Format)
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// rows are what the export should tell, by encoding/json from the JSON Lines: times as text in the zone, lists as lists.
func rows(t *testing.T) (out []map[string]any) {
	t.Helper()
	data, err := os.ReadFile(write(t, export.Options{Format: export.JSONL}))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	for d.More() {
		var row map[string]any
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		out = append(out, row)
	}
	if len(out) != len(awkward) {
		t.Fatalf("%d rows", len(out))
	}
	return out
}

// TestDuckDB: Parquet, CSV and JSON Lines have in DuckDB the values that they had here.
func TestDuckDB(t *testing.T) {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "SET TimeZone = 'UTC'"); err != nil {
		t.Fatal(err)
	}
	for format, from := range map[string]string{
		export.Parquet: "read_parquet('%s')",
		export.CSV:     "%s",
		export.JSONL:   "read_json('%s', format = 'newline_delimited')",
	} {
		t.Run(format, func(t *testing.T) {
			file := write(t, export.Options{Format: format})
			from = fmt.Sprintf(from, file)
			if format == export.CSV { // every column as text, as it stands there
				from = fmt.Sprintf("read_csv('%s', auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', columns = {%s})", file, texts())
			}
			got := query(t, db, "SELECT * FROM "+from+" ORDER BY call_id")
			want := rows(t)
			if len(got) != len(want) {
				t.Fatalf("%d rows, want %d", len(got), len(want))
			}
			for i := range want {
				for name, v := range want[i] {
					if d := cmp.Diff(as(format, name, v), got[i][name]); d != "" {
						t.Errorf("row %d, %s: %s", i, name, d)
					}
				}
			}
		})
	}
	// Types, as an analyst meets them.
	file := write(t, export.Options{Format: export.Parquet})
	for _, r := range query(t, db, "DESCRIBE SELECT * FROM read_parquet('"+file+"')") {
		want := map[string]string{
			"arrived_at": "TIMESTAMP WITH TIME ZONE", "answered_at": "TIMESTAMP WITH TIME ZONE", "ended_at": "TIMESTAMP WITH TIME ZONE",
			"wait_s": "DOUBLE", "talk_s": "DOUBLE", "prank_p": "DOUBLE", "code": "INTEGER", "overtaken": "INTEGER", "seq": "BIGINT", "test": "BOOLEAN",
			"prank_reasons": "VARCHAR[]", "other_takers": "VARCHAR[]",
		}[r["column_name"].(string)]
		if want == "" {
			want = "VARCHAR"
		}
		if r["column_type"] != want {
			t.Errorf("%s is %s, want %s", r["column_name"], r["column_type"], want)
		}
	}
}

// texts are the columns, all as text.
func texts() string {
	var out []string
	for _, name := range export.Names() {
		out = append(out, "'"+name+"': 'VARCHAR'")
	}
	return strings.Join(out, ", ")
}

// as is a value of the JSON Lines as DuckDB has it from another format.
func as(format, name string, v any) any {
	c := column(name)
	switch format {
	case export.CSV:
		return csvText(c, v)
	case export.Parquet, export.JSONL:
		switch {
		case v == nil:
			return nil
		case c.Type == "time":
			at, err := time.Parse(time.RFC3339, v.(string))
			if err != nil {
				panic(err)
			}
			return at.UTC().Format("2006-01-02T15:04:05.000Z07:00")
		}
	}
	return v
}

// csvText is a value as CSV has it: empty is unknown; of texts, Safe.
func csvText(c export.Column, v any) any {
	var s string
	switch v := v.(type) {
	case nil:
	case string:
		if s = v; c.Type == "text" {
			s = export.Safe(v)
		}
	case bool:
		s = fmt.Sprint(v)
	case float64:
		if s = fmt.Sprint(int64(v)); c.Type == "number" {
			s = fmt.Sprintf("%.3f", v)
		}
	case []any:
		var parts []string
		for _, p := range v {
			parts = append(parts, p.(string))
		}
		s = export.Safe(strings.Join(parts, "; "))
	}
	if s == "" {
		return nil
	}
	return s
}

func column(name string) export.Column {
	cs := export.Columns()
	return cs[slices.IndexFunc(cs, func(c export.Column) bool { return c.Name == name })]
}

// query is what a query gives, by the names of the columns; numbers are float64, times text in UTC.
func query(t *testing.T, db *sql.DB, q string) (out []map[string]any) {
	t.Helper()
	rs, err := db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer rs.Close()
	names, err := rs.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rs.Next() {
		values := make([]any, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rs.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := map[string]any{}
		for i, v := range values {
			switch v := v.(type) {
			case time.Time:
				row[names[i]] = v.UTC().Format("2006-01-02T15:04:05.000Z07:00")
			case int32:
				row[names[i]] = float64(v)
			case int64:
				row[names[i]] = float64(v)
			case []byte:
				row[names[i]] = string(v)
			default:
				row[names[i]] = v
			}
		}
		out = append(out, row)
	}
	if err := rs.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestOpenpyxl: a workbook has in openpyxl the values that it had here, and no formula.
func TestOpenpyxl(t *testing.T) {
	// Debian's Python, which has the packages that apt installs.
	const python = "/usr/bin/python3"
	if err := exec.CommandContext(t.Context(), python, "-c", "import openpyxl").Run(); err != nil && os.Getenv("CI") != "true" {
		t.Skip("openpyxl is missing: apt-get install python3-openpyxl")
	}
	file := write(t, export.Options{Format: export.XLSX})
	cmd := exec.CommandContext(t.Context(), python, "xlsx.py", file)
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s (python3-openpyxl reads the workbook)", err, &said)
	}
	var got [][]any
	for line := range bytes.Lines(text) {
		var row []any
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		got = append(got, row)
	}
	want := rows(t)
	if len(got) != len(want)+1 {
		t.Fatalf("%d rows, want %d and a head", len(got), len(want))
	}
	for i, c := range export.Columns() {
		if got[0][i] != c.Name {
			t.Errorf("column %d is %v", i, got[0][i])
		}
		for j := range want {
			if d := cmp.Diff(cell(c, want[j][c.Name]), got[j+1][i]); d != "" {
				t.Errorf("row %d, %s: %s", j, c.Name, d)
			}
		}
	}
}

// cell is a value of the JSON Lines as a spreadsheet has it: empty is unknown, times are the zone's clocks.
func cell(c export.Column, v any) any {
	switch {
	case v == nil, v == "":
		return nil
	case c.Type == "time":
		at, err := time.Parse(time.RFC3339, v.(string))
		if err != nil {
			panic(err)
		}
		return at.In(zone).Format("2006-01-02T15:04:05.000")
	case c.Type == "list":
		var parts []string
		for _, p := range v.([]any) {
			parts = append(parts, p.(string))
		}
		if len(parts) == 0 {
			return nil
		}
		return strings.Join(parts, "; ")
	}
	return v
}
