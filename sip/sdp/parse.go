package sdp

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	pion "github.com/pion/sdp/v3"
)

// description is one as read. The parser knows only some media and transports, so a line that is not audio over RTP/AVP
// stands in it as an empty one; lines holds them all as they were written.
type description struct {
	pion.SessionDescription
	lines []mline
}

// parse reads a description. Its error is ErrMalformed.
func parse(body []byte) (*description, error) {
	sections, err := split(string(body))
	if err != nil {
		return nil, err
	}
	d := &description{}
	var text strings.Builder
	text.WriteString(tidySession(sections[0]))
	for _, section := range sections[1:] {
		m, err := readMline(section[0])
		if err != nil {
			return nil, err
		}
		d.lines = append(d.lines, m)
		text.WriteString(m.known())
		if m.audio() {
			text.WriteString(pick(section, 'c', 1) + pick(section, 'a', len(section)))
		}
	}
	if err := d.UnmarshalString(text.String()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(d.MediaDescriptions) != len(d.lines) {
		return nil, fmt.Errorf("%w: %d media of %d", ErrMalformed, len(d.MediaDescriptions), len(d.lines))
	}
	return d, nil
}

// attributes are those of a medium, then those of the session, which hold where the medium has none.
func (d *description) attributes(i int) iter.Seq[pion.Attribute] {
	return func(yield func(pion.Attribute) bool) {
		for _, level := range [][]pion.Attribute{d.MediaDescriptions[i].Attributes, d.Attributes} {
			for _, a := range level {
				if !yield(a) {
					return
				}
			}
		}
	}
}

// times are the t= lines, which an answer repeats (RFC 3264, 6).
func (d *description) times() string {
	var b strings.Builder
	for _, t := range d.TimeDescriptions {
		fmt.Fprintf(&b, "t=%d %d\r\n", t.Timing.StartTime, t.Timing.StopTime)
	}
	return b.String()
}

// refused are the m= lines as an answer refuses them (RFC 3264, 6), except the one at that index, which is "".
func (d *description) refused(except int) []string {
	lines := make([]string, len(d.lines))
	for i, m := range d.lines {
		if i != except {
			lines[i] = m.refuse()
		}
	}
	return lines
}

// split cuts a description into its session lines and the lines of each medium, the m= line first.
func split(body string) ([][]string, error) {
	lines := strings.FieldsFunc(body, func(r rune) bool { return r == '\r' || r == '\n' })
	if len(lines) == 0 || strings.TrimSpace(lines[0]) != "v=0" {
		return nil, fmt.Errorf("%w: does not begin with v=0", ErrMalformed)
	}
	sections := [][]string{nil}
	for _, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if len(line) < 2 || line[1] != '=' || strings.ContainsFunc(line, isControl) {
			return nil, fmt.Errorf("%w: line %.40q", ErrMalformed, line)
		}
		if line[0] == 'm' {
			sections = append(sections, nil)
		}
		last := len(sections) - 1
		sections[last] = append(sections[last], line)
	}
	if !slices.ContainsFunc(sections[0], func(line string) bool { return line[0] == 'o' }) {
		return nil, fmt.Errorf("%w: no o= line", ErrMalformed)
	}
	return sections, nil
}

// tidySession brings session lines into the order on which the parser insists, and leaves out those that nobody here
// reads. The origin is such a line: many write one that is no number.
func tidySession(lines []string) string {
	times := pick(lines, 't', len(lines))
	if times == "" {
		times = "t=0 0\r\n"
	}
	return "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\n" + pick(lines, 'c', 1) + times + pick(lines, 'a', len(lines))
}

// pick is the first lines of a type, n at most.
func pick(lines []string, key byte, n int) string {
	var b strings.Builder
	for _, line := range lines {
		if line[0] == key && n > 0 {
			b.WriteString(strings.TrimRight(line, " \t") + "\r\n")
			n--
		}
	}
	return b.String()
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// mline is an m= line as written.
type mline struct {
	media, port, proto string
	formats            []string
}

func readMline(line string) (mline, error) {
	f := strings.Fields(line[2:])
	if len(f) < 3 || len(f) == 3 && f[1] != "0" || strings.ContainsFunc(line, notASCII) { // a refused one needs no format
		return mline{}, fmt.Errorf("%w: line %.40q", ErrMalformed, line)
	}
	return mline{media: f[0], port: f[1], proto: f[2], formats: f[3:]}, nil
}

func notASCII(r rune) bool { return r >= utf8.RuneSelf }

// audio says whether the line can be served at all: audio over plain RTP, not refused. Over RTP/AVPF it is the same, as
// long as no feedback is agreed on (RFC 4585, 4).
func (m mline) audio() bool {
	return m.media == "audio" && (m.proto == "RTP/AVP" || m.proto == "RTP/AVPF") && m.port != "0"
}

// known is the line if the parser needs to see it, else one that stands in its place.
func (m mline) known() string {
	if !m.audio() {
		return "m=application 0 UDP -\r\n"
	}
	return "m=audio " + m.port + " " + m.proto + " " + strings.Join(m.formats, " ") + "\r\n"
}

// refuse is the line as an answer refuses it.
func (m mline) refuse() string {
	formats := "0" // the grammar wants one
	if len(m.formats) > 0 {
		formats = strings.Join(m.formats, " ")
	}
	return m.media + " 0 " + m.proto + " " + formats
}
