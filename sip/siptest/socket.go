package siptest

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// mostWaiting is how many datagrams or chunks wait at one socket; what comes above that is lost, as in a kernel.
const mostWaiting = 4096

// item is a datagram, or a piece of a stream, on its way.
type item struct {
	due  time.Time // when it has arrived
	data []byte
	from netip.AddrPort
}

// inbox is the receiving side of one socket: pieces in the order of their due times, before which none is visible.
// Whoever waits in it waits on a channel only, so that a synctest bubble knows it as idle.
type inbox struct {
	mu       sync.Mutex
	items    []item
	deadline time.Time
	closed   bool          // by its owner: net.ErrClosed
	ended    bool          // by the peer: io.EOF once empty
	changed  chan struct{} // closed at each change while somebody waits
}

// put appends a piece and tells whether there was room.
func (b *inbox) put(it item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.ended || len(b.items) >= mostWaiting {
		return false
	}
	at := len(b.items)
	for at > 0 && b.items[at-1].due.After(it.due) {
		at--
	}
	b.items = slices.Insert(b.items, at, it)
	b.wake()
	return true
}

// take waits for the next piece: until it is due, the deadline passes or the box is closed.
func (b *inbox) take() (item, error) {
	for {
		it, wait, err := b.next()
		if wait == nil {
			return it, err
		}
		if it.due.IsZero() {
			<-wait
			continue
		}
		t := time.NewTimer(time.Until(it.due))
		select {
		case <-wait:
			t.Stop()
		case <-t.C:
		}
	}
}

// next is one look into the box: a piece or an error, or the channel to wait on and, in due, the time to look again.
func (b *inbox) next() (it item, wait <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	again := b.deadline
	switch {
	case b.closed:
		return item{}, nil, net.ErrClosed
	case !again.IsZero() && !again.After(now):
		return item{}, nil, os.ErrDeadlineExceeded
	case len(b.items) > 0:
		first := b.items[0]
		if !first.due.After(now) {
			b.items[0] = item{}
			b.items = b.items[1:]
			return first, nil, nil
		}
		if again.IsZero() || first.due.Before(again) {
			again = first.due
		}
	case b.ended:
		return item{}, nil, io.EOF
	}
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return item{due: again}, b.changed, nil
}

// unread puts the rest of a piece back to the front.
func (b *inbox) unread(it item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items = append([]item{it}, b.items...)
	b.wake()
}

func (b *inbox) setDeadline(t time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deadline = t
	b.wake()
}

// end says that nothing more comes from the peer.
func (b *inbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.wake()
}

// close drops what waits and tells whether the box was open.
func (b *inbox) close() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := !b.closed
	b.closed, b.items = true, nil
	b.wake()
	return was
}

func (b *inbox) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// wake needs the lock.
func (b *inbox) wake() {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// backlog is how many connections wait at a listener.
const backlog = 64

// listener is a TCP listener in memory.
type listener struct {
	host     *Host
	local    netip.AddrPort
	arriving chan *streamConn
	once     sync.Once
	done     chan struct{}
}

// Accept is that of net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.arriving:
		return c, nil
	case <-l.done:
		return nil, opError("accept", "tcp", l.Addr(), net.ErrClosed)
	}
}

// Close frees the port; a second one is net.ErrClosed.
func (l *listener) Close() error {
	err := opError("close", "tcp", l.Addr(), net.ErrClosed)
	l.once.Do(func() {
		close(l.done)
		l.host.mu.Lock()
		delete(l.host.listeners, l.local.Port())
		l.host.mu.Unlock()
		err = nil
	})
	return err
}

func (l *listener) drop() { _ = l.Close() }

// Addr is that of net.Listener.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }

// streamConn is one end of a TCP connection in memory.
type streamConn struct {
	host          *Host
	local, remote netip.AddrPort
	in            inbox
	peer          *streamConn
}

func newStreams(a, b *Host, local, remote netip.AddrPort) (near, far *streamConn) {
	near = &streamConn{host: a, local: local, remote: remote}
	far = &streamConn{host: b, local: remote, remote: local}
	near.peer, far.peer = far, near
	for _, c := range []*streamConn{near, far} {
		c.host.mu.Lock()
		c.host.streams[c] = struct{}{}
		c.host.mu.Unlock()
	}
	return near, far
}

// Read is that of net.Conn.
func (c *streamConn) Read(b []byte) (int, error) {
	it, err := c.in.take()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		return 0, opError("read", "tcp", c.RemoteAddr(), err)
	}
	n := copy(b, it.data)
	if n < len(it.data) {
		it.data = it.data[n:]
		c.in.unread(it)
	}
	return n, nil
}

// Write never blocks; it fails once one of the ends is closed.
func (c *streamConn) Write(b []byte) (int, error) {
	if c.in.isClosed() {
		return 0, opError("write", "tcp", c.RemoteAddr(), net.ErrClosed)
	}
	piece := item{due: time.Now().Add(Delay + c.host.skew + c.peer.host.skew), data: append([]byte(nil), b...)}
	if !c.peer.in.put(piece) {
		return 0, opError("write", "tcp", c.RemoteAddr(), net.ErrClosed)
	}
	return len(b), nil
}

// Close ends both directions: the peer reads what is on its way, then io.EOF.
func (c *streamConn) Close() error {
	if !c.in.close() {
		return opError("close", "tcp", c.RemoteAddr(), net.ErrClosed)
	}
	c.peer.in.end()
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	delete(c.host.streams, c)
	return nil
}

func (c *streamConn) drop() { _ = c.Close() }

// LocalAddr is that of net.Conn.
func (c *streamConn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr is that of net.Conn.
func (c *streamConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetReadDeadline is that of net.Conn.
func (c *streamConn) SetReadDeadline(t time.Time) error { c.in.setDeadline(t); return nil }

// SetWriteDeadline does nothing: writes never wait.
func (c *streamConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is that of net.Conn.
func (c *streamConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }
