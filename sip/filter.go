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
	ap := addrPort(a.String())
	if _, ok := s.trunk(ap.Addr()); ok || s.taker(ap.Addr()) {
		return true
	}
	s.strangers.Add(1)
	return false
}

// read stands before the parser (sipgo.TransportReadFilter). It never returns an error: an error would end the listener.
func (s *sources) read(info sipgo.TransportReadProps, data []byte) ([]byte, error) {
	if !s.known(info.RemoteAddr) {
		return nil, nil
	}
	return data, nil
}
