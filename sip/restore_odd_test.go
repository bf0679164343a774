package sip_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

// A peer's answer may name another port and another codec: its sound goes there.
func TestRestoredElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).talk()
		pass(keepSoon)
		r.restart(alive(c.id, 0))
		m := knocked(c.peer)
		body := strings.NewReplacer("4000", "4444", "RTP/AVP 8 ", "RTP/AVP 0 ").Replace(session(trunk, 4000))
		c.send(response(m, "200 OK", "", body, "Contact: <sip:other@"+trunk+":5060>"))
		c.want("ACK sip:other@")
		pass(time.Second)
		d := r.dialog(c.id, 0)
		if d.Media.Remote.Port() != 4444 {
			t.Errorf("sound goes to %s", d.Media.Remote)
		}
		if !strings.Contains(d.Target, "other@") {
			t.Errorf("target %s", d.Target)
		}
	})
}

// Whatever else a proxy or a strict peer says to the INVITE that asks, the call goes on.
func TestRestoredRefusals(t *testing.T) {
	for _, status := range []string{"401 Unauthorized", "407 Proxy Authentication Required", "403 Forbidden", "302 Moved Temporarily", "503 Service Unavailable", "603 Decline"} {
		t.Run(status, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c := r.caller(r.peer(trunk)).talk()
				pass(keepSoon)
				r.restart(alive(c.id, 0))
				c.reply(knocked(c.peer), status, "")
				c.want("ACK")
				go c.stays()
				pass(2 * time.Minute)
				r.wantStory(c.id, "arrived answered:0")
			})
		})
	}
}

// A dialog through proxies: what we send goes to the first of them, and names them all.
func TestRestoredRoutes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		proxy := r.peer("10.0.2.9")
		c := r.caller(r.peer(trunk)).arrive("Content-Type", "Record-Route: <sip:10.0.2.9;lr>, <sip:10.0.2.10;lr>\nContent-Type")
		r.line.Answer(c.id, 0)
		c.answered()
		c.ack()
		pass(keepSoon)
		r.restart(alive(c.id, 0))
		m := proxy.find("INVITE", time.Second)
		if !strings.Contains(m.text, "<sip:10.0.2.9;lr>") || !strings.Contains(m.text, "<sip:10.0.2.10;lr>") {
			t.Errorf("%s", m.text)
		}
		proxy.send(response(m, "200 OK", "", session(trunk, 4000), "Contact: <sip:caller@"+trunk+":5060>"))
		proxy.find("ACK", time.Second)
		r.line.Drop(c.id, 0, 200)
		proxy.find("BYE", time.Second)
	})
}

// The taker's registration has expired in the gap; the talk has not.
func TestRestoredWithoutRegistration(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph := settled(r)
		r.line.Kill()
		pass(2 * time.Hour)
		r.live = alive(c.id, 0, 1)
		r.open()
		c.replySDP(knocked(c.peer), "200 OK", "")
		ph.replySDP(knocked(ph.peer), "200 OK", "")
		ph.find("ACK", time.Second)
		c.find("ACK", time.Second)
		pass(time.Second)
		r.line.Drop(c.id, 1, 200)
		ph.reply(ph.find("BYE", time.Second), "200 OK", "")
		pass(time.Second)
		if got := r.story(c.id); !strings.HasSuffix(got, " left:1:desk") {
			t.Error(got)
		}
	})
}

// The session has expired in the gap, and the peer is to refresh it: it is asked first.
func TestRestoredExpiredSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := r.caller(r.peer(trunk)).arrive("Content-Type", "Supported: timer\nSession-Expires: 200;refresher=uac\nContent-Type")
		r.line.Answer(c.id, 0)
		c.answered()
		c.ack()
		pass(keepSoon)
		r.line.Kill()
		pass(time.Hour)
		r.live = alive(c.id, 0)
		r.open()
		c.send(response(knocked(c.peer), "200 OK", "", session(trunk, 4000), "Contact: <sip:caller@"+trunk+":5060>", "Require: timer", "Session-Expires: 200;refresher=uas"))
		c.want("ACK")
		go c.stays()
		pass(100 * time.Second)
		r.wantStory(c.id, "arrived answered:0")
	})
}

// A run that dies at any of its Keeps while it takes calls up leaves what the next one needs.
func TestRestoredAfterDyingInRestore(t *testing.T) {
	for dies := range 6 {
		bubble(t, func(t *testing.T, r *rig) {
			c, ph := settled(r)
			other := r.caller(c.peer)
			other.send(other.invite())
			pass(50 * time.Millisecond)
			r.line.Kill()
			live := alive(c.id, 0, 1)
			for key := range r.kept {
				if key.id != c.id {
					other.id = key.id
					live[key.id] = []call.Leg{0}
				}
			}
			r.live = live
			n := 0
			var disk map[keptKey][]byte
			r.onKeep = func(call.ID, call.Leg, []byte) {
				if n++; n == dies {
					r.mu.Lock()
					disk = maps.Clone(r.kept)
					r.mu.Unlock()
				}
			}
			r.open()
			pass(5 * time.Millisecond)
			r.line.Kill()
			r.onKeep = nil
			if disk != nil {
				r.kept = disk
			}
			for _, p := range []*peer{c.peer, ph.peer} {
				p.drain(time.Second)
			}
			r.open()
			got := map[string]int{}
			for _, m := range append(c.drain(300*time.Millisecond), ph.drain(0)...) {
				got[strings.Fields(m.start())[0]]++
			}
			if got["INVITE"] < 2 {
				t.Errorf("dies at %d: got %v", dies, got)
			}
		})
	}
}
