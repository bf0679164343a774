package reconcile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Format says where in an operator's file what stands. A column is named as in the file's first line, without regard to
// case and spaces around it, or by its number from 1.
type Format struct {
	Time      string // required; DATE+TIME joins two columns
	Number    string // required: the caller's number
	Duration  string // seconds, h:mm:ss or mm:ss, or as Go has it (1m5s); "": not told
	Called    string // "": not told
	Layout    string // of the time: strftime's (%d/%m/%Y %H:%M:%S), Go's, unix or unix-ms; "": found by itself
	Zone      *time.Location
	Separator rune // 0: found by itself among , ; tab and |
}

// ErrFile is wrapped by the error of Read when the file as a whole cannot be read so.
var ErrFile = errors.New("not such a file")

// Bad is a line that could not be read. Its call is missing in what is compared.
type Bad struct {
	Line int
	Why  string
}

// Layouts are the forms of a time that are found without being told. Where a date could be read in two ways the day comes
// first, as in Indonesia.
var Layouts = []string{
	time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006/01/02 15:04:05", "2/1/2006 15:04:05",
	"2/1/2006 15:04", "2-1-2006 15:04:05", "2-1-2006 15:04", "2.1.2006 15:04:05", "20060102150405", "20060102 150405", "20060102 15:04:05",
	"2-Jan-2006 15:04:05", "2 Jan 2006 15:04:05",
}

// Read reads an operator's file. A byte order mark, empty lines and fields too many do not disturb it.
func Read(r io.Reader, f Format) (calls []Call, bad []Bad, err error) {
	b := bufio.NewReader(r)
	if mark, err := b.Peek(3); err == nil && bytes.Equal(mark, []byte("\ufeff")) {
		_, _ = b.Discard(3)
	}
	if f.Separator == 0 {
		f.Separator = separator(b)
	}
	in := csv.NewReader(b)
	in.Comma, in.LazyQuotes, in.FieldsPerRecord, in.TrimLeadingSpace, in.ReuseRecord = f.Separator, true, -1, f.Separator != '\t', true
	if f.Zone == nil {
		f.Zone = time.UTC
	}
	p := parser{f: f, layout: layout(f.Layout)}
	for first := true; ; first = false {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var wrong *csv.ParseError
		if err != nil && !errors.As(err, &wrong) {
			return nil, nil, fmt.Errorf("read: %w", err)
		}
		if err != nil {
			if first {
				return nil, nil, fmt.Errorf("%w: its first line: %w", ErrFile, err)
			}
			bad = append(bad, Bad{wrong.StartLine, wrong.Err.Error()})
			continue
		}
		line, _ := in.FieldPos(0)
		if first {
			head, err := p.columns(fields)
			if err != nil {
				return nil, nil, err
			}
			if head {
				continue
			}
		}
		c, err := p.call(fields)
		if err != nil {
			bad = append(bad, Bad{line, err.Error()})
			continue
		}
		c.Name = "line " + strconv.Itoa(line)
		calls = append(calls, c)
	}
	if p.time == nil {
		return nil, nil, fmt.Errorf("%w: it is empty", ErrFile)
	}
	return calls, bad, nil
}

// separator is that which is most often in the first line.
func separator(b *bufio.Reader) rune {
	head, _ := b.Peek(4096) // less at the end of the file
	line, _, _ := bytes.Cut(head, []byte("\n"))
	best, most := ',', 0
	for _, c := range ",;\t|" {
		if n := bytes.Count(line, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}

// parser reads lines. A column is the indexes of its fields; nil is not there.
type parser struct {
	f                              Format
	layout                         string // "": not found yet
	time, number, duration, called []int
}

// columns finds the columns; head tells that the line names them and is no call.
func (p *parser) columns(fields []string) (head bool, err error) {
	numbered := true
	for _, c := range []struct {
		name string
		into *[]int
		what string
	}{{p.f.Time, &p.time, "time"}, {p.f.Number, &p.number, "number"}, {p.f.Duration, &p.duration, "duration"}, {p.f.Called, &p.called, "called"}} {
		if c.name == "" {
			if c.what == "time" || c.what == "number" {
				return false, fmt.Errorf("%w: say which column is the %s; it has: %s", ErrFile, c.what, strings.Join(fields, ", "))
			}
			continue
		}
		at, named, err := find(fields, c.name)
		if err != nil {
			return false, fmt.Errorf("%w: %s column: %w; it has: %s", ErrFile, c.what, err, strings.Join(fields, ", "))
		}
		*c.into = at
		numbered = numbered && !named
	}
	if !numbered {
		return true, nil
	}
	_, err = p.call(fields)
	return err != nil, nil
}

// find is where a column is; DATE+TIME are two, unless the file has one of that name.
func find(fields []string, name string) (at []int, named bool, err error) {
	same := func(name string) func(string) bool {
		return func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), strings.TrimSpace(name)) }
	}
	if i := slices.IndexFunc(fields, same(name)); i >= 0 {
		return []int{i}, true, nil
	}
	for part := range strings.SplitSeq(name, "+") {
		if i := slices.IndexFunc(fields, same(part)); i >= 0 {
			at, named = append(at, i), true
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 || n > len(fields) {
			return nil, false, fmt.Errorf("there is no %q", part)
		}
		at = append(at, n-1)
	}
	return at, named, nil
}

func field(fields []string, at []int) string {
	var parts []string
	for _, i := range at {
		if i < len(fields) {
			parts = append(parts, strings.TrimSpace(fields[i]))
		}
	}
	return strings.Join(parts, " ")
}

func (p *parser) call(fields []string) (c Call, err error) {
	if c.At, err = p.moment(field(fields, p.time)); err != nil {
		return c, err
	}
	if c.Duration, err = duration(field(fields, p.duration)); err != nil {
		return c, err
	}
	// The strings outlive the line that they are parts of.
	c.Number, c.Called = strings.Clone(field(fields, p.number)), strings.Clone(field(fields, p.called))
	return c, nil
}

func (p *parser) moment(s string) (time.Time, error) {
	switch p.layout {
	case "unix", "unix-ms":
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || n > 1<<44 {
			return time.Time{}, fmt.Errorf("%q is no time in %s", s, p.layout)
		}
		if p.layout == "unix" {
			n *= 1000
		}
		return time.UnixMilli(n).In(p.f.Zone), nil
	case "":
		for _, l := range Layouts {
			if at, err := time.ParseInLocation(l, s, p.f.Zone); err == nil {
				p.layout = l // the whole file is written alike
				return sane(at, s)
			}
		}
		return time.Time{}, fmt.Errorf("%q is in no form of a time that is known: say its layout", s)
	}
	at, err := time.ParseInLocation(p.layout, s, p.f.Zone)
	if err != nil {
		return at, fmt.Errorf("%q is no time like %q", s, p.layout)
	}
	return sane(at, s)
}

// sane refuses what no call's time can be, and what does not fit into nanoseconds.
func sane(at time.Time, s string) (time.Time, error) {
	if y := at.Year(); y < 1970 || y > 2200 {
		return at, fmt.Errorf("%q is not in our time", s)
	}
	return at, nil
}

// layout is Go's form of a layout: of one with % in it, strftime's.
func layout(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	return strings.NewReplacer(
		"%Y", "2006", "%y", "06", "%m", "01", "%d", "02", "%e", "_2", "%H", "15", "%I", "03", "%M", "04", "%S", "05", "%p", "PM", "%b", "Jan",
		"%B", "January", "%z", "-0700", "%Z", "MST", "%F", "2006-01-02", "%T", "15:04:05", "%f", "000000", "%%", "%",
	).Replace(s)
}

// maxDuration bounds the duration of a call: longer is a mistake.
const maxDuration = 30 * 24 * time.Hour

// duration reads seconds (65, 65.5 or 65,5), 0:01:05, 1:05, or 1m5s; "" is 0.
func duration(s string) (d time.Duration, err error) {
	wrong := fmt.Errorf("%q is no duration", s)
	switch {
	case s == "":
		return 0, nil
	case strings.Contains(s, ":"):
		parts := strings.Split(s, ":")
		if len(parts) > 3 {
			return 0, wrong
		}
		for _, part := range parts {
			n, err := strconv.ParseUint(part, 10, 16)
			if err != nil {
				return 0, wrong
			}
			d = d*60 + time.Duration(n)*time.Second
		}
	default:
		if x, err := strconv.ParseFloat(strings.Replace(s, ",", ".", 1), 64); err == nil {
			if !(math.Abs(x) <= maxDuration.Seconds()) {
				return 0, wrong
			}
			d = time.Duration(math.Round(x*1000)) * time.Millisecond
		} else if d, err = time.ParseDuration(s); err != nil {
			return 0, wrong
		}
	}
	if d < 0 || d > maxDuration {
		return 0, wrong
	}
	return d, nil
}
