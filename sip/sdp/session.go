package sdp

import (
	"fmt"
	"net/netip"
	"slices"
)

// event is the encoding name of telephone-events.
const event = "telephone-event"

// Format is an encoding at 8,000 Hz with its payload type.
type Format struct {
	Name   string `json:"name"` // PCMA, PCMU, telephone-event
	Number uint8  `json:"number"`
}

// Session is our side of a leg's offer/answer over its whole dialog. It is made by New, copied by assignment, and goes on
// after a restart where its JSON was kept: the fields are for that, and for nobody to write.
//
// Each description of ours that differs from the one sent before it has a version one higher in o=, and one that is the
// same word for word has the same (RFC 3264, 8). A version once sent is used up, also if its offer was refused.
type Session struct {
	Addr    netip.Addr `json:"addr"`             // where we receive
	Port    uint16     `json:"port"`             // of RTP
	ID      uint64     `json:"id"`               // of o=, the same for the whole dialog
	Version uint64     `json:"version"`          // of o= of the last description sent; 0: none was
	Said    string     `json:"said"`             // that description without what stands before s=
	Lines   []string   `json:"lines"`            // the m= lines of the dialog in their order (RFC 3264, 8), each as it is refused; "": ours
	Proto   string     `json:"proto"`            // transport of ours
	Formats []Format   `json:"formats"`          // of ours as the next offer has them, the preferred one first
	Settled bool       `json:"settled"`          // both sides go by it
	Agreed  string     `json:"agreed,omitempty"` // else the last one that they went by, as Said
	Going   Direction  `json:"going,omitempty"`  // its direction
	Open    bool       `json:"open,omitempty"`   // an offer of ours waits for its answer
	Asked   Direction  `json:"asked,omitempty"`  // direction of that offer
}

// New is the session of a dialog in which nothing was described. addr is where we receive on that port; an invalid one
// stands for all of IPv4, and then any address of the peer will do. id is under 1<<63 (RFC 3264, 5).
func New(addr netip.Addr, port uint16, id uint64) Session {
	return Session{
		Addr: addr.Unmap().WithZone(""), Port: port, ID: id,
		Lines: []string{""}, Proto: "RTP/AVP", Formats: complete(nil, [128]bool{}),
	}
}

// Offer is an offer of ours, the first or a later one: PCMA, PCMU and telephone-event in the direction d, 20 ms a packet.
// In a dialog with an agreement it has the m= lines of that, those which are not ours refused as before, and the payload
// types of the peer's last offer (RFC 3264, 8). The offer is open until Accept, Withdraw, or an Answer.
//
// Our descriptions have no a=maxptime: packets of any length are taken and relayed as they come (RFC 4566, 6).
func (s *Session) Offer(d Direction) []byte {
	s.Open, s.Asked = true, d
	return s.say("t=0 0\r\n", d, s.Formats)
}

// Answer reads an offer and answers it, the first or a later one: an audio line over RTP/AVP or RTP/AVPF that shares a
// codec is accepted, ours if there is one and else the first, with the first codec in the offerer's order of preference and
// the offerer's payload types; every other line is refused with port 0, in its place (RFC 3264, 6). The direction is what
// the peer and d both allow; a peer at 0.0.0.0 or :: cannot be sent to (RFC 3264, 8.4).
//
// An offer without such a line is ErrNotAcceptable, one that cannot be read is ErrMalformed; the session is then as before.
// An open offer of ours is withdrawn.
func (s *Session) Answer(offer []byte, d Direction) (answer []byte, m Media, err error) {
	o, err := parse(offer)
	if err != nil {
		return nil, Media{}, err
	}
	at, m, err := s.choose(o)
	if err != nil {
		return nil, Media{}, err
	}
	m.Direction, m.EventIn = m.Direction.and(d), m.Event
	known, taken := o.formats(at, s.Formats)
	s.Open, s.Lines, s.Proto, s.Formats = false, o.refused(at), o.lines[at].proto, complete(known, taken)
	formats := []Format{{m.Codec, m.PayloadType}}
	if m.Event != 0 {
		formats = append(formats, Format{event, m.Event})
	}
	answer = s.say(o.times(), m.Direction, formats)
	s.settle(m.Direction)
	return answer, m, nil
}

// Refresh is an offer that changes nothing: our last description that was agreed on, word for word (RFC 4028, 7.4). It is
// open as any other. Without an agreement it is a first offer.
func (s *Session) Refresh() []byte {
	agreed := s.Agreed
	if s.Settled {
		agreed = s.Said
	}
	if agreed == "" {
		return s.Offer(SendRecv)
	}
	s.Open, s.Asked = true, s.Going
	return s.repeat(agreed)
}

// Accept reads the answer to our open offer. Payload types are those that the answer names; of several codecs its first one
// counts. A direction that our offer does not allow is cut down to what it does (RFC 3264,
// 6.1). Of an answer with too few or too many m= lines the one in our place counts, else the first that can be used.
//
// An answer that refuses the audio, or to no offer, is ErrNotAcceptable, one that cannot be read is ErrMalformed; the offer
// is then still open.
func (s *Session) Accept(answer []byte) (Media, error) {
	if !s.Open {
		return Media{}, fmt.Errorf("%w: no offer is open", ErrNotAcceptable)
	}
	a, err := parse(answer)
	if err != nil {
		return Media{}, err
	}
	_, m, err := s.choose(a)
	if err != nil {
		return Media{}, err
	}
	m.Direction = m.Direction.and(s.Asked)
	if in := s.number(event); in != m.PayloadType {
		m.EventIn = in
	}
	s.Open = false
	s.settle(s.Asked)
	return m, nil
}

// settle notes that both sides go by our last description, in its direction.
func (s *Session) settle(d Direction) { s.Settled, s.Agreed, s.Going = true, "", d }

// Withdraw takes our open offer back because it was refused (RFC 6337, 2.2): what was agreed on before stays.
// Without one it does nothing.
func (s *Session) Withdraw() { s.Open = false }

// line is the place of ours among the m= lines.
func (s *Session) line() int { return slices.Index(s.Lines, "") }

// number is the payload type of an encoding in our next offer; 0: it has none.
func (s *Session) number(name string) uint8 {
	for _, f := range s.Formats {
		if f.Name == name {
			return f.Number
		}
	}
	return 0
}

// complete adds to what a peer offered what else we can do, under numbers that the offer does not use (RFC 3264, 8.3.2), the
// telephone-events last. An encoding for which there is no number is left out.
func complete(known []Format, taken [128]bool) []Format {
	var codecs, events []Format
	add := func(f Format) {
		if f.Name == event {
			events = append(events, f)
			return
		}
		codecs = append(codecs, f)
	}
	for _, f := range known {
		add(f)
	}
	for _, f := range []Format{{PCMA, 8}, {PCMU, 0}, {event, 101}} {
		if slices.ContainsFunc(known, func(k Format) bool { return k.Name == f.Name }) {
			continue
		}
		for n := uint8(96); taken[f.Number] && n < 128; n++ { // the dynamic ones (RFC 3551, 3)
			f.Number = n
		}
		if !taken[f.Number] {
			taken[f.Number] = true
			add(f)
		}
	}
	return append(codecs, events...)
}
