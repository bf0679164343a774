package media

import (
	"net/netip"
	"time"
)

// patience is how long a stream waits for the address that the SDP named: at the beginning before it takes packets
// from elsewhere, later before it lets a lesser source follow one that has fallen silent.
const patience = 2 * time.Second

// latch decides whose packets a stream takes and where it sends its own: to where the peer's come from (symmetric RTP,
// RFC 4961), for behind a NAT the SDP's address is not the peer's.
//
// A stranger must not steal the stream. The SDP's own address and port are taken at any time. Another port of that
// address is taken until the named one speaks, and from then on only where the locked source has been silent for two
// seconds. Another address is taken only if nothing has come from the SDP's in the two seconds after Set, and the SDP's
// address takes the stream back whenever it speaks. What remains: a stranger who finds the port of a peer that itself
// sends nothing.
type latch struct {
	remote netip.AddrPort // of the SDP; zero before Set
	hold   bool           // the SDP says that the peer receives nowhere
	since  time.Time      // when remote was set
	known  netip.Addr     // where a peer behind a NAT spoke from, before its SDP named another port
	from   netip.AddrPort // the locked source; zero: none yet
	last   time.Time      // its newest packet
	before netip.AddrPort // the source that an earlier run had locked; it is taken up with the first address
}

// How well a source fits.
const (
	stranger  = iota
	familiar  // the address that was locked before a change of port
	neighbor  // the SDP's address
	announced // the SDP's address and port
)

// expect takes the SDP's address. The same one again changes nothing; one that cannot be sent to is a hold, which
// keeps the lock for its end.
func (l *latch) expect(remote netip.AddrPort, now time.Time) {
	l.hold = !remote.IsValid() || remote.Addr().IsUnspecified() || remote.Port() == 0
	if l.hold || remote == l.remote {
		return
	}
	switch {
	case remote.Addr() != l.remote.Addr():
		l.known = netip.Addr{}
	case l.from.IsValid():
		l.known = l.from.Addr()
	}
	l.remote, l.since = remote, now
	l.from, l.last = netip.AddrPort{}, time.Time{}
	if l.before.IsValid() {
		l.from, l.last, l.before = l.before, now, netip.AddrPort{}
	}
}

func (l *latch) rank(src netip.AddrPort) int {
	switch {
	case src == l.remote:
		return announced
	case src.Addr() == l.remote.Addr():
		return neighbor
	case src.Addr() == l.known:
		return familiar
	}
	return stranger
}

// admit says whether a packet from src is taken, and locks on to src if it is.
func (l *latch) admit(src netip.AddrPort, now time.Time) bool {
	if !l.remote.IsValid() || !src.IsValid() {
		return false
	}
	if locked := l.from.IsValid(); src != l.from {
		rank := l.rank(src)
		switch {
		case rank == stranger && (locked || now.Sub(l.since) < patience):
			return false
		case locked && rank <= l.rank(l.from) && now.Sub(l.last) < patience:
			return false
		}
		l.from = src
	}
	l.last = now
	return true
}

// target is where to send; ok is false if nowhere.
func (l *latch) target() (to netip.AddrPort, ok bool) {
	if l.from.IsValid() {
		return l.from, !l.hold
	}
	return l.remote, !l.hold && l.remote.IsValid()
}
