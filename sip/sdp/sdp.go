// Package sdp is the offer and answer (RFC 3264) of one G.711 audio stream with telephone-events: a Session is our side of
// it over a whole dialog, a plain value without clock or I/O.
//
// What is read is read leniently where leniency costs nothing (unknown lines, media and transports, a missing name or
// time), for a call must not fail over a line that it does not need. Keys (a=crypto, k=) are never read: a plain
// description with a key in it is a plain description. What web phones say of bundles, ICE, DTLS and feedback is passed
// over and never repeated.
package sdp

import (
	"errors"
	"net/netip"
)

var (
	// ErrNotAcceptable says that the description is well formed, but holds no audio that can be served: 488, with a
	// Warning.
	ErrNotAcceptable = errors.New("sdp: no audio in common")
	// ErrMalformed says that the description cannot be read: 400.
	ErrMalformed = errors.New("sdp: malformed")
)

// The codecs by their encoding name (RFC 3551).
const (
	PCMA = "PCMA" // A-law, static payload type 8
	PCMU = "PCMU" // mu-law, static payload type 0
)

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

func (d Direction) receives() bool { return d == SendRecv || d == RecvOnly }

func direction(sends, receives bool) Direction {
	switch {
	case sends && receives:
		return SendRecv
	case sends:
		return SendOnly
	case receives:
		return RecvOnly
	}
	return Inactive
}

// mirror is the direction as the other side sees it.
func (d Direction) mirror() Direction { return direction(d.receives(), d.Sends()) }

// and is what both directions allow.
func (d Direction) and(o Direction) Direction {
	return direction(d.Sends() && o.Sends(), d.receives() && o.receives())
}

// Media is what an offer and its answer agreed on.
//
// PayloadType and Event are the peer's numbers, under which we send. A peer that answers may know telephone-event by
// another number than the one we offered, and still send it under ours: that one is EventIn (RFC 3264, 5.1 and 6.1).
type Media struct {
	Remote      netip.AddrPort // where the peer receives; an unspecified address: nowhere (the hold of RFC 2543)
	Codec       string         // PCMA or PCMU
	PayloadType uint8          // of the codec: its static one, unless the peer gave it another
	Event       uint8          // payload type of telephone-event (RFC 4733) at 8,000 Hz; 0: none
	EventIn     uint8          // payload type of telephone-event in our own description; 0: none
	Ptime       int            // ms of sound a packet that we make: 10 to 60, a multiple of 10
	Direction   Direction      // ours
}
