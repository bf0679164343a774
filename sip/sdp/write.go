package sdp

import (
	"net/netip"

	pion "github.com/pion/sdp/v3"
)

// describe is a description of ours without its media.
func describe(l Local) *pion.SessionDescription {
	addr := l.Addr.Unmap().WithZone("")
	if !addr.IsValid() {
		addr = netip.IPv4Unspecified()
	}
	kind := "IP4"
	if addr.Is6() {
		kind = "IP6"
	}
	return &pion.SessionDescription{
		Origin: pion.Origin{
			Username: "-", SessionID: l.Session, SessionVersion: l.Version,
			NetworkType: "IN", AddressType: kind, UnicastAddress: addr.String(),
		},
		SessionName: "-",
		ConnectionInformation: &pion.ConnectionInformation{
			NetworkType: "IN", AddressType: kind, Address: &pion.Address{Address: addr.String()},
		},
		TimeDescriptions: []pion.TimeDescription{{}},
	}
}

// audio is a medium of ours. ev is the telephone-event payload type, 0: none; the events are the keys (RFC 4733
// section 2.5.2).
func audio(port uint16, dir Direction, ev uint8, codecs ...codec) *pion.MediaDescription {
	d := &pion.MediaDescription{MediaName: pion.MediaName{
		Media: "audio", Port: pion.RangedPort{Value: int(port)}, Protos: []string{"RTP", "AVP"},
	}}
	for _, c := range codecs {
		d.WithCodec(c.payload, c.name, 8000, 0, "")
	}
	if ev != 0 {
		d.WithCodec(ev, "telephone-event", 8000, 0, "0-15")
	}
	return d.WithValueAttribute("ptime", "20").WithPropertyAttribute(dir.String())
}

// marshal writes a description. The writer has an error in its signature alone: it never returns one.
func marshal(d *pion.SessionDescription) []byte {
	text, _ := d.Marshal()
	return text
}
