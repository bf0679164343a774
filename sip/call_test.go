package sip_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

// sound is a peer's RTP socket.
type sound struct {
	conn net.PacketConn
	seq  uint16
	got  chan []byte
}

// sound opens the socket that the peer's session names.
func (r *rig) sound(host string) *sound {
	r.tb.Helper()
	return r.soundAt(host, 4000)
}

func (r *rig) soundAt(host string, port uint16) *sound {
	r.tb.Helper()
	at := netip.AddrPortFrom(netip.MustParseAddr(host), port)
	conn, err := r.network.Host(at.Addr()).Net().ListenPacket("udp", at.String())
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(func() { _ = conn.Close() })
	s := &sound{conn: conn, got: make(chan []byte, 100_000)}
	go func() {
		buf := make([]byte, 2000)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			s.got <- append([]byte(nil), buf[:n]...)
		}
	}()
	return s
}

// say sends a packet of A-law with that payload byte.
func (s *sound) say(tb testing.TB, to netip.AddrPort, b byte) {
	tb.Helper()
	p := make([]byte, 12+160)
	p[0], p[1] = 0x80, 8
	s.seq++
	binary.BigEndian.PutUint16(p[2:], s.seq)
	binary.BigEndian.PutUint32(p[4:], uint32(s.seq)*160)
	for i := range p[12:] {
		p[12+i] = b
	}
	if _, err := s.conn.WriteTo(p, net.UDPAddrFromAddrPort(to)); err != nil {
		tb.Fatal(err)
	}
}

// heard is how many packets came, and the first payload byte of the last one.
func (s *sound) heard() (n int, b byte) {
	for {
		select {
		case p := <-s.got:
			n++
			b = p[12]
		default:
			return n, b
		}
	}
}

// Who waits hears the announcement; the two who talk hear each other; after that nobody hears anything.
func TestMix(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		one, two := r.sound(trunk), r.sound(desk)
		ph := r.taker("t1", desk)
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		atCaller := c.answered().rtp(t)
		c.ack()
		r.line.Play(c.id, 0, "waiting")
		pass(time.Second)
		if n, _ := one.heard(); n < 45 {
			t.Errorf("%d packets of the announcement in a second", n)
		}
		r.line.Ring(c.id, 1, party("t1"), "")
		m := ph.want("INVITE")
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		ph.want("ACK")
		pass(0)
		r.line.Mix(c.id, map[call.Leg]call.Role{0: call.Talking, 1: call.Talking})
		pass(100 * time.Millisecond)
		one.heard()
		one.say(t, atCaller, 0x11)
		two.say(t, m.rtp(t), 0x22)
		pass(100 * time.Millisecond)
		if n, b := two.heard(); n != 1 || b != 0x11 {
			t.Errorf("the taker heard %d packets, %#x", n, b)
		}
		if n, b := one.heard(); n != 1 || b != 0x22 {
			t.Errorf("the caller heard %d packets, %#x", n, b)
		}
		r.line.Mix(c.id, map[call.Leg]call.Role{0: call.Talking, 1: call.Waiting})
		pass(0)
		one.say(t, atCaller, 0x11)
		two.say(t, m.rtp(t), 0x22)
		pass(100 * time.Millisecond)
		a, _ := one.heard()
		b, _ := two.heard()
		if a+b != 0 {
			t.Errorf("%d and %d packets are heard by those who do not talk to each other", a, b)
		}
	})
}

// A dialog from which no sound comes is asked by OPTIONS after half a minute; 481, 408 (RFC 3261, 12.2.1.2) and silence end
// it.
func TestQuietDialog(t *testing.T) {
	for _, status := range []string{"481 Call/Transaction Does Not Exist", "408 Request Timeout", ""} {
		silent := status == ""
		bubble(t, func(t *testing.T, r *rig) {
			c := r.caller(r.peer(trunk)).talk()
			began := time.Since(r.start)
			m := c.wantWithin("OPTIONS", 31*time.Second)
			if d := m.at - began; d > 30*time.Second || d < 29900*time.Millisecond || m.tag("From") != c.to {
				t.Errorf("after %s\n%s", d, m.text)
			}
			if !silent {
				c.reply(m, status, "")
			}
			bye := c.find("BYE", lifetime+time.Second)
			if silent && bye.at-m.at != lifetime {
				t.Errorf("BYE %s after the OPTIONS", bye.at-m.at)
			}
			if bye.header("CSeq") != "2 BYE" {
				t.Errorf("CSeq %s", bye.header("CSeq"))
			}
			c.reply(bye, "200 OK", "")
			c.none(time.Minute)
			r.wantStory(c.id, "arrived answered:0 left:0:network:408")
			r.wantGone()
		})
	}
}

func TestQuietDialogThatAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		for range 5 {
			c.reply(c.wantWithin("OPTIONS", 31*time.Second), "200 OK", "")
		}
		r.wantStory(c.id, "arrived answered:0")
	})
}

func TestQuietPhone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		ph.want("ACK")
		ph.ignore = []string{"OPTIONS sip:t1@phone.invalid"}
		ph.reply(ph.wantWithin("OPTIONS sip:t1@10.0.1.1", 31*time.Second), "481 No", "")
		ph.reply(ph.want("BYE"), "200 OK", "")
		pass(time.Second)
		r.wantStory(c.id, waiting+"answered:1 left:1:network:408")
	})
}

// RFC 3261, 12.2.1.2: what is answered to a request in a dialog that has ended meanwhile ends nothing more.
func TestAnswerAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := talking(r)
		ph.ignore = []string{"OPTIONS sip:t1@phone.invalid"}
		options := ph.wantWithin("OPTIONS", 11*time.Second)
		ph.within("BYE", "")
		ph.want("SIP/2.0 200")
		ph.reply(options, "481 Call/Transaction Does Not Exist", "")
		ph.none(lifetime)
		r.wantStory(c.id, waiting+"answered:1 left:1:taker")
	})
}

func TestSoundKeepsADialog(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		rtp := r.sound(trunk)
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Answer(c.id, 0)
		to := c.answered().rtp(t)
		c.ack()
		for range 20 {
			rtp.say(t, to, 1)
			c.none(10 * time.Second)
		}
		c.none(20*time.Second - 100*time.Millisecond) // and when it has stopped, half a minute after that
		c.wantWithin("OPTIONS", 200*time.Millisecond)
	})
}

// A call that breaks ends; the gateway, and the call after it, do not.
func TestPanicInACall(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(trunk)
		kept := 0
		r.mu.Lock()
		r.onKeep = func(call.ID, call.Leg, []byte) {
			if kept++; kept == 1 {
				panic("a test")
			}
		}
		r.mu.Unlock()
		c := r.caller(p)
		c.send(c.invite())
		c.want("SIP/2.0 503")
		c.ackFinal()
		pass(time.Second)
		r.wantGone()
		next := r.caller(p).talk()
		r.wantStory(next.id, "arrived answered:0")
	})
}

// The same with a caller who has been answered: BYE.
func TestPanicInADialog(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive()
		r.mu.Lock()
		r.onTell = func(_ call.ID, ev call.Event) {
			if _, ok := ev.(call.Answered); ok {
				panic("a test")
			}
		}
		r.mu.Unlock()
		r.line.Answer(c.id, 0)
		c.want("SIP/2.0 200")
		c.reply(c.want("BYE"), "200 OK", "")
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0 left:0:node")
		r.wantGone()
	})
}

// A panic outside any call: the request gets 500.
func TestPanicInAHandler(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.peer(desk)
		r.accounts.panics = true
		p.send(p.registration("t1", ""))
		p.want("SIP/2.0 500")
		r.accounts.panics = false
		p.register("t1", "rahasia", "")
	})
}
