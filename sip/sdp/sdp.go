// Package sdp is the offer and answer (RFC 3264) of one G.711 audio stream with telephone-events, as pure functions.
//
// What is read is read leniently where leniency costs nothing (unknown lines, media and transports, a missing name or
// time), for a call must not fail over a line that it does not need. Keys (a=crypto, k=) are never read: a plain
// description with a key in it is a plain description.
package sdp

import (
	"errors"
	"net/netip"
)

var (
	// ErrNotAcceptable says that the description is well formed, but holds no audio that can be served: 488.
	ErrNotAcceptable = errors.New("sdp: no audio in common")
	// ErrMalformed says that the description cannot be read: 400.
	ErrMalformed = errors.New("sdp: malformed")
)

// The codecs by their encoding name (RFC 3551).
const (
	PCMA = "PCMA" // A-law, static payload type 8
	PCMU = "PCMU" // mu-law, static payload type 0
)

// event is the telephone-event payload type of our own offers.
const event = 101

// Direction is who sends, as seen from our side: the mirror image of what the peer wrote (RFC 3264 section 6.1).
type Direction uint8

// The directions.
const (
	SendRecv Direction = iota // both send
	SendOnly                  // the peer listens only
	RecvOnly                  // the peer sends only: it holds us
	Inactive                  // nobody sends
)

// String is the attribute's name.
func (d Direction) String() string {
	switch d {
	case SendRecv:
		return "sendrecv"
	case SendOnly:
		return "sendonly"
	case RecvOnly:
		return "recvonly"
	case Inactive:
		return "inactive"
	}
	return "unknown"
}

// Sends says whether we may send.
func (d Direction) Sends() bool { return d == SendRecv || d == SendOnly }

// mirror is the direction as the other side sees it.
func (d Direction) mirror() Direction {
	switch d {
	case SendOnly:
		return RecvOnly
	case RecvOnly:
		return SendOnly
	case SendRecv, Inactive:
	}
	return d
}

// mute is the direction once we may no longer send.
func (d Direction) mute() Direction {
	switch d {
	case SendRecv, RecvOnly:
		return RecvOnly
	case SendOnly, Inactive:
	}
	return Inactive
}

// Media is what an offer and its answer agreed on.
type Media struct {
	Remote      netip.AddrPort // where the peer receives; an unspecified address: nowhere (the hold of RFC 2543)
	Codec       string         // PCMA or PCMU
	PayloadType uint8          // of the codec: its static one, unless the peer gave it another
	Event       uint8          // payload type of telephone-event (RFC 4733) at 8,000 Hz; 0: none
	Direction   Direction      // ours
}

// Local is our side of a session.
type Local struct {
	Addr    netip.Addr // where we receive; must be valid
	Port    uint16     // of RTP
	Session uint64     // o=, the same for the whole dialog
	Version uint64     // o=, one more with each description that differs from the one before
}

// Offer is our offer: PCMA, PCMU and telephone-event, 20 ms a packet, in both directions.
func Offer(l Local) []byte {
	d := describe(l)
	d.MediaDescriptions = append(d.MediaDescriptions, audio(l.Port, SendRecv, event, codec{PCMA, 8}, codec{PCMU, 0}))
	return marshal(d)
}

// Answer reads an offer and answers it: the first audio line over RTP/AVP that shares a codec, in the offerer's order
// of preference and with the offerer's payload types, is accepted; every other line is refused with port 0, in its
// place. An offer without such a line is ErrNotAcceptable, one that cannot be read is ErrMalformed.
func Answer(offer []byte, l Local) (answer []byte, m Media, err error) {
	s, err := parse(offer)
	if err != nil {
		return nil, Media{}, err
	}
	at, m, err := s.choose(l.Addr, 0)
	if err != nil {
		return nil, Media{}, err
	}
	d := describe(l)
	d.TimeDescriptions = s.TimeDescriptions // must be the offer's (RFC 3264 section 6)
	for i, line := range s.lines {
		if i == at {
			d.MediaDescriptions = append(d.MediaDescriptions,
				audio(l.Port, m.Direction, m.Event, codec{m.Codec, m.PayloadType}))
			continue
		}
		d.MediaDescriptions = append(d.MediaDescriptions, line.refuse())
	}
	return marshal(d), m, nil
}

// Accept reads the answer to an Offer. Payload types are those that the answer names; of several codecs the first one
// that we offered counts. An answer that refuses the audio is ErrNotAcceptable.
func Accept(answer []byte) (Media, error) {
	s, err := parse(answer)
	if err != nil {
		return Media{}, err
	}
	_, m, err := s.choose(netip.Addr{}, event)
	return m, err
}
