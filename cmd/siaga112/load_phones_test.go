package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// desk is a row of phones at one socket: each answers at once and hangs up after talk. It notes how long each phone waits
// for the next INVITE after it has hung up.
type desk struct {
	conn    net.PacketConn
	gateway net.Addr
	parser  *sip.Parser
	reading sync.WaitGroup

	mu     sync.Mutex
	freed  map[string]time.Time // by user
	known  map[string]*sip.Response
	pauses []time.Duration
}

const talk = 150 * time.Millisecond

func newDesk(b *testing.B, at, gateway netip.AddrPort) *desk {
	b.Helper()
	conn, err := net.ListenPacket("udp", at.String())
	if err != nil {
		b.Fatal(err)
	}
	d := &desk{conn: conn, gateway: net.UDPAddrFromAddrPort(gateway), parser: sip.NewParser(), freed: map[string]time.Time{}, known: map[string]*sip.Response{}}
	d.reading.Go(d.read)
	b.Cleanup(func() { d.close() })
	return d
}

// close ends the phones and returns the pauses.
func (d *desk) close() []time.Duration {
	_ = d.conn.Close() // a second time it is closed already
	d.reading.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pauses
}

func (d *desk) read() {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := d.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		at := time.Now()
		m, err := d.parser.ParseSIP(bytes.Clone(buf[:n]))
		if req, ok := m.(*sip.Request); err == nil && ok {
			d.take(req, at)
		}
	}
}

func (d *desk) take(req *sip.Request, at time.Time) {
	switch req.Method {
	case sip.INVITE:
		d.invited(req, at)
	case sip.ACK:
	default:
		d.send(sip.NewResponseFromRequest(req, sip.StatusOK, "OK", nil))
	}
}

// invited picks up; an INVITE that is repeated gets the same answer.
func (d *desk) invited(req *sip.Request, at time.Time) {
	d.mu.Lock()
	user, id := req.Recipient.User, req.CallID().Value()
	res, again := d.known[id]
	if !again {
		if free, ok := d.freed[user]; ok {
			d.pauses = append(d.pauses, at.Sub(free))
		}
		local := d.conn.LocalAddr().(*net.UDPAddr)
		res = sip.NewResponseFromRequest(req, sip.StatusOK, "OK", fmt.Appendf(nil,
			"v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio 9000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n", local.IP))
		res.AppendHeader(&sip.ContactHeader{Address: sip.Uri{Scheme: "sip", User: user, Host: local.IP.String(), Port: local.Port}})
		res.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
		d.known[id] = res
	}
	d.mu.Unlock()
	d.send(res)
	if !again {
		d.reading.Go(func() { time.Sleep(talk); d.hangUp(req, res, user) })
	}
}

func (d *desk) hangUp(invite *sip.Request, res *sip.Response, user string) {
	bye := sip.NewRequest(sip.BYE, invite.Contact().Address)
	bye.AppendHeader(sip.NewHeader("Via", fmt.Sprintf("SIP/2.0/UDP %s;branch=%s", d.conn.LocalAddr(), sip.GenerateBranch())))
	bye.AppendHeader(sip.NewHeader("From", res.To().Value()))
	bye.AppendHeader(sip.NewHeader("To", invite.From().Value()))
	bye.AppendHeader(sip.NewHeader("Call-ID", invite.CallID().Value()))
	bye.AppendHeader(sip.NewHeader("CSeq", "1 BYE"))
	bye.AppendHeader(sip.NewHeader("Max-Forwards", "70"))
	bye.SetBody(nil)
	d.mu.Lock()
	d.freed[user] = time.Now()
	d.mu.Unlock()
	d.send(bye)
}

func (d *desk) send(m fmt.Stringer) {
	_, _ = d.conn.WriteTo([]byte(m.String()), d.gateway) // closed: the benchmark is over
}
