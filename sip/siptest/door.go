package siptest

import (
	"errors"
	"net"
	"net/netip"

	"github.com/emiago/sipgo/sip"
)

// door is a SIP socket of a phone: the one that it lives at, or one more that its Contact names (RFC 3261, 8.1.1.8).
type door struct {
	conn net.PacketConn
	addr netip.AddrPort
}

// arrival is a message at one of the phone's doors.
type arrival struct {
	msg  sip.Message
	from netip.AddrPort
	at   *door
}

// newDoor opens a socket and its reader. It ends when the socket is closed.
func (p *Phone) newDoor(local netip.AddrPort) (*door, error) {
	conn, err := p.o.Net.ListenPacket("udp", local.String())
	if err != nil {
		return nil, err
	}
	addr, err := addrPort(conn.LocalAddr())
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	d := &door{conn, addr}
	p.wg.Go(func() { p.read(d) })
	return d, nil
}

// another opens one more door, at any port; the phone's end closes it.
func (p *Phone) another() (*door, error) {
	d, err := p.newDoor(netip.AddrPortFrom(p.home.addr.Addr(), 0))
	if err == nil {
		p.more = append(p.more, d)
	}
	return d, err
}

// read hands what arrives to the loop; what is no SIP message is ignored.
func (p *Phone) read(d *door) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := d.conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case <-p.done:
				return
			default: // an ICMP error of an earlier datagram, which a socket reports to its next reader
				continue
			}
		}
		msg, err := sip.ParseMessage(buf[:n])
		if err != nil || msg.Via() == nil || msg.CSeq() == nil || msg.CallID() == nil || msg.From() == nil || msg.To() == nil {
			continue
		}
		src, err := addrPort(from)
		if err != nil {
			continue
		}
		select {
		case p.in <- arrival{msg, src, d}:
		case <-p.done:
			return
		}
	}
}

// write sends a message; like UDP it does not tell what became of it.
func (d *door) write(data []byte, to netip.AddrPort) {
	_, _ = d.conn.WriteTo(data, net.UDPAddrFromAddrPort(to))
}

// uri is where the phone is reached through this door.
func (d *door) uri(user string) sip.Uri {
	return sip.Uri{Scheme: "sip", User: user, Host: d.addr.Addr().String(), Port: int(d.addr.Port())}
}
