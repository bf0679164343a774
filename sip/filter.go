package sip

import (
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/config"
)

// sources knows which networks may speak to us at all. Everybody else gets nothing and is counted.
type sources struct {
	trunks    []config.Trunk
	takers    []netip.Prefix
	before    map[netip.Addr]bool // peers of dialogs that an earlier run left; not changed once messages are read
	strangers atomic.Uint64
}

// trunk is the trunk that the address belongs to; a trunk's address wins over a taker's.
func (s *sources) trunk(a netip.Addr) (config.Trunk, bool) {
	for _, t := range s.trunks {
		if slices.ContainsFunc(t.From, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return t, true
		}
	}
	return config.Trunk{}, false
}

// taker tells whether REGISTER is heard from the address.
func (s *sources) taker(a netip.Addr) bool {
	if _, ok := s.trunk(a); ok {
		return false
	}
	return slices.ContainsFunc(s.takers, func(p netip.Prefix) bool { return p.Contains(a) })
}

// known tells whether the address may speak to us; a stranger is counted.
func (s *sources) known(a net.Addr) bool {
	if s.knows(addrPort(a.String()).Addr()) {
		return true
	}
	s.strangers.Add(1)
	return false
}

// knows is known without the count.
func (s *sources) knows(a netip.Addr) bool {
	_, ok := s.trunk(a)
	return ok || s.taker(a) || s.before[a]
}

// remember lets the peers of answered dialogs speak on, though the configuration does not name them any more: a trunk that is
// taken out of it begins no call, and can end those that it has. It is called before any message is read.
func (s *sources) remember(alive []*survivor) {
	s.before = map[netip.Addr]bool{}
	for _, v := range alive {
		if v.g.d.Answered {
			s.before[v.g.d.Peer.Addr()] = true
		}
	}
}

// read stands before the parser (sipgo.TransportReadFilter). It never returns an error: an error would end the listener.
func (s *sources) read(info sipgo.TransportReadProps, data []byte) ([]byte, error) {
	if !s.known(info.RemoteAddr) {
		return nil, nil
	}
	return data, nil
}
