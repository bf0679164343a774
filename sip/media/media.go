// Package media is the sound of a call: one Stream a leg, each with its own RTP (RFC 3550) to its peer. What a stream
// sends is a Prompt, what one other stream receives, what several receive, mixed, or nothing; packets are never
// forwarded blindly.
//
// Each stream has one goroutine that reads its RTP and hands it at once to those that hear it, and one with a clock
// while it plays and while it mixes. The peer's RTCP is not read. A crash frees the
// ports; with a Mark that was kept the next run goes on where a stream stood.
package media

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/zaf/g711"
)

// ErrNoPort says that no pair of ports of the range is free.
var ErrNoPort = errors.New("media: no free port")

// Net opens every socket of the gateway; its functions have the contracts of package net. Tests hand in one in memory.
// A stream allocates nothing for a packet if its connection has ReadFromUDPAddrPort and WriteToUDPAddrPort, as
// net.UDPConn has.
type Net struct {
	ListenPacket func(network, addr string) (net.PacketConn, error)
	Listen       func(network, addr string) (net.Listener, error)
	Dial         func(ctx context.Context, network, addr string) (net.Conn, error)
}

// System is the operating system's network.
func System() Net {
	var d net.Dialer
	return Net{ListenPacket: net.ListenPacket, Listen: net.Listen, Dial: d.DialContext}
}

// Codec is a G.711 codec; its number is its static payload type (RFC 3551 table 4).
type Codec uint8

// The codecs: 8,000 samples a second, one byte each.
const (
	PCMU Codec = 0 // mu-law
	PCMA Codec = 8 // A-law
)

// Format is what a stream and its peer agreed on.
type Format struct {
	Codec Codec // what we send; the other one is understood too
	Event uint8 // payload type of telephone-event (RFC 4733); 0: none is sent or understood
	Audio uint8 // payload type of the codec, if the peer gave it another than its static one; 0: it did not

	// EventIn is the payload type of telephone-event in our own description, under which the peer may send it besides
	// Event; 0: 101, as in the first offer of ours.
	EventIn uint8

	// Ptime is how much sound a packet that is made here holds, a prompt's or a mix's: 10 to 60 ms in steps of 10, the
	// nearest that fits; 0: 20 ms. What is relayed stays as long as it came.
	Ptime time.Duration
}

// payload is the payload type of the codec.
func (f Format) payload() uint8 {
	if f.Audio != 0 {
		return f.Audio
	}
	return uint8(f.Codec)
}

// samples is how many samples a packet holds that is made here.
func (f Format) samples() int {
	const step = 10 * time.Millisecond
	d := frame
	if f.Ptime != 0 {
		d = min(max(f.Ptime, step), maxPtime).Truncate(step)
	}
	return int(d / sample)
}

// Numbers of RTP that are nobody's to choose.
const (
	frame        = 20 * time.Millisecond // of a packet that we make, unless the peer wants another
	frameSamples = 160
	sample       = time.Second / 8000
	maxPtime     = 60 * time.Millisecond
	maxPacket    = 480 // samples of maxPtime

	comfortNoise = 13  // static payload type (RFC 3389)
	offeredEvent = 101 // payload type of telephone-event in our first offer

	headerSize  = 12   // of an RTP packet of ours
	maxDatagram = 1500 // larger ones are not taken
)

// kind is what a packet holds.
type kind uint8

const (
	alien   kind = iota // nothing that was agreed on
	silence             // comfort noise, or no payload at all
	event               // a telephone-event
	alaw
	mulaw
)

// kind of the packets with a payload type. We offer both codecs and give events a number of our own, so they are
// understood under these numbers whatever the peer's description says (RFC 3264 section 5.1).
func (f Format) kind(payload uint8) kind {
	switch {
	case f.Event != 0 && payload == f.Event:
		return event
	case payload == f.payload():
		return f.Codec.kind()
	case payload == uint8(PCMA):
		return alaw
	case payload == uint8(PCMU):
		return mulaw
	case payload == comfortNoise:
		return silence
	case f.Event != 0 && payload == cmp.Or(f.EventIn, offeredEvent):
		return event
	}
	return alien
}

func (c Codec) kind() kind {
	if c == PCMU {
		return mulaw
	}
	return alaw
}

// convert copies sound from one law to another, bit for bit if they are the same. dst is as long as src.
func convert(dst []byte, to kind, src []byte, from kind) {
	switch {
	case from == alaw && to == mulaw:
		for i, b := range src {
			dst[i] = g711.Alaw2UlawFrame(b)
		}
	case from == mulaw && to == alaw:
		for i, b := range src {
			dst[i] = g711.Ulaw2AlawFrame(b)
		}
	default:
		copy(dst, src)
	}
}

// wire is a packet connection; it allocates nothing for a packet where the connection allows that.
type wire struct {
	net.PacketConn
	fast addrPortConn // the same connection, or nil
}

type addrPortConn interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
}

func newWire(c net.PacketConn) wire {
	fast, _ := c.(addrPortConn)
	return wire{PacketConn: c, fast: fast}
}

func (w wire) read(b []byte) (int, netip.AddrPort, error) {
	if w.fast != nil {
		n, src, err := w.fast.ReadFromUDPAddrPort(b)
		return n, unmap(src), err
	}
	n, addr, err := w.ReadFrom(b)
	switch a := addr.(type) {
	case nil:
		return n, netip.AddrPort{}, err
	case *net.UDPAddr:
		return n, unmap(a.AddrPort()), err
	}
	src, _ := netip.ParseAddrPort(addr.String()) // an address of another kind fits no stream
	return n, unmap(src), err
}

func (w wire) write(b []byte, to netip.AddrPort) error {
	if w.fast != nil {
		_, err := w.fast.WriteToUDPAddrPort(b, to)
		return err
	}
	_, err := w.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return err
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
