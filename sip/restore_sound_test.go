package sip_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
)

// heading is what a packet says of itself.
type heading struct {
	number byte
	seq    uint16
	ts     uint32
	ssrc   uint32
}

// headings are the packets that have come.
func (s *sound) headings() (all []heading) {
	for {
		select {
		case p := <-s.got:
			all = append(all, heading{p[1] & 0x7f, binary.BigEndian.Uint16(p[2:]), binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[8:])})
		default:
			return all
		}
	}
}

// RFC 3550, 5.1: the sound of a restored leg is the same source: its numbers only grow, its timestamps by the time that has
// passed, and the payload type is the one that was agreed on.
func TestRestoredSound(t *testing.T) {
	for name, end := range map[string]func(r *rig){
		"after a kill":      func(r *rig) { r.line.Kill() },
		"after a hand-over": func(r *rig) { r.line.Leave() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				rtp := r.sound(trunk)
				c := r.caller(r.peer(trunk)).arrive("8 0 101", "97 101\na=rtpmap:97 PCMA/8000")
				r.line.Answer(c.id, 0)
				c.answered()
				c.ack()
				r.line.Play(c.id, 0, "waiting")
				pass(25 * time.Second)
				end(r)
				at := time.Now()
				pass(3 * time.Second)
				all := rtp.headings()
				before := all[len(all)-1]
				r.live = alive(c.id, 0)
				r.open()
				c.ignore = append(c.ignore, "INVITE")
				r.line.Play(c.id, 0, "waiting")
				pass(50 * time.Millisecond)
				gone := time.Since(at)
				all = rtp.headings()
				if len(all) < 2 {
					t.Fatalf("%d packets", len(all))
				}
				for _, after := range all {
					jump, passed := int16(after.seq-before.seq), time.Duration(after.ts-before.ts)*time.Second/8000
					if after.ssrc != before.ssrc || after.number != 97 || jump < 1 || jump > 300 || passed < gone-100*time.Millisecond || passed > gone+100*time.Millisecond {
						t.Errorf("%s: after %+v came %+v: %d packets and %s later", gone, before, after, jump, passed)
					}
				}
			})
		})
	}
}

// What parties said and where they are is known: a caller and a taker hear each other again with the next Mix, before any
// of them has said a word of SIP.
func TestRestoredTalk(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		theirs, ours := r.sound(trunk), r.sound(desk)
		c, ph := settled(r)
		atCaller, at := r.dialog(c.id, 0).Ports[0], ph.invite.rtp(t)
		r.restart(alive(c.id, 0, 1))
		r.line.Mix(c.id, map[call.Leg]call.Role{0: call.Talking, 1: call.Talking})
		pass(10 * time.Millisecond)
		theirs.say(t, netip.AddrPortFrom(netip.MustParseAddr(gateway), atCaller), 0x11)
		ours.say(t, at, 0x22)
		pass(10 * time.Millisecond)
		if n, b := ours.heard(); n != 1 || b != 0x11 {
			t.Errorf("the phone heard %d packets of %#x at %s", n, b, at)
		}
		if n, b := theirs.heard(); n != 1 || b != 0x22 {
			t.Errorf("the caller heard %d packets of %#x", n, b)
		}
	})
}

// RFC 3264, 8.4: a phone that held its leg still does: it is sent nothing, the desk is told once more, and our INVITE says
// nothing else than before.
func TestRestoredHold(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		rtp := r.sound(desk)
		c, ph := settled(r)
		ph.within("INVITE", session(desk, 4000)+"a=sendonly\n")
		held := ph.want("SIP/2.0 200")
		ph.within("ACK", "")
		pass(10 * time.Millisecond)
		r.restart(alive(c.id, 0, 1))
		if got := strings.Join(r.texts("ask"), "|"); got != "1 hold  |1 hold  " {
			t.Errorf("asked %q", got)
		}
		r.line.Play(c.id, 1, "waiting")
		m := knocked(ph.peer)
		if m.body() != held.body() {
			t.Errorf("another description:\n%s\n%s", held.body(), m.body())
		}
		ph.send(response(m, "200 OK", "p", session(desk, 4000)+"a=sendonly\n", "Contact: <sip:t1@"+desk+":5060>"))
		ph.want("ACK")
		pass(time.Second)
		if n, _ := rtp.numbered(); n != 0 {
			t.Errorf("%d packets to a phone that holds", n)
		}
		ph.within("INVITE", session(desk, 4000))
		ph.find("SIP/2.0 200", time.Second)
		pass(10 * time.Millisecond)
		if got := strings.Join(r.texts("ask"), "|"); got != "1 hold  |1 hold  |1 resume  " {
			t.Errorf("asked %q", got)
		}
	})
}

// A port that another program holds by now: the peer is told of another one by our INVITE, a waiting caller by the 200. A
// peer that refuses that would speak to nobody.
func TestRestoredPortIsTaken(t *testing.T) {
	taken := func(r *rig) {
		listen := r.options.Net.ListenPacket
		r.options.Net.ListenPacket = func(network, addr string) (net.PacketConn, error) {
			if strings.HasSuffix(addr, ":20000") {
				return nil, net.ErrClosed
			}
			return listen(network, addr)
		}
	}
	for _, status := range []string{"200 OK", "488 Not Acceptable Here"} {
		t.Run(status, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).talk()
				pass(keepSoon)
				before := r.dialog(c.id, 0)
				taken(r)
				r.restart(alive(c.id, 0))
				m := knocked(c.peer)
				if port := m.rtp(t).Port(); port == 20000 || port != r.dialog(c.id, 0).Ports[0] {
					t.Errorf("offered port %d", port)
				}
				if want := fmt.Sprintf("o=- %d %d IN", before.Session.ID, before.Session.Version+1); !strings.Contains(m.body(), want) {
					t.Errorf("no %s in\n%s", want, m.body()) // RFC 3264, 8
				}
				if status == "200 OK" {
					c.replySDP(m, status, "")
					c.want("ACK")
					c.none(20 * time.Second)
					r.wantStory(c.id, "arrived answered:0")
					return
				}
				c.reply(m, status, "")
				c.reply(c.find("BYE", time.Second), "200 OK", "")
				pass(time.Second)
				r.wantStory(c.id, "arrived answered:0"+byNode)
				r.wantGone()
			})
		})
	}
	t.Run("waiting", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			c := r.caller(r.peer(trunk)).arrive()
			taken(r)
			r.restart(alive(c.id, 0))
			r.line.Answer(c.id, 0)
			if m := c.answered(); m.rtp(t).Port() == 20000 {
				t.Errorf("200 with\n%s", m.body())
			}
		})
	})
	t.Run("no port is free", func(t *testing.T) {
		for name, then := range map[string]func(r *rig) *caller{
			"waiting": func(r *rig) *caller { return r.caller(r.peer(trunk)).arrive() },
			"talking": func(r *rig) *caller { c := r.caller(r.peer(trunk)).talk(); pass(keepSoon); return c },
		} {
			bubble(t, func(t *testing.T, r *rig) {
				c := then(r)
				listen := r.options.Net.ListenPacket
				r.options.Net.ListenPacket = func(network, addr string) (net.PacketConn, error) {
					if strings.HasSuffix(addr, ":5060") {
						return listen(network, addr)
					}
					return nil, net.ErrClosed
				}
				r.restart(alive(c.id, 0))
				if name == "waiting" {
					c.want("SIP/2.0 503")
					c.ackFinal()
				} else {
					c.reply(c.find("BYE", time.Second), "200 OK", "")
				}
				pass(time.Second)
				if got := r.story(c.id); !strings.HasSuffix(got, byNode) || strings.Count(got, "left") != 1 {
					t.Error(got)
				}
				r.wantGone()
			})
		}
	})
}

// rseq is the number of a reliable provisional response.
func rseq(tb testing.TB, m message) int {
	tb.Helper()
	n, err := strconv.Atoi(m.header("RSeq"))
	if err != nil {
		tb.Fatalf("no RSeq in\n%s", m.text)
	}
	return n
}

// RFC 3262: what became of a reliable 183 before the crash is not known. A PRACK that is on its way is taken; the response
// goes out again with the number that it had, and where no PRACK comes for it the call is answered all the same.
func TestRestoredReliable(t *testing.T) {
	open := func(t *testing.T, pairs []string) (*rig, *caller, message) {
		t.Helper()
		r := newRig(t)
		r.options.Config.SIP.Answer = config.AnswerEarly
		r.open()
		c := r.caller(r.peer(trunk)).arrive(pairs...)
		r.line.Play(c.id, 0, "waiting")
		return r, c, c.progress()
	}
	t.Run("PRACK on its way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, c, m := open(t, reliably("Supported"))
			r.restart(alive(c.id, 0))
			c.send(c.within("PRACK", "", rack(m)))
			c.find("SIP/2.0 200", time.Second)
			r.line.Play(c.id, 0, "waiting")
			next := c.find("SIP/2.0 183", time.Second)
			if rseq(t, next) != rseq(t, m)+1 {
				t.Errorf("RSeq %d after %d", rseq(t, next), rseq(t, m))
			}
			c.send(c.within("PRACK", "", rack(next)))
			c.find("SIP/2.0 200", time.Second)
			r.line.Answer(c.id, 0)
			c.find("SIP/2.0 200", time.Second)
		})
	})
	t.Run("its answer on its way", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, c, m := open(t, withoutOffer("Supported: 100rel\n"))
			s := r.sound(trunk)
			r.restart(alive(c.id, 0))
			c.send(c.within("PRACK", session(trunk, 4000), rack(m)))
			c.find("SIP/2.0 200", time.Second)
			r.line.Answer(c.id, 0)
			if ok := c.find("SIP/2.0 200", time.Second); ok.body() != "" {
				t.Errorf("another description:\n%s", ok.text)
			}
			r.line.Play(c.id, 0, "waiting")
			pass(time.Second)
			if n, _ := s.numbered(); n < 45 {
				t.Errorf("%d packets", n)
			}
		})
	})
	t.Run("acknowledged before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, c, m := open(t, reliably("Supported"))
			c.send(c.within("PRACK", "", rack(m)))
			c.want("SIP/2.0 200")
			r.restart(alive(c.id, 0))
			r.line.Play(c.id, 0, "waiting")
			if next := c.find("SIP/2.0 183", time.Second); next.header("RSeq") != "" || next.body() != "" {
				t.Errorf("it was agreed on before:\n%s", next.text)
			}
			r.line.Answer(c.id, 0)
			if ok := c.find("SIP/2.0 200", time.Second); ok.body() != "" {
				t.Errorf("another description:\n%s", ok.text)
			}
		})
	})
	t.Run("no PRACK", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, c, m := open(t, reliably("Supported"))
			r.restart(alive(c.id, 0))
			r.line.Play(c.id, 0, "waiting")
			if again := c.find("SIP/2.0 183", time.Second); again.body() != m.body() || again.header("RSeq") != m.header("RSeq") {
				t.Errorf("another 183:\n%s\n%s", m.text, again.text)
			}
			r.line.Answer(c.id, 0)
			c.ignore = append(c.ignore, "SIP/2.0 183")
			c.wantWithin("SIP/2.0 200", lifetime+time.Second)
		})
	})
}
