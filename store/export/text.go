package export

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// appendTime appends RFC 3339 to the millisecond, in a zone.
func appendTime(b []byte, t time.Time, zone *time.Location) []byte {
	_, offset := t.In(zone).Zone()
	b = appendMoment(b, t, 'T', offset)
	b = append(b, '.')
	b = appendDigits(b, t.Nanosecond()/1e6, 3)
	if offset == 0 {
		return append(b, 'Z')
	}
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	b = appendTwo(append(b, sign), offset/3600)
	return appendTwo(append(b, ':'), offset/60%60)
}

// appendMoment appends a date and a time to the second: 2026-03-01, sep, 08:00:00. offset is that of the zone, in seconds.
func appendMoment(b []byte, t time.Time, sep byte, offset int) []byte {
	t = time.Unix(t.Unix()+int64(offset), 0).UTC() // what its zone's clocks show: no zone is looked up again
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	b = appendDigits(b, year, 4)
	b = appendTwo(append(b, '-'), int(month))
	b = appendTwo(append(b, '-'), day)
	b = appendTwo(append(b, sep), hour)
	b = appendTwo(append(b, ':'), minute)
	return appendTwo(append(b, ':'), second)
}

// appendLocal is appendMoment in a zone.
func appendLocal(b []byte, t time.Time, zone *time.Location) []byte {
	_, offset := t.In(zone).Zone()
	return appendMoment(b, t, ' ', offset)
}

// appendTwo appends n, 0 to 99, as two digits.
func appendTwo(b []byte, n int) []byte { return append(b, '0'+byte(n/10), '0'+byte(n%10)) }

// appendDigits appends n with zeros before it up to a width of at most 4.
func appendDigits(b []byte, n, width int) []byte {
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	if n >= 10000 { // wider than thought: a year
		return strconv.AppendInt(b, int64(n), 10)
	}
	digits := [...]byte{'0' + byte(n/1000), '0' + byte(n/100%10), '0' + byte(n/10%10), '0' + byte(n%10)}
	return append(b, digits[len(digits)-width:]...)
}

// appendThousandths appends n/1000 with three decimals.
func appendThousandths(b []byte, n int64, point byte) []byte {
	if n < 0 {
		b, n = append(b, '-'), -n
	}
	b = strconv.AppendInt(b, n/1000, 10)
	b = append(b, point)
	return appendDigits(b, int(n%1000), 3)
}

// appendNumber appends n/1000 as JSON: without zeros at its end.
func appendNumber(b []byte, n int64) []byte {
	b = appendThousandths(b, n, '.')
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	if b[len(b)-1] == '.' {
		b = b[:len(b)-1]
	}
	return b
}

// appendJSON appends s as a JSON string: what has no escape of its own and is plain ASCII, or any rune but U+2028 and
// U+2029, as it is; bytes that are not UTF-8 as U+FFFD.
func appendJSON(b []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plainJSON[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if (r != utf8.RuneError || n > 1) && r != '\u2028' && r != '\u2029' {
				i += n
				continue
			}
			b = append(b, s[start:i]...)
			if r == utf8.RuneError {
				b = append(b, `\ufffd`...)
			} else {
				b = append(b, `\u202`...)
				b = append(b, hexDigits[r&15])
			}
			i += n
			start = i
			continue
		}
		b = append(b, s[start:i]...)
		if at := strings.IndexByte("\"\\\b\f\n\r\t", c); at >= 0 {
			b = append(b, '\\', `"\bfnrt`[at])
		} else {
			b = append(b, `\u00`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// plainJSON are the bytes that stand in a JSON string as they are, alone.
var plainJSON = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf
	}
	return t
}()
