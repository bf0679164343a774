package sdp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// choose is the medium that is served, and its index: in our place if that can be, else the first.
func (s *Session) choose(d *description) (at int, m Media, err error) {
	at = -1
	var why reason
	for i := range d.lines {
		found, e := s.serve(d, i)
		r, refused := errors.AsType[reason](e)
		switch {
		case refused:
			why = max(why, r)
		case e != nil:
			err = e
		case at < 0 || i == s.line():
			at, m = i, found
		}
	}
	switch {
	case at >= 0:
		return at, m, nil
	case err != nil:
		return 0, Media{}, err
	}
	return 0, Media{}, why
}

// serve is what a medium comes to. Its error is a reason or ErrMalformed.
func (s *Session) serve(d *description, i int) (Media, error) {
	name := d.MediaDescriptions[i].MediaName
	switch {
	case d.lines[i].media != "audio", d.lines[i].port == "0":
		return Media{}, noAudio
	case !d.lines[i].audio():
		return Media{}, noTransport
	case name.Port.Value == 0: // written otherwise
		return Media{}, noAudio
	}
	m := Media{Ptime: d.ptime(i), Direction: d.direction(i).mirror()}
	known, _ := d.formats(i, s.Formats)
	for _, f := range known {
		switch {
		case f.Name == event:
			m.Event = f.Number
		case m.Codec == "":
			m.Codec, m.PayloadType = f.Name, f.Number
		}
	}
	if m.Codec == "" {
		return Media{}, noFormat
	}
	addr, err := d.address(i)
	switch {
	case err != nil:
		return Media{}, err
	case addr.IsUnspecified(): // of either family
		m.Direction = m.Direction.and(RecvOnly)
	case s.Addr.IsValid() && addr.Is4() != s.Addr.Is4():
		return Media{}, noAddress
	}
	m.Remote = netip.AddrPortFrom(addr, uint16(name.Port.Value)) // the parser has held it to 65535
	return m, nil
}

// formats are the first PCMA, PCMU and telephone-event of a medium, in its order, and the numbers that it uses for anything.
// Numbers that no rtpmap explains mean what they mean to us: peers that answer or hold may leave out what was said before.
func (d *description) formats(i int, meant []Format) (known []Format, taken [128]bool) {
	const rate = "/8000"
	names := map[string]string{"0": PCMU + rate, "8": PCMA + rate} // RFC 3551 table 4: these need no rtpmap
	for _, f := range meant {
		names[strconv.Itoa(int(f.Number))] = f.Name + rate
	}
	medium := d.MediaDescriptions[i]
	for _, a := range medium.Attributes {
		if a.Key != "rtpmap" {
			continue
		}
		number, name, _ := strings.Cut(a.Value, " ")
		names[number] = strings.TrimSuffix(strings.TrimSpace(name), "/1") // one channel
		if n, err := strconv.ParseUint(number, 10, 7); err == nil {
			taken[n] = true
		}
	}
	seen := map[string]bool{}
	for _, format := range medium.MediaName.Formats {
		n, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			continue
		}
		taken[n] = true
		for _, name := range []string{PCMA, PCMU, event} {
			if strings.EqualFold(names[format], name+rate) && !seen[name] && (name != event || n != 0) {
				seen[name] = true
				known = append(known, Format{name, uint8(n)})
			}
		}
	}
	return known, taken
}

// address is where the medium is to be sent. A multicast group or a name (none is ever resolved) is noAddress, a missing
// or nonsensical address is ErrMalformed.
func (d *description) address(i int) (netip.Addr, error) {
	c := d.MediaDescriptions[i].ConnectionInformation
	if c == nil {
		c = d.ConnectionInformation
	}
	if c == nil || c.Address == nil {
		return netip.Addr{}, fmt.Errorf("%w: no c= line", ErrMalformed)
	}
	text, _, _ := strings.Cut(c.Address.Address, "/") // a multicast group has a TTL
	addr, err := netip.ParseAddr(text)
	if err != nil {
		if strings.ContainsFunc(text, isLetter) && !strings.Contains(text, ":") {
			return netip.Addr{}, noAddress
		}
		return netip.Addr{}, fmt.Errorf("%w: c= address %.40q", ErrMalformed, text)
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}, noAddress
	}
	return addr, nil
}

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

// direction is the peer's own: of the medium, else of the session, else sendrecv.
func (d *description) direction(i int) Direction {
	for a := range d.attributes(i) {
		for dir := SendRecv; dir <= Inactive; dir++ {
			if a.Key == dir.String() {
				return dir
			}
		}
	}
	return SendRecv
}

// The packets that we make, in ms.
const (
	usual   = 20
	step    = 10
	longest = 60
)

// ptime is how long the packets that we make for the peer should be: what it asks for if that can be made, else 20 ms, and
// no more than it can take where that is a step or more (RFC 4566, 6).
func (d *description) ptime(i int) int {
	limit := d.milliseconds(i, "maxptime", longest)
	if wish := d.milliseconds(i, "ptime", usual); wish%step == 0 && step <= wish && wish <= min(limit, longest) {
		return wish
	}
	return max(step, min(usual, limit)/step*step)
}

// milliseconds is the value of an attribute, rounded down; otherwise where there is none or none that makes sense.
func (d *description) milliseconds(i int, key string, otherwise int) int {
	for a := range d.attributes(i) {
		if v, err := strconv.ParseFloat(a.Value, 64); a.Key == key && err == nil && v >= 1 && v <= 1000 {
			return int(v)
		}
	}
	return otherwise
}
