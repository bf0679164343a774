package sip_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// slowly holds back what says that a Keep is durable, until release.
func slowly(r *rig) (release func(error)) {
	var waits []func(error)
	r.mu.Lock()
	r.onDone = func(done func(error)) {
		r.mu.Lock()
		waits = append(waits, done)
		r.mu.Unlock()
	}
	r.mu.Unlock()
	return func(err error) {
		r.mu.Lock()
		all := waits
		r.onDone = nil
		r.mu.Unlock()
		for _, done := range all {
			done(err)
		}
	}
}

// picksUp is a phone that rings and picks up, while the disk is slow.
func picksUp(r *rig) (c *caller, ph *phone, release func(error)) {
	r.tb.Helper()
	c, t, m := ringing(r)
	release = slowly(r)
	t.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+":5060>")
	return c, &phone{taker: t, invite: m}, release
}

// A phone's 200 has its ACK once the dialog is durable, and after 200 ms in any case.
func TestACKWaitsForTheDisk(t *testing.T) {
	for name, tt := range map[string]struct {
		err   error
		after time.Duration // it is durable; 0: it never is
		want  time.Duration
	}{
		"durable":       {nil, 150 * time.Millisecond, 150 * time.Millisecond},
		"never durable": {errors.New("a test"), 50 * time.Millisecond, 50 * time.Millisecond},
		"a slow disk":   {nil, 0, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c, ph, release := picksUp(r)
				begin := time.Since(r.start)
				if tt.after > 0 {
					time.AfterFunc(tt.after, func() { release(tt.err) })
				}
				if got := ph.want("ACK").at - begin; got < tt.want || got > tt.want+5*time.Millisecond {
					t.Errorf("ACK after %s, want %s", got, tt.want)
				}
				release(nil)
				ph.none(8 * time.Second)
				r.wantStory(c.id, waiting+"answered:1")
			})
		})
	}
}

// Whatever else is said in the dialog comes after the ACK, which goes out once.
func TestACKComesFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		do   func(r *rig, c *caller, ph *phone)
		want []string
	}{
		"the desk hangs up":    {func(r *rig, c *caller, _ *phone) { r.line.Drop(c.id, 1, 200) }, []string{"ACK", "BYE"}},
		"the phone hangs up":   {func(_ *rig, _ *caller, ph *phone) { ph.within("BYE", "") }, []string{"ACK", "SIP/2.0 200"}},
		"the phone holds":      {func(_ *rig, _ *caller, ph *phone) { ph.within("INVITE", session(desk, 4000)+"a=sendonly\n") }, []string{"ACK", "SIP/2.0 200"}},
		"the 200 comes again":  {func(_ *rig, _ *caller, ph *phone) { ph.replySDP(ph.invite, "200 OK", "p") }, nil},
		"a fork picks up, too": {func(_ *rig, _ *caller, ph *phone) { ph.replySDP(ph.invite, "200 OK", "q") }, []string{"ACK", "BYE"}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				c, ph, release := picksUp(r)
				pass(10 * time.Millisecond)
				tt.do(r, c, ph)
				var got []string
				for _, m := range ph.drain(100 * time.Millisecond) {
					got = append(got, strings.Join(strings.Fields(m.start())[:1], " "))
					if strings.HasPrefix(m.start(), "SIP/2.0 ") {
						got[len(got)-1] = m.start()[:len("SIP/2.0 200")]
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				release(nil)
				acks := slices.Contains(tt.want, "ACK") && name != "a fork picks up, too"
				rest := ph.drain(100 * time.Millisecond)
				if again := slices.ContainsFunc(rest, func(m message) bool { return strings.HasPrefix(m.start(), "ACK") }); again == acks {
					t.Errorf("then %v", rest)
				}
			})
		})
	}
}

// A crash before the dialog is durable: the phone rings for the next run, and says 200 again because it has no ACK.
func TestRestoredPickedUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, m := ringing(r)
		rings := r.dialog(c.id, 1).Encode()
		slowly(r)
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+":5060>")
		pass(50 * time.Millisecond)
		r.line.Kill()
		r.kept[keptKey{c.id, 1}] = rings
		ph.none(time.Second)
		r.live = alive(c.id, 0, 1)
		r.open()
		ph.reply(ph.want("CANCEL"), "481 Call/Transaction Does Not Exist", "p")
		ph.replySDP(m, "200 OK", "p", "Contact: <sip:t1@"+desk+":5060>")
		unwanted(t, ph, "p")
		ph.none(time.Minute)
	})
}

// A crash between the dialog on the disk and the ACK: the next run sends it before it asks whether the phone is there.
func TestRestoredUnacknowledgedPhone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c, ph, release := picksUp(r)
		ph.none(50 * time.Millisecond)
		r.line.Kill()
		release(nil)
		ph.none(time.Second)
		r.live = alive(c.id, 0, 1)
		r.open()
		if ack := ph.want("ACK"); ack.cseq(t) != 1 || ack.tag("To") != "p" {
			t.Errorf("ACK\n%s", ack.text)
		}
		ph.replySDP(ph.want("INVITE"), "200 OK", "")
		ph.want("ACK")
		pass(keepSoon)
		if d := r.dialog(c.id, 1); d.Unacked != 0 || !d.Answered {
			t.Errorf("kept: %+v", d)
		}
	})
}
