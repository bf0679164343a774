package sip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip/media"
)

// listen binds all listeners and starts to read from them.
func (l *Line) listen() error {
	for _, at := range l.o.Config.SIP.Listen {
		var err error
		switch at.Network {
		case "udp":
			err = l.listenUDP(at)
		case "tcp":
			err = l.listenTCP(at)
		default:
			err = fmt.Errorf("network %q: want udp or tcp", at.Network)
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("sip.listen %s:%s: the port is in use: another program, or a second gateway, listens there (ss -lnp shows which): %w", at.Network, at.Addr, err)
		}
		if err != nil {
			return fmt.Errorf("sip.listen %s:%s: %w", at.Network, at.Addr, err)
		}
	}
	return nil
}

func (l *Line) listenUDP(at config.Listen) error {
	conn, err := l.o.Net.ListenPacket("udp", at.Addr.String())
	if err != nil {
		return err
	}
	l.sockets = append(l.sockets, conn)
	local := addrPort(conn.LocalAddr().String())
	l.bound("UDP", local)
	sock := &socket{PacketConn: conn, begun: make(chan struct{}), fed: make(chan datagram), ears: l.ears, deaf: l.deaf, stop: l.stop.Done()}
	l.udp[local] = sock
	l.reading.Add(1)
	if !l.spawn(func() { defer l.reading.Done(); l.served(l.tp.ServeUDP(sock)) }) {
		l.reading.Done()
		return net.ErrClosed
	}
	<-sock.begun
	return nil
}

// linger is how long sipgo still knows a socket that has been closed. A request that was read from it and is on its way to
// its transaction would else make sipgo bind a socket of its own, past Net.
const linger = 2 * time.Millisecond

// socket is a UDP socket as sipgo reads it, and what that tells about sipgo's pool: since the first read it knows the
// socket, and requests can go out through it; with the error that ends the reading it forgets it.
//
// Before the ears of the line are open it reads nothing but what it is fed.
type socket struct {
	net.PacketConn
	once  sync.Once
	begun chan struct{}
	fed   chan datagram
	ears  <-chan struct{}
	open  bool // the ears are; the one reader's
	deaf  <-chan struct{}
	stop  <-chan struct{}
}

// datagram is one that came to an earlier run.
type datagram struct {
	data []byte
	from netip.AddrPort
}

// feed lets a datagram come in again; once the ears are open it is too late for that.
func (s *socket) feed(data []byte, from netip.AddrPort) {
	select {
	case s.fed <- datagram{data: data, from: from}:
	case <-s.ears:
	case <-s.stop:
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	s.once.Do(func() { close(s.begun) })
	if !s.open {
		select {
		case d := <-s.fed:
			return copy(b, d.data), net.UDPAddrFromAddrPort(d.from), nil
		case <-s.ears:
			s.open = true
		case <-s.stop:
			return 0, nil, net.ErrClosed
		}
	}
	n, from, err := s.PacketConn.ReadFrom(b)
	if err == nil && closed(s.deaf) {
		<-s.stop // what was read comes again
		err = net.ErrClosed
	}
	if err != nil {
		<-time.After(linger)
	}
	return n, from, err
}

// neverDial is a dialer for sipgo, whose every attempt fails: we dial through Net.
func neverDial(net.Addr) net.Dialer {
	return net.Dialer{Control: func(string, string, syscall.RawConn) error {
		return errors.New("sipgo may not dial")
	}}
}

func (l *Line) listenTCP(at config.Listen) error {
	ln, err := l.o.Net.Listen("tcp", at.Addr.String())
	if err != nil {
		return err
	}
	t := newTCPListener(ln, l.from)
	l.sockets = append(l.sockets, t)
	if l.tcp == nil {
		l.tcp = t
	}
	l.bound("TCP", addrPort(ln.Addr().String()))
	l.spawn(func() {
		select {
		case <-l.ears:
			t.accept()
		case <-l.stop.Done():
		}
	})
	l.spawn(func() { l.served(l.tp.ServeTCP(t)) })
	return nil
}

// bound notes where a listener came to stand. With port 0 the configuration did not know.
func (l *Line) bound(network string, local netip.AddrPort) {
	if l.ports[local.Addr()] == nil {
		r := l.o.Config.RTP
		l.ports[local.Addr()] = media.NewPorts(l.o.Net, local.Addr(), r.First, r.Last)
	}
	if _, ok := l.contact[network]; !ok {
		l.contact[network] = local
	}
}

// served notes that a listener has ended, which only Close should make it do.
func (l *Line) served(err error) {
	if l.stop.Err() == nil {
		l.o.Alarm("listener", time.Now(), fmt.Sprintf("a SIP listener has ended (%v): new calls may not come in; restart the gateway", err))
	}
}

// local is our address on the flow that a message came over: the listener that it came to.
func (l *Line) local(network, source string) netip.AddrPort {
	c, err := l.tp.GetConnection(network, source)
	if err != nil {
		return l.contact[strings.ToUpper(network)]
	}
	defer release(c)
	at := addrPort(c.LocalAddr().String())
	if strings.EqualFold(network, "TCP") { // a connection that we made has a port where nobody listens
		if own, ok := l.contact["TCP"]; ok {
			at = netip.AddrPortFrom(at.Addr(), own.Port())
		}
	}
	return at
}

func release(c sipgo.Connection) {
	if _, err := c.TryClose(); err != nil {
		return // closed by the peer in between: there is nothing to release
	}
}

// advertised is the address that Via, Contact and SDP name for one of ours.
func (l *Line) advertised(local netip.AddrPort) netip.AddrPort {
	if a := l.o.Config.SIP.Advertise; a.IsValid() {
		return netip.AddrPortFrom(a, local.Port())
	}
	return local
}

// send starts a client transaction from the local address of a listener and gives every response, in order, to on; nil
// says that the transaction ended without a final one. When send returns the request has been written, unless a TCP
// connection has to be made first. on runs in the transaction's goroutine, which the line waits for, or before send
// returns when nothing could be sent.
func (l *Line) send(req *sipgo.Request, local netip.AddrPort, on func(*sipgo.Response)) {
	l.sendUntil(nil, req, local, on)
}

// sendUntil is send for a transaction that is given up when over is closed, if it has no final response by then.
func (l *Line) sendUntil(over <-chan struct{}, req *sipgo.Request, local netip.AddrPort, on func(*sipgo.Response)) {
	if l.connected(req, local) {
		if tx := l.begin(req); tx == nil || !l.spawn(func() { pump(over, tx, on) }) {
			on(nil)
		}
		return
	}
	if !l.spawn(func() {
		ctx, cancel := context.WithTimeout(l.stop, lifetime)
		defer cancel()
		if err := l.connect(ctx, req.Destination()); err != nil {
			l.unsent(req, err)
			on(nil)
			return
		}
		if tx := l.begin(req); tx != nil {
			pump(over, tx, on)
			return
		}
		on(nil)
	}) {
		on(nil)
	}
}

// request builds a request inside a dialog. Over TCP it goes over the peer's connection while there is one (18.1.1), else
// where the dialog says: the port that a connection came from is nobody's once it has gone.
func (l *Line) request(d *Dialog, method sipgo.RequestMethod, seq uint32) (*sipgo.Request, error) {
	req, err := d.request(method, seq, l.advertised(d.Local))
	if err != nil || d.Net == "UDP" {
		return req, err
	}
	if c, err := l.tp.GetConnection(d.Net, d.Peer.String()); err == nil {
		release(c)
		req.SetDestination(d.Peer.String())
	}
	return req, nil
}

// begin writes the request and starts its transaction; nil when it could not be written.
func (l *Line) begin(req *sipgo.Request) *sipgo.ClientTx {
	if l.killed() {
		return nil
	}
	tx, err := l.tx.Request(l.stop, req)
	if err != nil {
		l.unsent(req, err)
		return nil
	}
	return tx
}

// unsent logs a request that did not go out, without the numbers in it.
func (l *Line) unsent(req *sipgo.Request, err error) {
	why := strings.ReplaceAll(err.Error(), strconv.Quote(req.StartLine()), string(req.Method)) // sipgo quotes the Request-URI
	l.log.Info("request not sent", zap.String("method", string(req.Method)), zap.String("to", req.Destination()), zap.String("error", why))
}

// pump reads a client transaction until its end: one that is not read blocks sipgo's timers. An INVITE whose CANCEL is not
// answered has no end of its own (9.1): over gives it one. With a final response the transaction ends, but for an INVITE
// that was refused: it has its ACK to repeat (17.1.1.2). A response that comes again is then l.stray's.
func pump(over <-chan struct{}, tx *sipgo.ClientTx, on func(*sipgo.Response)) {
	final := false
	for {
		select {
		case <-over:
			over = nil
			if !final {
				tx.Terminate()
			}
		case res := <-tx.Responses():
			if final {
				continue
			}
			final = !res.IsProvisional()
			on(res)
			if final && (res.IsSuccess() || tx.Origin().Method != sipgo.INVITE) {
				end(tx)
				return
			}
		case <-tx.Done():
			if !final {
				on(nil)
			}
			return
		}
	}
}

// end terminates a transaction that has passed its final response up. sipgo sets a timer after that, under the lock that Err
// takes: ended before, the transaction would stay in memory as long as the timer.
func end(tx *sipgo.ClientTx) {
	_ = tx.Err()
	tx.Terminate()
}

// write sends a message outside any transaction: the ACK to a 2xx (13.2.2.4).
func (l *Line) write(req *sipgo.Request, local netip.AddrPort) {
	if !l.connected(req, local) {
		l.unsent(req, errors.New("the connection has gone"))
		return
	}
	if err := l.tp.WriteMsg(req); err != nil {
		l.unsent(req, err)
	}
}

// connected tells whether sipgo's pool has what the request goes out through: over UDP the listener's socket, which is
// then the one that is used, over TCP a connection to its destination.
func (l *Line) connected(req *sipgo.Request, local netip.AddrPort) bool {
	if req.Transport() == "UDP" {
		req.Laddr = sipgo.Addr{IP: local.Addr().AsSlice(), Port: int(local.Port())}
		return true
	}
	c, err := l.tp.GetConnection(req.Transport(), req.Destination())
	if err != nil {
		return false
	}
	release(c)
	return true
}

// connect makes a TCP connection. sipgo dials by net.Dialer only: we dial through Net and hand the connection in as if it
// had been accepted.
func (l *Line) connect(ctx context.Context, to string) error {
	if l.tcp == nil {
		return errors.New("there is no TCP listener in sip.listen")
	}
	conn, err := l.o.Net.Dial(ctx, "tcp", to)
	if err != nil {
		return err
	}
	return l.tcp.hand(ctx, conn)
}

// redial lets a message that came to an earlier run come in again over a connection that we make to its sender.
func (l *Line) redial(to netip.AddrPort, data []byte) error {
	ctx, cancel := context.WithTimeout(l.stop, restoring)
	defer cancel()
	conn, err := l.o.Net.Dial(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	return l.tcp.hand(ctx, &begun{Conn: conn, data: data})
}

// begun is a connection whose first bytes have been read before; sipgo is its one reader.
type begun struct {
	net.Conn
	data []byte
}

func (c *begun) Read(b []byte) (int, error) {
	if len(c.data) > 0 {
		n := copy(b, c.data)
		c.data = c.data[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// tcpListener is a listener that drops strangers at once and takes connections that we dialed.
type tcpListener struct {
	net.Listener
	from  *sources
	conns chan handed
	over  chan struct{}
	once  sync.Once

	pooled chan struct{} // of the connection that Accept gave last; its one caller owns it
}

// handed is a connection on its way to sipgo; pooled is closed once sipgo's pool knows it.
type handed struct {
	conn   net.Conn
	pooled chan struct{}
}

func newTCPListener(ln net.Listener, from *sources) *tcpListener {
	return &tcpListener{Listener: ln, from: from, conns: make(chan handed), over: make(chan struct{})}
}

// accept carries connections from the socket to Accept until Close.
func (t *tcpListener) accept() {
	for {
		c, err := t.Listener.Accept()
		if err != nil {
			select {
			case <-t.over:
				return
			case <-time.After(t1): // out of file descriptors: give the others time to end
				continue
			}
		}
		if !t.from.known(c.RemoteAddr()) {
			drop(c)
			continue
		}
		select {
		case t.conns <- handed{conn: c, pooled: make(chan struct{})}:
		case <-t.over:
			drop(c)
			return
		}
	}
}

// Accept gives the next connection, accepted or dialed. sipgo, its only caller, has put a connection into its pool when it
// asks for the next one.
func (t *tcpListener) Accept() (net.Conn, error) {
	if t.pooled != nil {
		close(t.pooled)
		t.pooled = nil
	}
	select {
	case h := <-t.conns:
		t.pooled = h.pooled
		return &patient{Conn: h.conn}, nil
	case <-t.over:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; connections live on.
func (t *tcpListener) Close() error {
	t.once.Do(func() { close(t.over) })
	return t.Listener.Close()
}

// hand gives a dialed connection to sipgo and returns once its pool knows it.
func (t *tcpListener) hand(ctx context.Context, conn net.Conn) error {
	h := handed{conn: conn, pooled: make(chan struct{})}
	select {
	case t.conns <- h:
	case <-ctx.Done():
		drop(conn)
		return ctx.Err()
	case <-t.over:
		drop(conn)
		return net.ErrClosed
	}
	select {
	case <-h.pooled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.over:
		return net.ErrClosed
	}
}

func drop(c net.Conn) {
	if err := c.Close(); err != nil {
		return // it is gone, which is all that was wanted
	}
}

// patient is a connection whose reading times out only when nothing has been written either: a caller who hears our 180
// every minute says nothing himself.
type patient struct {
	net.Conn
	wrote atomic.Int64
}

func (c *patient) Write(b []byte) (int, error) {
	c.wrote.Store(time.Now().UnixNano())
	return c.Conn.Write(b)
}

func (c *patient) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		until := time.Unix(0, c.wrote.Load()).Add(idleTCP)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(until) {
			return n, err
		}
		if err := c.SetReadDeadline(until); err != nil {
			return n, err
		}
	}
}
