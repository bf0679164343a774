package export

import (
	"strconv"
	"strings"
	"time"
)

// Profiles are the forms of csv. All are UTF-8, with a header, and quoted as RFC 4180 says; what is unknown is empty.
//
//   - Strict: comma, CRLF, decimal point, times as 2026-03-01T08:00:00.123+07:00. Texts are as they are, but for Safe.
//   - Excel: opens in a spreadsheet by a double click. A byte order mark; separator and decimal sign as the locale has
//     them; times without zone and fraction, 2026-03-01 08:00:00, which spreadsheets take for times; Safe.
var Profiles = []string{Strict, Excel}

// The profiles.
const (
	Strict = "strict"
	Excel  = "excel"
)

// Locales are those of the profile Excel: id has semicolons and a decimal comma, en commas and a decimal point.
var Locales = []string{"id", "en"}

// csvForm writes rows as CSV.
type csvForm struct {
	zone       *time.Location
	sep, point byte
	excel      bool
}

func newCSV(o *Options) *csvForm {
	f := &csvForm{zone: o.Zone, sep: ',', point: '.', excel: o.Profile == Excel}
	if f.excel && o.Locale != "en" {
		f.sep, f.point = ';', ','
	}
	return f
}

func (f *csvForm) head(b []byte) []byte {
	if f.excel {
		b = append(b, "\ufeff"...)
	}
	for i := range columns {
		if i > 0 {
			b = append(b, f.sep)
		}
		b = append(b, columns[i].Name...)
	}
	return append(b, "\r\n"...)
}

func (f *csvForm) row(b []byte, r *Row) []byte {
	for i := range columns {
		if i > 0 {
			b = append(b, f.sep)
		}
		if columns[i].raw != nil {
			b = columns[i].raw(b, r)
		} else if v := columns[i].of(r, f.zone); !v.null {
			b = f.field(b, columns[i].Type, &v)
		}
	}
	return append(b, "\r\n"...)
}

func (f *csvForm) field(b []byte, typ string, v *value) []byte {
	switch typ {
	case typeText:
		return appendField(b, Safe(v.text), f.sep, false)
	case typeList:
		if len(v.list) == 0 {
			return b
		}
		return appendField(b, Safe(strings.Join(v.list, "; ")), f.sep, false)
	case typeInteger:
		return strconv.AppendInt(b, v.n, 10)
	case typeNumber:
		return appendThousandths(b, v.n, f.point)
	case typeFlag:
		return strconv.AppendBool(b, v.n != 0)
	case typeTime:
		if f.excel {
			return appendLocal(b, v.at, f.zone)
		}
		return appendTime(b, v.at, f.zone)
	}
	return b
}

// appendField appends a field, in quotes if it needs them or always.
func appendField(b []byte, s string, sep byte, always bool) []byte {
	if !always && bare(s, sep) {
		return append(b, s...)
	}
	b = append(b, '"')
	for {
		at := strings.IndexByte(s, '"')
		if at < 0 {
			return append(append(b, s...), '"')
		}
		b = append(append(b, s[:at]...), `""`...)
		s = s[at+1:]
	}
}

// bare tells whether a field needs no quotes.
func bare(s string, sep byte) bool {
	for i := range len(s) {
		if c := s[i]; c <= sep && (c == sep || c == '"' || c == '\r' || c == '\n') {
			return false
		}
	}
	return s == "" || s[0] != ' '
}

// Safe makes a field that no spreadsheet takes for a formula: one that begins with = + - @, with tab, CR or LF, or with
// the wide forms of those signs, gets a leading apostrophe.
//
// A telephone number stays as it is: + and then 1 to 32 digits, nothing else, or those digits masked. Such a field has no
// operator, name or reference in it; the worst that a spreadsheet can make of it is that number. So +628115550001 is
// written as dialed, and +1+cmd|'/C calc'!A0 becomes '+1+cmd|'/C calc'!A0.
func Safe(field string) string {
	if field == "" {
		return field
	}
	switch c := field[0]; {
	case c == '+' && isNumber(field):
		return field
	case strings.IndexByte("=+-@\t\r\n", c) >= 0, c == 0xEF && wide(field):
		return "'" + field
	}
	return field
}

// wide tells whether a field begins with the wide form of a sign.
func wide(s string) bool {
	for _, sign := range []string{"＝", "＋", "－", "＠"} {
		if strings.HasPrefix(s, sign) {
			return true
		}
	}
	return false
}

// isNumber tells whether s is + and then digits; the mask of Masked counts as digits where digits enclose it.
func isNumber(s string) bool {
	if len(s) < 2 || len(s) > 33 || s[0] != '+' || s[1] == '*' || s[len(s)-1] == '*' {
		return false
	}
	stars := 0
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '*':
			stars++
		case s[i] < '0' || s[i] > '9':
			return false
		}
	}
	return stars == 0 || stars >= hidden
}
