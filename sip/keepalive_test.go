package sip_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// RFC 5626, 3.5.1 and 4.4.1: over TCP a double CRLF is answered with one, and a single CRLF, which is an answer, with
// nothing. What comes after them is read as if they had not been there.
func TestCRLFOverTCP(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, _ := r.tcpPeer(desk)
		p.register("t1", "rahasia", "")
		p.reply(p.want("OPTIONS"), "200 OK", "x")
		raw := r.tcpRaw(desk)
		for _, tt := range []struct{ ping, pong string }{{"\r\n\r\n", "\r\n"}, {"\r\n", ""}, {"\r\n\r\n", "\r\n"}} {
			if got := raw.say(t, tt.ping); got != tt.pong {
				t.Errorf("%q is answered %q, want %q", tt.ping, got, tt.pong)
			}
		}
		p.send("\n\n")
		pass(time.Second)
		p.register("t1", "rahasia", "")
		p.send("\n\n" + p.registration("t1", "")) // in one piece with a message (RFC 3261, 7.5)
		p.find("SIP/2.0 401", time.Second)
	})
}

// Over UDP a CRLF keeps a NAT open and asks for nothing: it is not answered, not counted and not logged, and does no harm.
func TestCRLFOverUDP(t *testing.T) {
	logs, seen := observer.New(zapcore.WarnLevel)
	bubbleWith(t, func(r *rig) { r.options.Log = zap.New(logs) }, func(t *testing.T, r *rig) {
		p := r.taker("t1", desk)
		for _, ping := range []string{"\r\n\r\n", "\r\n", "\n", "\x00\x00\x00\x00", "\x00"} {
			if err := p.write([]byte(ping)); err != nil {
				t.Fatal(err)
			}
			p.none(100 * time.Millisecond)
		}
		p.register("t1", "rahasia", "")
		if n := r.line.Strangers(); n != 0 {
			t.Errorf("%d strangers", n)
		}
	})
	for _, e := range seen.All() {
		t.Errorf("logged: %s %v", e.Message, e.ContextMap())
	}
}

// rawTCP is a connection whose bytes are looked at one by one.
type rawTCP struct {
	conn net.Conn
	got  chan string
}

func (r *rig) tcpRaw(host string) rawTCP {
	r.tb.Helper()
	conn, err := r.network.Host(netip.MustParseAddr(host)).Net().Dial(context.Background(), "tcp", gateway+":5060")
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(func() { _ = conn.Close() })
	c := rawTCP{conn, make(chan string, 100)}
	go func() {
		defer close(c.got)
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			c.got <- string(buf[:n])
		}
	}()
	return c
}

// say writes and is what came back within a second.
func (c rawTCP) say(tb testing.TB, text string) string {
	tb.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	pass(time.Second)
	select {
	case got := <-c.got:
		return got
	default:
		return ""
	}
}
