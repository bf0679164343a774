package siptest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Media is a description of one audio stream (RFC 8866) as far as phones read it. What they read and write is their
// own, so that they share no mistake with the gateway.
type Media struct {
	Direction string         // sendrecv, sendonly, recvonly or inactive, as it is written; "" where there is no description
	Remote    netip.AddrPort // where its author receives
	Payload   uint8          // of G.711: 8 or 0
	Event     uint8          // payload type of telephone-event; 0: none
}

// The directions (RFC 8866, 6.7).
const (
	sendrecv = "sendrecv"
	sendonly = "sendonly"
	recvonly = "recvonly"
	inactive = "inactive"
)

var directions = []string{sendrecv, sendonly, recvonly, inactive}

// meet is what is left of what one side would do when the other one says what it does (RFC 3264, 6.1).
func meet(mine, theirs string) string {
	sends := (mine == sendrecv || mine == sendonly) && (theirs == sendrecv || theirs == recvonly)
	takes := (mine == sendrecv || mine == recvonly) && (theirs == sendrecv || theirs == sendonly)
	switch {
	case sends && takes:
		return sendrecv
	case sends:
		return sendonly
	case takes:
		return recvonly
	}
	return inactive
}

// description is a phone's own side.
type description struct {
	addr      netip.Addr
	port      uint16
	direction string // what it would do
	zero      bool   // it holds as RFC 2543 did: c=0.0.0.0, and no direction
	event     uint8  // payload type of telephone-event in its offers

	session, version uint64
	last             string // as sent last
}

// holds tells whether the phone has put the other side on hold.
func (d *description) holds() bool { return d.zero || d.direction != sendrecv }

// offer is the description as an offer (RFC 3264, 5).
func (d *description) offer() []byte {
	return d.write([]string{d.audio([]uint8{payloadPCMA, payloadPCMU}, d.event, d.direction)})
}

// answer answers an offer (RFC 3264, 6): its first audio line over RTP/AVP with G.711, with its payload types; every
// other line is refused in its place.
func (d *description) answer(offer []byte) ([]byte, Media, error) {
	m, lines, at, err := readMedia(offer)
	if err != nil {
		return nil, m, err
	}
	var all []string
	for i, l := range lines {
		if i == at {
			all = append(all, d.audio([]uint8{m.Payload}, m.Event, meet(d.direction, m.Direction)))
			continue
		}
		f := strings.Fields(l)
		all = append(all, "m="+f[0]+" 0 "+strings.Join(f[2:], " ")+"\r\n")
	}
	return d.write(all), m, nil
}

// write makes a description; its version goes up when it differs from the one before (RFC 3264, 8).
func (d *description) write(media []string) []byte {
	kind, at := "IP4", d.addr.String()
	if d.addr.Is6() {
		kind = "IP6"
	}
	if d.zero {
		at = "0.0.0.0"
	}
	text := fmt.Sprintf("IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\n%s", kind, d.addr, kind, at, strings.Join(media, ""))
	if text != d.last {
		d.version++
		d.last = text
	}
	return fmt.Appendf(nil, "v=0\r\no=- %d %d %s", d.session, d.version, text)
}

func (d *description) audio(payloads []uint8, event uint8, direction string) string {
	formats, maps := "", ""
	for _, p := range payloads {
		formats += fmt.Sprintf(" %d", p)
		maps += fmt.Sprintf("a=rtpmap:%d %s/8000\r\n", p, map[uint8]string{payloadPCMA: "PCMA", payloadPCMU: "PCMU"}[p])
	}
	if event != 0 {
		formats += fmt.Sprintf(" %d", event)
		maps += fmt.Sprintf("a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-15\r\n", event, event)
	}
	text := fmt.Sprintf("m=audio %d RTP/AVP%s\r\n%sa=ptime:20\r\n", d.port, formats, maps)
	if !d.zero {
		text += "a=" + direction + "\r\n"
	}
	return text
}

// errMedia is a description without audio that a phone understands.
var errMedia = errors.New("no audio in common")

// mediaOf is what a body describes; nothing where it can't be read.
func mediaOf(body []byte) Media {
	m, _, _, err := readMedia(body)
	if err != nil {
		return Media{}
	}
	return m
}

// readMedia reads a description: what it says of the first audio that a phone understands, all its m= lines without
// that, and which of them it is.
func readMedia(body []byte) (m Media, lines []string, at int, err error) {
	sections := [][]string{nil}
	for l := range strings.Lines(string(body)) {
		l = strings.TrimRight(l, "\r\n \t")
		if rest, ok := strings.CutPrefix(l, "m="); ok {
			if len(strings.Fields(rest)) < 4 {
				return m, nil, 0, fmt.Errorf("line %q: %w", l, errMedia)
			}
			lines = append(lines, rest)
			sections = append(sections, nil)
		}
		sections[len(sections)-1] = append(sections[len(sections)-1], l)
	}
	for at := range lines {
		if m, ok := readAudio(lines[at], append(slices.Clone(sections[0]), sections[at+1]...)); ok {
			return m, lines, at, nil
		}
	}
	return m, nil, 0, errMedia
}

// readAudio reads one m= line with what belongs to it: what comes later counts.
func readAudio(line string, section []string) (Media, bool) {
	f := strings.Fields(line)
	port, err := strconv.ParseUint(f[1], 10, 16)
	if f[0] != "audio" || f[2] != "RTP/AVP" || err != nil || port == 0 {
		return Media{}, false
	}
	m := Media{Direction: sendrecv}
	var addr netip.Addr
	events := map[string]bool{}
	for _, l := range section {
		key, value, _ := strings.Cut(l, "=")
		switch words := strings.Fields(value); {
		case key == "c" && len(words) == 3:
			addr, _ = netip.ParseAddr(words[2])
		case key != "a" || len(words) == 0:
		case slices.Contains(directions, words[0]):
			m.Direction = words[0]
		case len(words) == 2 && strings.EqualFold(words[1], "telephone-event/8000"):
			events[strings.TrimPrefix(words[0], "rtpmap:")] = true
		}
	}
	m.Remote = netip.AddrPortFrom(addr, uint16(port))
	codec := slices.IndexFunc(f[3:], func(p string) bool { return p == "8" || p == "0" })
	if codec < 0 || !addr.IsValid() {
		return Media{}, false
	}
	if f[3+codec] == "8" {
		m.Payload = payloadPCMA
	}
	for _, p := range f[3:] {
		if n, err := strconv.ParseUint(p, 10, 7); err == nil && events[p] && m.Event == 0 {
			m.Event = uint8(n)
		}
	}
	return m, true
}
