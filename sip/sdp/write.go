package sdp

import (
	"fmt"
	"strings"
)

// say is a description of ours, and makes it the last one sent. times are its t= lines, d and formats those of our medium.
func (s *Session) say(times string, d Direction, formats []Format) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "s=-\r\nc=IN %s\r\n%s", s.address(), times)
	for _, line := range s.Lines {
		if line == "" {
			s.audio(&b, d, formats)
			continue
		}
		fmt.Fprintf(&b, "m=%s\r\n", line)
	}
	return s.repeat(b.String())
}

// repeat puts what stands before s= in front of a description, with the version that follows from the last one.
func (s *Session) repeat(said string) []byte {
	if said != s.Said {
		if s.Settled {
			s.Settled, s.Agreed = false, s.Said
		}
		s.Said = said
		s.Version++
	}
	return fmt.Appendf(nil, "v=0\r\no=- %d %d IN %s\r\n%s", s.ID, s.Version, s.address(), said)
}

// address is where we receive, with its family.
func (s *Session) address() string {
	switch {
	case !s.Addr.IsValid():
		return "IP4 0.0.0.0"
	case s.Addr.Is6():
		return "IP6 " + s.Addr.String()
	}
	return "IP4 " + s.Addr.String()
}

// audio writes our medium. The events are the keys (RFC 4733, 2.5.2).
func (s *Session) audio(b *strings.Builder, d Direction, formats []Format) {
	fmt.Fprintf(b, "m=audio %d %s", s.Port, s.Proto)
	for _, f := range formats {
		fmt.Fprintf(b, " %d", f.Number)
	}
	b.WriteString("\r\n")
	for _, f := range formats {
		fmt.Fprintf(b, "a=rtpmap:%d %s/8000\r\n", f.Number, f.Name)
		if f.Name == event {
			fmt.Fprintf(b, "a=fmtp:%d 0-15\r\n", f.Number)
		}
	}
	fmt.Fprintf(b, "a=ptime:%d\r\na=%s\r\n", usual, d)
}
