package media

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
)

// Ports opens streams on a range of ports: RTP on an even one, and the odd one above it is held for RTCP (RFC 3550
// section 11), so that no other program sits where a peer sends its reports. Nothing reads them: the system keeps the
// first few and drops the rest. It is safe for concurrent use.
type Ports struct {
	net   Net
	ip    netip.Addr
	first int // the lowest even port
	pairs int

	mu   sync.Mutex
	next int          // pair at which the next search begins: a port rests until all others had their turn
	used map[int]bool // pairs
}

// NewPorts opens no socket yet. The pairs are those that lie in first to last, both included.
func NewPorts(n Net, ip netip.Addr, first, last uint16) *Ports {
	low := max(int(first)+int(first)%2, 2)
	return &Ports{
		net: n, ip: ip.Unmap(),
		first: low, pairs: max(0, (int(last)+1-low)/2), used: make(map[int]bool),
	}
}

// InUse is the number of pairs that open streams hold.
func (p *Ports) InUse() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.used)
}

// Open is a new stream; it takes no packet and sends none before Set. heard is called with what a peer's keys tell,
// dtmf:1 once for each key, from the stream's own goroutine: it must not block, nor Close the stream; nil: nobody
// listens. Pairs of which another program holds a port are passed over. Without a free pair the error is ErrNoPort,
// with the last cause where there is one.
func (p *Ports) Open(heard func(what string)) (*Stream, error) {
	var cause error
	for range p.pairs {
		pair, ok := p.take()
		if !ok {
			break
		}
		port := p.first + 2*pair
		rtp, rtcp, err := p.listen(port)
		if err != nil {
			p.free(pair)
			cause = err
			continue
		}
		return newStream(rtp, rtcp, uint16(port), heard, func() { p.free(pair) }), nil
	}
	if cause != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoPort, cause)
	}
	return nil, fmt.Errorf("%w: all %d pairs are in use", ErrNoPort, p.pairs)
}

// OpenAt is Open for the pair with that RTP port, which an earlier run held. The error is ErrNoPort when the pair lies
// outside of the range, is in use, or can't be bound.
func (p *Ports) OpenAt(port uint16, heard func(what string)) (*Stream, error) {
	pair := (int(port) - p.first) / 2
	if int(port) < p.first || int(port)%2 != 0 || pair >= p.pairs || !p.claim(pair) {
		return nil, fmt.Errorf("%w: port %d is in use or outside of the range", ErrNoPort, port)
	}
	rtp, rtcp, err := p.listen(int(port))
	if err != nil {
		p.free(pair)
		return nil, fmt.Errorf("%w: %w", ErrNoPort, err)
	}
	return newStream(rtp, rtcp, port, heard, func() { p.free(pair) }), nil
}

// claim takes a pair that no stream of ours holds; the next search begins after it.
func (p *Ports) claim(pair int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used[pair] {
		return false
	}
	p.used[pair], p.next = true, (pair+1)%p.pairs
	return true
}

// take is the next pair that no stream of ours holds.
func (p *Ports) take() (int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range p.pairs {
		pair := p.next
		p.next = (p.next + 1) % p.pairs
		if !p.used[pair] {
			p.used[pair] = true
			return pair, true
		}
	}
	return 0, false
}

func (p *Ports) free(pair int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, pair)
}

func (p *Ports) listen(port int) (rtp, rtcp net.PacketConn, err error) {
	rtp, err = p.net.ListenPacket("udp", p.address(port))
	if err != nil {
		return nil, nil, fmt.Errorf("listen for RTP: %w", err)
	}
	rtcp, err = p.net.ListenPacket("udp", p.address(port+1))
	if err != nil {
		_ = rtp.Close()
		return nil, nil, fmt.Errorf("listen for RTCP: %w", err)
	}
	if c, ok := rtcp.(interface{ SetReadBuffer(bytes int) error }); ok {
		_ = c.SetReadBuffer(0) // the system's least
	}
	return rtp, rtcp, nil
}

func (p *Ports) address(port int) string { return net.JoinHostPort(p.ip.String(), strconv.Itoa(port)) }
