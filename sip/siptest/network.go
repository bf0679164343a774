// Package siptest is what drives a gateway from outside: a network in memory that works in testing/synctest bubbles,
// phones that follow a script, traffic by profile, and the language in which the stories of testdata/calls are told.
//
// Phones and traffic work just as well over real sockets: the demo runs on them.
package siptest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/siaga112/siaga112/sip/media"
)

// Delay is how long a datagram is on its way in a network in memory, at least. To it comes Skew for each host that was
// made before the two ends: what two hosts send at once arrives one after the other, in every run in the same order.
const (
	Delay = time.Millisecond
	Skew  = 10 * time.Microsecond
)

// Fate decides what becomes of a datagram on its way: how many copies arrive, 0 for a lost one. It is called once for
// each datagram, by the goroutine that sends it.
type Fate func(datagram []byte) (copies int)

// Lost is the fate of a link that is cut.
func Lost([]byte) int { return 0 }

// Doubled is the fate of a link that delivers everything twice.
func Doubled([]byte) int { return 2 }

// Every loses each nth datagram.
func Every(n int) Fate {
	var mu sync.Mutex
	seen := 0
	return func([]byte) int {
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen%n == 0 {
			return 0
		}
		return 1
	}
}

// Network joins hosts in memory: UDP in order and with a fixed delay between two hosts, TCP as buffered streams. Nothing in it is a real
// socket, and all waiting is on channels and timers: it works in a synctest bubble, in which it must be made. Addresses
// are *net.UDPAddr and *net.TCPAddr, so that real code sees nothing special.
type Network struct {
	mu    sync.Mutex
	hosts map[netip.Addr]*Host
	links map[link]Fate
}

type link struct{ from, to netip.Addr }

// NewNetwork makes a network without hosts.
func NewNetwork() *Network {
	return &Network{hosts: map[netip.Addr]*Host{}, links: map[link]Fate{}}
}

// Host is the machine with that address; it is made when it is first asked for.
func (n *Network) Host(ip netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[ip]
	if h == nil {
		h = &Host{
			network: n, ip: ip, nextPort: firstFree, skew: time.Duration(len(n.hosts)) * Skew,
			packets: map[uint16]*packetConn{}, listeners: map[uint16]*listener{}, streams: map[*streamConn]struct{}{},
		}
		n.hosts[ip] = h
	}
	return h
}

// Net opens sockets on all hosts, each on that of the address asked for: for those who play several machines. It can't
// dial.
func (n *Network) Net() media.Net {
	return media.Net{
		ListenPacket: func(network, addr string) (net.PacketConn, error) {
			a, err := netip.ParseAddrPort(addr)
			if err != nil {
				return nil, opError("listen", network, nil, err)
			}
			return n.Host(a.Addr()).listenPacket(network, addr)
		},
		Listen: func(network, addr string) (net.Listener, error) {
			a, err := netip.ParseAddrPort(addr)
			if err != nil {
				return nil, opError("listen", network, nil, err)
			}
			return n.Host(a.Addr()).listen(network, addr)
		},
		Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
			return nil, opError("dial", network, nil, errors.ErrUnsupported)
		},
	}
}

// Link sets what becomes of the datagrams from one host to another; nil delivers them all again.
func (n *Network) Link(from, to netip.Addr, f Fate) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if f == nil {
		delete(n.links, link{from, to})
		return
	}
	n.links[link{from, to}] = f
}

// Drop is what a kill does to a machine: all its sockets vanish at once and say nothing; their readers get
// net.ErrClosed. What was sent before still arrives. New sockets may be opened at once.
func (n *Network) Drop(ip netip.Addr) {
	for _, c := range n.Host(ip).sockets() {
		c.drop()
	}
}

// Close drops all hosts.
func (n *Network) Close() {
	n.mu.Lock()
	hosts := maps.Clone(n.hosts)
	n.mu.Unlock()
	for ip := range hosts {
		n.Drop(ip)
	}
}

// send puts a datagram on its way; like UDP it does not tell what became of it.
func (n *Network) send(from, to netip.AddrPort, data []byte) {
	n.mu.Lock()
	h, fate := n.hosts[to.Addr()], n.links[link{from.Addr(), to.Addr()}]
	delay := Delay + n.hosts[from.Addr()].skew
	n.mu.Unlock()
	copies := 1
	if fate != nil {
		copies = fate(data)
	}
	if h == nil {
		return
	}
	h.mu.Lock()
	c := h.packets[to.Port()]
	h.mu.Unlock()
	if c == nil {
		return
	}
	due := time.Now().Add(delay + h.skew)
	for range copies {
		c.in.put(item{
			due: due, data: append([]byte(nil), data...), from: from,
		})
	}
}

// firstFree is the first port that is given to those who ask for any.
const firstFree = 40_000

// Host is one machine of a Network.
type Host struct {
	network *Network
	ip      netip.Addr
	skew    time.Duration

	mu        sync.Mutex
	nextPort  uint16
	packets   map[uint16]*packetConn
	listeners map[uint16]*listener
	streams   map[*streamConn]struct{}
}

// Addr is the host's address.
func (h *Host) Addr() netip.Addr { return h.ip }

// Net opens the host's sockets. An error is a *net.OpError as from the system: EADDRINUSE, EADDRNOTAVAIL,
// ECONNREFUSED.
func (h *Host) Net() media.Net {
	return media.Net{
		ListenPacket: h.listenPacket,
		Listen:       h.listen,
		Dial:         h.dial,
	}
}

// Open counts the host's open sockets: after a test there should be none.
func (h *Host) Open() int { return len(h.sockets()) }

// socket is what Drop takes away.
type socket interface{ drop() }

func (h *Host) sockets() []socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []socket
	for _, c := range h.packets {
		all = append(all, c)
	}
	for _, l := range h.listeners {
		all = append(all, l)
	}
	for c := range h.streams {
		all = append(all, c)
	}
	return all
}

// local reads the address that a socket is asked for: this host's, or the unspecified one.
func (h *Host) local(addr string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if host == "" {
		host = h.ip.String()
	}
	a, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil {
		return netip.AddrPort{}, err
	}
	if ip := a.Addr().Unmap(); ip != h.ip && !ip.IsUnspecified() {
		return netip.AddrPort{}, syscall.EADDRNOTAVAIL
	}
	return netip.AddrPortFrom(h.ip, a.Port()), nil
}

// claim finds the port for a new socket; the caller holds the lock.
func (h *Host) claim(port uint16, taken func(uint16) bool) (uint16, error) {
	if port != 0 {
		if taken(port) {
			return 0, syscall.EADDRINUSE
		}
		return port, nil
	}
	for range 1 << 16 {
		p := h.nextPort
		if h.nextPort++; h.nextPort == 0 {
			h.nextPort = firstFree
		}
		if p >= firstFree && !taken(p) {
			return p, nil
		}
	}
	return 0, syscall.EADDRINUSE
}

func (h *Host) listenPacket(network, addr string) (net.PacketConn, error) {
	a, err := h.local(addr)
	if err == nil && network != "udp" && network != "udp4" {
		err = net.UnknownNetworkError(network)
	}
	if err != nil {
		return nil, opError("listen", network, nil, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	port, err := h.claim(a.Port(), func(p uint16) bool { return h.packets[p] != nil })
	if err != nil {
		return nil, opError("listen", network, net.UDPAddrFromAddrPort(a), err)
	}
	c := &packetConn{host: h, local: netip.AddrPortFrom(h.ip, port)}
	h.packets[port] = c
	return c, nil
}

func (h *Host) listen(network, addr string) (net.Listener, error) {
	a, err := h.local(addr)
	if err == nil && network != "tcp" && network != "tcp4" {
		err = net.UnknownNetworkError(network)
	}
	if err != nil {
		return nil, opError("listen", network, nil, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	port, err := h.claim(a.Port(), func(p uint16) bool { return h.listeners[p] != nil })
	if err != nil {
		return nil, opError("listen", network, net.TCPAddrFromAddrPort(a), err)
	}
	l := &listener{
		host: h, local: netip.AddrPortFrom(h.ip, port),
		arriving: make(chan *streamConn, backlog), done: make(chan struct{}),
	}
	h.listeners[port] = l
	return l, nil
}

func (h *Host) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, opError("dial", network, nil, err)
	}
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, opError("dial", network, nil, err)
	}
	if network != "tcp" && network != "tcp4" {
		return nil, opError("dial", network, nil, net.UnknownNetworkError(network))
	}
	h.network.mu.Lock()
	peer := h.network.hosts[to.Addr()]
	h.network.mu.Unlock()
	if peer == nil {
		return nil, opError("dial", network, net.TCPAddrFromAddrPort(to), syscall.EHOSTUNREACH)
	}
	peer.mu.Lock()
	l := peer.listeners[to.Port()]
	peer.mu.Unlock()
	if l == nil {
		return nil, opError("dial", network, net.TCPAddrFromAddrPort(to), syscall.ECONNREFUSED)
	}
	h.mu.Lock()
	port, err := h.claim(0, func(uint16) bool { return false })
	h.mu.Unlock()
	if err != nil {
		return nil, opError("dial", network, net.TCPAddrFromAddrPort(to), err)
	}
	near, far := newStreams(h, peer, netip.AddrPortFrom(h.ip, port), to)
	select {
	case l.arriving <- far:
		return near, nil
	default:
		near.drop()
		far.drop()
		return nil, opError("dial", network, net.TCPAddrFromAddrPort(to), syscall.ECONNREFUSED)
	}
}

func opError(op, network string, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Addr: addr, Err: err}
}

// packetConn is a UDP socket.
type packetConn struct {
	host  *Host
	local netip.AddrPort
	in    inbox
}

// ReadFrom is that of net.PacketConn.
func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is that of net.UDPConn.
func (c *packetConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	it, err := c.in.take()
	if err != nil {
		return 0, netip.AddrPort{}, opError("read", "udp", c.LocalAddr(), err)
	}
	return copy(b, it.data), it.from, nil
}

// WriteTo is that of net.PacketConn.
func (c *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	to, err := addrPort(addr)
	if err != nil {
		return 0, opError("write", "udp", addr, err)
	}
	return c.WriteToUDPAddrPort(b, to)
}

// WriteToUDPAddrPort is that of net.UDPConn.
func (c *packetConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if c.in.isClosed() {
		return 0, opError("write", "udp", net.UDPAddrFromAddrPort(to), net.ErrClosed)
	}
	c.host.network.send(c.local, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()), b)
	return len(b), nil
}

// Close frees the port; a second one is net.ErrClosed.
func (c *packetConn) Close() error {
	if !c.in.close() {
		return opError("close", "udp", c.LocalAddr(), net.ErrClosed)
	}
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	delete(c.host.packets, c.local.Port())
	return nil
}

func (c *packetConn) drop() { _ = c.Close() }

// LocalAddr is that of net.PacketConn.
func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

// SetReadDeadline is that of net.PacketConn.
func (c *packetConn) SetReadDeadline(t time.Time) error { c.in.setDeadline(t); return nil }

// SetWriteDeadline does nothing: writes never wait.
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is that of net.PacketConn.
func (c *packetConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

func addrPort(a net.Addr) (netip.AddrPort, error) {
	switch a := a.(type) {
	case *net.UDPAddr:
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()), nil
	case nil:
		return netip.AddrPort{}, fmt.Errorf("no address: %w", syscall.EDESTADDRREQ)
	}
	return netip.ParseAddrPort(a.String())
}
