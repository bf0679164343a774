package sip_test

import (
	"fmt"
	"iter"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip"
	"github.com/siaga112/siaga112/sip/media"
)

// three is a line with a call in talk with its taker, one that waits unanswered while a phone rings, and the phones.
func three(r *rig) (talking, arrived *caller, one, two *taker, m message) {
	r.tb.Helper()
	talking, one, first := ringing(r)
	one.replySDP(first, "200 OK", "p", "Contact: <sip:t1@10.0.1.1>")
	one.want("ACK")
	two = r.taker("t2", desk2)
	arrived = r.caller(r.peerAt("10.0.2.2", 5060)).arrive()
	r.line.Ring(arrived.id, 1, party("t2"), "")
	m = two.want("INVITE")
	two.reply(m, "180 Ringing", "q")
	pass(10 * time.Millisecond)
	return talking, arrived, one, two, m
}

// Close says goodbye to everybody, whatever their state, and waits until they have answered.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		talking, arrived, one, two, m := three(r)
		closed := make(chan time.Duration)
		go func() { r.line.Close(); closed <- time.Since(r.start) }()
		byeCaller, byeTaker := talking.want("BYE"), one.want("BYE")
		arrived.want("SIP/2.0 503")
		arrived.ackFinal()
		cancel := two.want("CANCEL")
		pass(500*time.Millisecond - 10*time.Millisecond)
		select {
		case <-closed:
			t.Fatal("closed before its BYEs were answered")
		default:
		}
		talking.reply(byeCaller, "200 OK", "")
		one.reply(byeTaker, "200 OK", "")
		two.reply(cancel, "200 OK", "q")
		two.reply(m, "487 Request Terminated", "q")
		select {
		case <-closed:
		case <-time.After(100 * time.Millisecond):
			t.Error("not closed 100 ms after the last answer")
		}
		r.wantStory(talking.id, waiting+"answered:1 left:1:node left:0:node")
		r.wantStory(arrived.id, "arrived rang:1 left:1:node left:0:node")
		r.wantGone()
		r.line.Close() // again: nothing
	})
}

// Whoever does not answer the goodbye is not waited for longer than two seconds.
func TestCloseWithoutAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		three(r)
		began := time.Now()
		r.line.Close()
		if d := time.Since(began); d < 2*time.Second || d > 2100*time.Millisecond {
			t.Errorf("closed after %s", d)
		}
	})
}

func TestCloseOfAnIdleLine(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.taker("t1", desk)
		began := time.Now()
		before := r.texts("phone")
		r.line.Close()
		if d := time.Since(began); d > 100*time.Millisecond {
			t.Errorf("closed after %s", d)
		}
		if got := r.texts("phone"); len(got) != len(before) {
			t.Errorf("a phone is not gone because we are: %q", got)
		}
		if r.accounts.contact(t, "t1") == "" {
			t.Error("the registration is forgotten")
		}
	})
}

// Kill is a crash: no message, no fact, and everything stays kept.
func TestKill(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		three(r)
		r.peer("10.0.2.9").send("OPTIONS x\n\n") // and something on its way
		before, kept := len(r.all()), len(r.kept)
		r.line.Kill()
		pass(time.Minute)
		for _, d := range r.all()[before:] {
			t.Errorf("after Kill: %+v", d)
		}
		if len(r.kept) != kept || kept != 4 {
			t.Errorf("%d dialogs kept of %d, want 4", len(r.kept), kept)
		}
		if n := r.network.Host(netip.MustParseAddr(gateway)).Open(); n != 0 {
			t.Errorf("%d sockets are open", n)
		}
	})
}

// Kill while requests come in: nothing is left, and sipgo opens no socket of its own (which would stop this bubble's time).
func TestKillUnderLoad(t *testing.T) {
	for range 20 {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.peer(trunk)
			for range 50 {
				c := r.caller(p)
				c.send(c.invite())
			}
			r.mu.Lock()
			n := 0
			r.onRead = func(string) {
				if n++; n == 25 {
					go r.line.Kill()
				}
			}
			r.mu.Unlock()
			pass(time.Minute)
			if n := r.network.Host(netip.MustParseAddr(gateway)).Open(); n != 0 {
				t.Errorf("%d sockets are open", n)
			}
		})
	}
}

// lively is a desk that answers everybody, and a store that remembers nobody.
type lively struct {
	line  atomic.Pointer[sip.Line]
	facts chan call.Event
}

func (l *lively) Tell(id call.ID, ev call.Event) {
	if _, ok := ev.(call.Arrived); ok {
		l.line.Load().Answer(id, 0)
	}
	select {
	case l.facts <- ev:
	default:
	}
}
func (*lively) Phone(call.Party, bool)                      {}
func (*lively) Ask(call.ID, call.Leg, string, call.Party)   {}
func (*lively) Keep(call.ID, call.Leg, []byte, func(error)) {}
func (*lively) Kept() iter.Seq2[call.LegID, []byte]         { return func(func(call.LegID, []byte) bool) {} }

func (*lively) Account(string) (map[string]string, call.Party, bool) {
	return map[string]string{"MD5": ha1("t1")}, party("t1"), true
}
func (*lively) Bind(call.TakerID, []byte) {}
func (*lively) Bound() iter.Seq2[call.TakerID, []byte] {
	return func(func(call.TakerID, []byte) bool) {}
}

// openReal opens a line on real loopback sockets: the trunk is 127.0.0.2, takers are 127.0.0.1.
func openReal(tb testing.TB) (*lively, *sip.Line) {
	tb.Helper()
	cfg := configuration()
	for i := range cfg.SIP.Listen {
		cfg.SIP.Listen[i].Addr = netip.MustParseAddrPort("127.0.0.1:0")
	}
	cfg.RTP = config.RTP{First: 42000, Last: 43999}
	cfg.Trunks[0].From = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	cfg.Takers.From = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	world := &lively{facts: make(chan call.Event, 100)}
	line, err := sip.Open(sip.Options{
		Config: cfg, Net: media.System(), Prompts: media.NewLibrary(nil, nil), Intake: world, Keeper: world, Accounts: world,
		Alarm: func(name string, _ time.Time, text string) { tb.Error(name, text) }, Log: zap.NewNop(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	world.line.Store(line)
	line.Restore(nil, 0)
	return world, line
}

// realCaller is a trunk's UDP socket on 127.0.0.2.
func realCaller(tb testing.TB, line *sip.Line) *caller {
	tb.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	r := &rig{tb: tb, start: time.Now()}
	return r.caller(newUDPPeer(tb, r.start, conn, line.Bound("UDP")))
}

// cycle is one whole call: INVITE, 200, ACK, BYE.
func (c *caller) cycle() {
	c.tb.Helper()
	c.to = ""
	c.send(c.invite())
	m := c.wantWithin("SIP/2.0 200", 10*time.Second)
	c.to, c.target = m.tag("To"), m.uri("Contact")
	c.ack()
	c.send(c.request("BYE", c.cseq+1))
	c.wantWithin("SIP/2.0 200", 10*time.Second)
}

// On real sockets: a call over UDP, a phone over TCP, a stranger; after Close no goroutine is left.
func TestRealSockets(t *testing.T) {
	defer goleak.VerifyNone(t)
	world, line := openReal(t)
	defer line.Close()
	c := realCaller(t, line)
	c.cycle()
	for _, want := range []string{"arrived", "answered:0", "left:0:caller"} {
		select {
		case ev := <-world.facts:
			if got := short(ev); got != want {
				t.Errorf("fact %s, want %s", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no fact %s", want)
		}
	}
	ph := dialTCP(t.Context(), t, "127.0.0.1", line.Bound("TCP"))
	ph.send(ph.registration("t1", ""))
	challenge := ph.wantWithin("SIP/2.0 401", 10*time.Second).header("WWW-Authenticate")
	ph.send(ph.registration("t1", "Authorization: "+authorization(t, challenge, "t1", "rahasia")+"\n"))
	ph.wantPast("SIP/2.0 200", 10*time.Second)
	ph.reply(ph.wantWithin("OPTIONS", 10*time.Second), "200 OK", "x")
	stranger := dialTCP(t.Context(), t, "127.0.0.3", line.Bound("TCP"))
	if m, open := stranger.next(10 * time.Second); open {
		t.Errorf("a stranger got\n%s", m.text)
	}
	_ = c.close()
	_ = ph.close()
	_ = stranger.close()
}

// A whole call on loopback: what signaling alone costs.
func BenchmarkCall(b *testing.B) {
	_, line := openReal(b)
	defer line.Kill()
	c := realCaller(b, line)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		c.callID, c.branch = fmt.Sprintf("bench%d@trunk", n), fmt.Sprintf("z9hG4bKbench%d", n)
		c.cycle()
	}
}
