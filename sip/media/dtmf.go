package media

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"
)

const (
	eventSize    = 4  // payload of a telephone-event (RFC 4733 section 2.3)
	maxKeys      = 16 // a second; a hand is slower, and what is told goes on into the call's journal
	keyTolerance = 50 * time.Millisecond / sample
)

// keyNames are the events 0 to 15 (RFC 4733 section 3.2).
var keyNames = [...]string{
	"dtmf:0", "dtmf:1", "dtmf:2", "dtmf:3", "dtmf:4", "dtmf:5", "dtmf:6", "dtmf:7", "dtmf:8", "dtmf:9",
	"dtmf:*", "dtmf:#", "dtmf:A", "dtmf:B", "dtmf:C", "dtmf:D",
}

// keys tells key presses from the packets of telephone-events: each press is sent many times over.
type keys struct {
	seen     [4]press // the latest, newest at index newest
	newest   int
	duration uint32 // of the newest, in samples, so far
	ended    bool   // the newest has been let go

	second time.Time // a second's beginning, and the presses in it
	count  int
}

// press is a key press, or a segment of a long one.
type press struct {
	told bool // false: the zero press, none
	ssrc uint32
	ts   uint32 // all packets of an event have the timestamp of its beginning
	code uint8
}

// hear is the name of the key, if the packet is the first of its press.
func (k *keys) hear(p *rtp.Packet, now time.Time) (name string, ok bool) {
	code, end := p.Payload[0], p.Payload[1]&0x80 != 0
	duration := uint32(binary.BigEndian.Uint16(p.Payload[2:]))
	if int(code) >= len(keyNames) {
		return "", false
	}
	this, last := press{true, p.SSRC, p.Timestamp, code}, k.seen[k.newest]
	if this == last {
		k.duration, k.ended = max(k.duration, duration), k.ended || end
		return "", false
	}
	for _, old := range k.seen {
		if this == old {
			return "", false
		}
	}
	// A press longer than 8 s goes on as a new segment, which begins where the last one ends (section 2.5.1.3).
	goesOn := last.told && last.ssrc == this.ssrc && last.code == code && !k.ended && !p.Marker &&
		this.ts-last.ts <= k.duration+uint32(keyTolerance)
	k.newest = (k.newest + 1) % len(k.seen)
	k.seen[k.newest], k.duration, k.ended = this, duration, end
	if goesOn || !k.allow(now) {
		return "", false
	}
	return keyNames[code], true
}

// allow bounds the presses of a second.
func (k *keys) allow(now time.Time) bool {
	if now.Sub(k.second) >= time.Second {
		k.second, k.count = now, 0
	}
	k.count++
	return k.count <= maxKeys
}
