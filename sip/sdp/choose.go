package sdp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	pion "github.com/pion/sdp/v3"
)

// codec is a G.711 codec with its payload type.
type codec struct {
	name    string
	payload uint8
}

// choose is the first medium that can be served from local (invalid: any address will do), and its index. assumed is
// the telephone-event payload type that needs no rtpmap, because we offered it ourselves; 0: none.
func (s *session) choose(local netip.Addr, assumed uint8) (int, Media, error) {
	why := "no audio over RTP/AVP"
	for i, d := range s.MediaDescriptions {
		if !s.lines[i].audio() || d.MediaName.Port.Value == 0 {
			continue
		}
		c, ev, ok := codecs(d, assumed)
		if !ok {
			why = "neither PCMA nor PCMU"
			continue
		}
		addr, err := s.address(d)
		if err != nil {
			return 0, Media{}, err
		}
		if !addr.IsValid() || local.IsValid() && !addr.IsUnspecified() && addr.Is4() != local.Unmap().Is4() {
			why = "its address cannot be reached"
			continue
		}
		m := Media{
			Remote: netip.AddrPortFrom(addr, uint16(d.MediaName.Port.Value)), // the parser has held it to 65535
			Codec:  c.name, PayloadType: c.payload, Event: ev,
			Direction: s.direction(d).mirror(),
		}
		if addr.IsUnspecified() {
			m.Direction = m.Direction.mute()
		}
		return i, m, nil
	}
	return 0, Media{}, fmt.Errorf("%w: %s", ErrNotAcceptable, why)
}

// codecs is the first G.711 format of a medium and the first telephone-event at its clock rate.
func codecs(d *pion.MediaDescription, assumed uint8) (c codec, ev uint8, ok bool) {
	names := map[string]string{"0": "PCMU/8000", "8": "PCMA/8000"} // RFC 3551 table 4: these need no rtpmap
	if assumed != 0 {
		names[strconv.Itoa(int(assumed))] = "TELEPHONE-EVENT/8000"
	}
	for _, a := range d.Attributes {
		if payload, name, found := strings.Cut(a.Value, " "); found && a.Key == "rtpmap" {
			names[payload] = strings.ToUpper(strings.TrimSuffix(strings.TrimSpace(name), "/1")) // one channel
		}
	}
	for _, format := range d.MediaName.Formats {
		payload, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			continue
		}
		switch name := names[format]; {
		case name == "PCMA/8000" && !ok:
			c, ok = codec{PCMA, uint8(payload)}, true
		case name == "PCMU/8000" && !ok:
			c, ok = codec{PCMU, uint8(payload)}, true
		case name == "TELEPHONE-EVENT/8000" && ev == 0:
			ev = uint8(payload)
		}
	}
	return c, ev, ok
}

// address is where the medium is to be sent. It is invalid where there is nobody to send to: a multicast group or a
// name (none is ever resolved). A missing or nonsensical address is ErrMalformed.
func (s *session) address(d *pion.MediaDescription) (netip.Addr, error) {
	c := d.ConnectionInformation
	if c == nil {
		c = s.ConnectionInformation
	}
	if c == nil || c.Address == nil {
		return netip.Addr{}, fmt.Errorf("%w: no c= line", ErrMalformed)
	}
	text, _, _ := strings.Cut(c.Address.Address, "/") // a multicast group has a TTL
	addr, err := netip.ParseAddr(text)
	if err != nil {
		if strings.ContainsFunc(text, isLetter) && !strings.Contains(text, ":") {
			return netip.Addr{}, nil
		}
		return netip.Addr{}, fmt.Errorf("%w: c= address %.40q", ErrMalformed, text)
	}
	addr = addr.Unmap().WithZone("")
	if addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}, nil
	}
	return addr, nil
}

func isLetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

// direction is the peer's own: of the medium, else of the session, else sendrecv.
func (s *session) direction(d *pion.MediaDescription) Direction {
	for _, attrs := range [][]pion.Attribute{d.Attributes, s.Attributes} {
		for _, a := range attrs {
			for dir := SendRecv; dir <= Inactive; dir++ {
				if a.Key == dir.String() {
					return dir
				}
			}
		}
	}
	return SendRecv
}
