package export

import (
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
)

// WriteCSV writes the rows as RFC 4180: a header, CRLF, UTF-8 without a byte order mark, times in zone. It returns how
// many rows are written; after an error what is written is not the whole.
//
// What is not known is empty: code of a call that was connected, prank_p without a history. wait_s and talk_s are in
// seconds with three decimals. A field that a spreadsheet could take for a formula gets a leading apostrophe (see Safe);
// the JSON lines have it as it is.
func WriteCSV(w io.Writer, rows iter.Seq2[Row, error], zone *time.Location) (n int, err error) {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(Names()); err != nil {
		return 0, fmt.Errorf("write csv: %w", err)
	}
	for row, err := range rows {
		if err != nil {
			out.Flush()
			return n, err
		}
		if err := out.Write(row.fields(zone)); err != nil {
			return n, fmt.Errorf("write csv: %w", err)
		}
		n++
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return n, fmt.Errorf("write csv: %w", err)
	}
	return n, nil
}

// fields are the columns in the order of Names.
func (r Row) fields(zone *time.Location) []string {
	c, code, prank := r.Record, "", ""
	if c.Code != 0 {
		code = strconv.Itoa(c.Code)
	}
	if p, ok := r.prank(); ok {
		prank = strconv.FormatFloat(round(p), 'f', 3, 64)
	}
	fs := []string{
		string(c.Of), c.FirstAt.In(zone).Format(timeFormat), c.Trunk, c.Caller.Number, string(c.Caller.Trust), c.Called,
		string(c.Outcome), code, seconds(c.Wait), seconds(c.Talk), string(c.Taker), c.Dept, string(c.Kind), prank,
		strings.Join(r.reasons(zone), "; "), c.SIPCallID, strconv.FormatUint(r.Seq, 10), r.leaf(),
	}
	for i := range fs {
		fs[i] = Safe(fs[i])
	}
	return fs
}

func seconds(d time.Duration) string { return strconv.FormatFloat(round(d.Seconds()), 'f', 3, 64) }

// Safe makes a field that no spreadsheet takes for a formula: one that begins with = + - @, with tab, CR or LF, or with
// the wide forms of those signs, gets a leading apostrophe.
//
// A telephone number stays as it is: + and then 1 to 32 digits, nothing else. Such a field has no operator, name or
// reference in it; the worst that a spreadsheet can make of it is that number. So +628115550001 is written as dialed,
// and +1+cmd|'/C calc'!A0 becomes '+1+cmd|'/C calc'!A0.
func Safe(field string) string {
	if field == "" || !strings.ContainsAny(firstRune(field), "=+-@\t\r\n＝＋－＠") || isNumber(field) {
		return field
	}
	return "'" + field
}

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

func isNumber(s string) bool {
	digits, ok := strings.CutPrefix(s, "+")
	if !ok || digits == "" || len(digits) > 32 {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}
