package sip_test

import (
	"strings"
	"testing"
	"time"
)

// RFC 3261, 20, tables 2 and 3: what our messages must carry, or should. RFC 4028, 7.1: Min-SE beside Session-Expires.
func TestWhatOurMessagesCarry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		has := func(m message, header string, words ...string) {
			t.Helper()
			for _, w := range words {
				if !strings.Contains(m.header(header), w) {
					t.Errorf("%s with %s: %q, want %q", m.start(), header, m.header(header), words)
				}
			}
		}
		extensions := []string{"100rel", "timer", "replaces"}
		methods := []string{"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "PRACK", "UPDATE", "REFER"}
		const us = "<sip:siaga112@" + gateway + ":5060>"

		one, two := r.taker("t1", desk), r.taker("t2", desk2)
		c := r.caller(r.peer(trunk)).arrive()
		r.line.Play(c.id, 0, "")
		m := c.want("SIP/2.0 180")
		has(m, "Allow", methods...)
		has(m, "Contact", us)
		r.line.Answer(c.id, 0)
		m = c.answered()
		has(m, "Allow", methods...)
		has(m, "Supported", extensions...)
		has(m, "Contact", us)
		c.ack()

		r.line.Ring(c.id, 1, party("t1"), "")
		r.line.Ring(c.id, 2, party("t2"), "")
		ask := func(m message) {
			t.Helper()
			has(m, "Max-Forwards", "70")
			has(m, "User-Agent", "Siaga112")
			has(m, "Contact", us)
			has(m, "Allow", methods...)
			has(m, "Supported", extensions...)
			has(m, "Min-SE", "90")
		}
		first := one.want("INVITE")
		ask(first)
		m = two.want("INVITE")
		two.reply(m, "180 Ringing", "q")
		pass(time.Millisecond)
		r.line.Drop(c.id, 2, 200)
		has(two.want("CANCEL"), "Max-Forwards", "70")
		one.ignore = nil
		one.replySDP(first, "200 OK", "p", "Contact: <sip:t1@"+desk+">", "Session-Expires: 90;refresher=uac")
		one.want("ACK")
		ask(one.aliveUntil("INVITE", time.Minute))
	})
}

// RFC 3261, 20.35 and 8.2.6.2: a provisional response names us too, 100 aside, and a peer without a tag gets none back.
func TestWhatOurResponsesCarry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk))
		c.arrive(";branch="+c.branch+";rport", ";branch=1", ";tag="+c.from, "")
		r.line.Play(c.id, 0, "")
		m := c.want("SIP/2.0 180")
		if m.header("Server") != "Siaga112" || strings.Contains(m.header("From"), "tag") || m.tag("To") == "" {
			t.Errorf("got\n%s", m.text)
		}
	})
}
