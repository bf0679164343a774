package sip_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip"
)

// A phone behind TCP is rung over the connection that it registered over, whatever its Contact says.
func TestTCPPhone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, _ := r.tcpPeer(desk)
		p.register("t1", "rahasia", "")
		p.reply(p.want("OPTIONS"), "200 OK", "x")
		p.ignore = []string{"OPTIONS"}
		pass(10 * time.Millisecond)
		if got := r.texts("phone"); len(got) != 1 || got[0] != "t1 true" {
			t.Errorf("phones %q", got)
		}
		c := r.caller(r.peer(trunk)).talk()
		r.line.Ring(c.id, 1, party("t1"), "")
		m := p.want("INVITE sip:t1@phone.invalid")
		if !strings.HasPrefix(m.header("Via"), "SIP/2.0/TCP 10.0.0.1:5060;") || m.uri("Contact") != "sip:siaga112@10.0.0.1:5060;transport=tcp" {
			t.Errorf("got\n%s", m.text)
		}
		p.none(t1 + time.Second) // TCP repeats nothing
		p.reply(m, "180 Ringing", "p")
		p.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1:9;transport=tcp>")
		p.want("ACK sip:t1@10.0.1.1:9;transport=tcp")
		r.line.Drop(c.id, 1, 200)
		p.reply(p.want("BYE"), "200 OK", "")
		pass(time.Second)
		if got := r.story(c.id); !strings.HasSuffix(got, " answered:1 left:1:desk") {
			t.Error(got)
		}
	})
}

func TestTCPTrunk(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, _ := r.tcpPeer(trunk)
		c := r.caller(p)
		c.arrive("SIP/2.0/UDP", "SIP/2.0/TCP")
		r.line.Answer(c.id, 0)
		m := c.answered()
		if !strings.HasSuffix(c.target, ";transport=tcp") {
			t.Errorf("Contact %s", c.target)
		}
		if again := c.want("SIP/2.0 200"); again.at-m.at != t1 { // end to end, whatever is between (13.3.1.4)
			t.Errorf("200 again after %s", again.at-m.at)
		}
		c.send(c.request("ACK", 1, "SIP/2.0/UDP", "SIP/2.0/TCP"))
		pass(10 * time.Millisecond)
		r.line.Drop(c.id, 0, 200)
		c.reply(c.want("BYE"), "200 OK", "")
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0 left:0:desk")
	})
}

// talkTCP is a whole call over TCP up to its ACK, from a trunk whose Contact names the port where it listens.
func talkTCP(r *rig) (*caller, net.Conn, net.Listener) {
	r.tb.Helper()
	p, conn := r.tcpPeer(trunk)
	ln, err := r.network.Host(p.host).Net().Listen("tcp", trunk+":5070")
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(func() { _ = ln.Close() })
	c := r.caller(p)
	c.arrive("SIP/2.0/UDP", "SIP/2.0/TCP", "<sip:caller@"+p.addr.String()+">", "<sip:caller@"+trunk+":5070;transport=tcp>")
	r.line.Answer(c.id, 0)
	c.answered()
	c.send(c.request("ACK", 1, "SIP/2.0/UDP", "SIP/2.0/TCP"))
	pass(10 * time.Millisecond)
	return c, conn, ln
}

// A trunk's connection is used while it is there (18.1.1); once it has gone nobody is at its port, and what we send goes
// to the Contact: in the same run, and in the next one, which has no connection at all.
func TestTCPTrunksConnectionHasGone(t *testing.T) {
	tests := []struct {
		name string
		end  func(r *rig, c *caller, conn net.Conn)
		anew bool
		sent string
		left string
	}{
		{"it is there", func(r *rig, c *caller, _ net.Conn) { r.line.Drop(c.id, 0, 200) }, false, "BYE", " left:0:desk"},
		{"it has gone", func(r *rig, c *caller, conn net.Conn) {
			_ = conn.Close()
			pass(time.Second)
			r.line.Drop(c.id, 0, 200)
		}, true, "BYE", " left:0:desk"},
		{"a restart", func(r *rig, c *caller, _ net.Conn) { r.restart(alive(c.id, 0)) }, true, "INVITE", byNode},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c, conn, ln := talkTCP(r)
				dialed := make(chan net.Conn, 10)
				go func() {
					for {
						conn, err := ln.Accept()
						if err != nil {
							return
						}
						dialed <- conn
					}
				}()
				tt.end(r, c, conn)
				pass(10 * time.Millisecond)
				p := c.peer
				if tt.anew {
					select {
					case conn := <-dialed:
						p = newTCPPeer(t, r.start, conn)
					default:
						t.Fatal("its port was not dialed")
					}
				}
				m := p.want(tt.sent + " sip:caller@" + trunk + ":5070;transport=tcp SIP/2.0")
				if m.tag("To") != c.from || m.tag("From") != c.to || !strings.HasPrefix(m.header("Via"), "SIP/2.0/TCP ") {
					t.Errorf("not in the dialog:\n%s", m.text)
				}
				if tt.sent == "INVITE" { // it does not know the call any more
					p.reply(m, "481 Call/Transaction Does Not Exist", "")
					p.want("ACK")
				} else {
					p.reply(m, "200 OK", "")
				}
				p.none(time.Minute)
				if len(dialed) != 0 {
					t.Errorf("dialed %d times more", len(dialed))
				}
				r.wantStory(c.id, "arrived answered:0"+tt.left)
				r.wantGone()
			})
		})
	}
}

// A connection on which nothing comes for five minutes is cut; a ping (RFC 5626, 3.5.1) is enough to keep it.
func TestIdleTCP(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		before := r.line.Pooled("tcp")
		began := time.Since(r.start)
		quiet, _ := r.tcpPeer(trunk)
		lively, conn := r.tcpPeer(trunk)
		for range 4 {
			pass(4 * time.Minute)
			lively.send("\n\n\n\n")
			if time.Since(r.start)-began < 5*time.Minute {
				select {
				case <-quiet.got:
					t.Error("cut before five minutes")
				default:
				}
			}
		}
		select {
		case m, open := <-quiet.got:
			if open {
				t.Errorf("got\n%s", m.text)
			}
		default:
			t.Error("not cut after five minutes")
		}
		r.caller(lively).arrive("SIP/2.0/UDP", "SIP/2.0/TCP")
		_ = conn.Close()
		pass(time.Second)
		if got := r.line.Pooled("tcp"); got != before {
			t.Errorf("the pool went from %d to %d", before, got)
		}
	})
}

func TestTCPStranger(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		before := r.line.Pooled("tcp")
		p, _ := r.tcpPeer(stranger)
		began := time.Now()
		if m, open := p.next(time.Minute); open || time.Since(began) > time.Second {
			t.Errorf("not closed at once: %q after %s", m.text, time.Since(began))
		}
		if got := r.line.Pooled("tcp"); got != before || r.line.Strangers() != 1 {
			t.Errorf("the pool went from %d to %d; %d strangers", before, got, r.line.Strangers())
		}
	})
}

// RFC 3261, 18.1.1: the phone's connection has gone: it is dialed anew, through Net, and what comes over the new one is
// heard.
func TestTCPDialsAnew(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, conn := r.tcpPeer(desk)
		p.register("t1", "rahasia", "")
		p.reply(p.want("OPTIONS"), "200 OK", "x")
		pass(10 * time.Millisecond)
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		ln, err := r.network.Host(netip.MustParseAddr(desk)).Net().Listen("tcp", p.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Ring(c.id, 1, party("t1"), "")
		fresh, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		again := newTCPPeer(t, r.start, fresh)
		m := again.want("INVITE")
		again.reply(m, "180 Ringing", "p")
		pass(5 * time.Millisecond)
		again.replySDP(m, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
		again.want("ACK")
		again.send(strings.ReplaceAll(inDialog(m, "BYE", 1, "p"), "SIP/2.0/UDP", "SIP/2.0/TCP"))
		again.want("SIP/2.0 200")
		pass(0)
		r.wantStory(c.id, "arrived rang:1 answered:1 left:1:taker")
	})
}

// Nobody listens where the phone was: it is down, and its leg has left.
func TestTCPPhoneGone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, conn := r.tcpPeer(desk)
		p.register("t1", "rahasia", "")
		p.reply(p.want("OPTIONS"), "200 OK", "x")
		pass(10 * time.Millisecond)
		_ = conn.Close()
		pass(time.Second)
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Ring(c.id, 1, party("t1"), "")
		pass(time.Second)
		r.wantStory(c.id, "arrived left:1:network:408")
		pass(30 * time.Second)
		if got := r.texts("phone"); got[len(got)-1] != "t1 false" {
			t.Errorf("phones %q", got)
		}
	})
}

// sipgo's trap: where a connection has gone it dials by itself, past Net. It may not.
func TestSipgoNeverDials(t *testing.T) {
	_, line := openReal(t)
	defer line.Kill()
	if err := line.Dial(t.Context(), line.Bound("TCP")); err == nil {
		t.Error("it has connected")
	}
}

// A connection that goes as soon as its request has been read takes nothing with it.
func TestTCPRequestAndGone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for range 100 {
			p, conn := r.tcpPeer(trunk)
			c := r.caller(p)
			c.send(c.invite("SIP/2.0/UDP", "SIP/2.0/TCP"))
			_ = conn.Close()
			pass(5 * time.Millisecond)
		}
		pass(time.Minute)
		r.caller(r.peer(trunk)).arrive()
	})
}

// Rubbish on a connection of ours closes it, and harms no other.
func TestTCPRubbish(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		bad, _ := r.tcpPeer(trunk)
		good, _ := r.tcpPeer(trunk)
		bad.send("hello\n\nworld\n\n")
		pass(time.Second)
		c := r.caller(good)
		c.arrive("SIP/2.0/UDP", "SIP/2.0/TCP")
	})
}

// A message may come in pieces, and two in one.
func TestTCPPieces(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, conn := r.tcpPeer(trunk)
		one, two := r.caller(p), r.caller(p)
		text := strings.ReplaceAll(one.invite("SIP/2.0/UDP", "SIP/2.0/TCP")+two.invite("SIP/2.0/UDP", "SIP/2.0/TCP"), "\n", "\r\n")
		for len(text) > 0 {
			n := min(len(text), 100)
			if _, err := conn.Write([]byte(text[:n])); err != nil {
				t.Fatal(err)
			}
			text = text[n:]
			pass(time.Millisecond)
		}
		pass(10 * time.Millisecond)
		if len(r.ids()) != 2 {
			t.Errorf("%d calls arrived, want 2", len(r.ids()))
		}
	})
}

// A listener that nobody can have is named.
func TestPortInUse(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, network := range []string{"udp", "tcp"} {
			o := r.options
			cfg := *configuration()
			cfg.SIP.Listen = cfg.SIP.Listen[:1]
			cfg.SIP.Listen[0].Network = network
			o.Config = &cfg
			line, err := sip.Open(o)
			if err == nil {
				line.Kill()
				t.Fatal("opened twice")
			}
			if !strings.Contains(err.Error(), network+":10.0.0.1:5060") || !strings.Contains(err.Error(), "in use") {
				t.Error(err)
			}
		}
	})
}

// dialTCP connects to a real socket.
func dialTCP(ctx context.Context, tb testing.TB, from string, to netip.AddrPort) *peer {
	tb.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		tb.Fatal(err)
	}
	return newTCPPeer(tb, time.Now(), conn)
}

// A caller over TCP says nothing while it rings: its connection lives as long as our 180 go out over it.
func TestTCPCallerRingsForLong(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.options.Config.SIP.Answer = config.AnswerTaker
		p, _ := r.tcpPeer(trunk)
		c := r.caller(p)
		c.arrive("SIP/2.0/UDP", "SIP/2.0/TCP")
		r.line.Play(c.id, 0, "")
		for range 20 {
			c.wantWithin("SIP/2.0 180", time.Minute+time.Second)
		}
		r.line.Answer(c.id, 0)
		c.answered()
	})
}
