package sip_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/siaga112/siaga112/call"
)

// logged opens a line whose log can be read.
func logged(t *testing.T, f func(t *testing.T, r *rig, log *observer.ObservedLogs)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		core, log := observer.New(zap.DebugLevel)
		r.options.Log = zap.New(core)
		f(t, r.open(), log)
	})
}

// line is everything that an entry would print.
func line(e observer.LoggedEntry) string {
	return fmt.Sprintln(e.Level, e.LoggerName, e.Message, e.ContextMap(), e.Stack)
}

// withNumber are datagrams that sipgo's parser complains of, and whose complaint quotes the caller's number.
var withNumber = []string{
	"INVITE tel:+628115550001\n\n",
	"INVITE sip:112@x SIP/2.0\nP-Asserted-Identity +628115550001\n\n",
	"INVITE sip:112@x SIP/2.0\nFrom: <sip:+628115550001@x;tag=1\n\n",
	"INVITE sip:112@x SIP/2.0\nCSeq: +628115550001\n\n",
	"INVITE sip:112@x SIP/2.0\nCSeq: +628115550001x INVITE\n\n",
	"INVITE sip:112@x SIP/2.0\nVia: +628115550001\n\n",
	"INVITE sip:112@x SIP/2.0\nContent-Length: +628115550001x\n\n",
	"INVITE sip:+628115550001@x:+628115550001 SIP/2.0\n\n",
	"INVITE sip:+628115550001@x SIP/2.0\nVia: SIP/2.0/UDP x;rport\n\n",
	"SIP/2.0 8115550001x OK\n\n",
}

// What sipgo logs of a message that cannot be read has no caller's number in it, and no stack of ours.
func TestLogOfTheUnreadable(t *testing.T) {
	for _, text := range withNumber {
		logged(t, func(t *testing.T, r *rig, log *observer.ObservedLogs) {
			p := r.peer(trunk)
			log.TakeAll()
			p.send(text)
			pass(10 * time.Millisecond)
			all := log.TakeAll()
			if len(all) == 0 {
				t.Errorf("not logged: %q", text)
			}
			for _, e := range all {
				if got := line(e); strings.Contains(got, "8115550001") || e.Stack != "" {
					t.Errorf("logged of %q:\n%s", text, got)
				}
			}
		})
	}
}

// A trunk that sends rubbish all day fills no disk: three lines a minute of a kind.
func TestLogIsSampled(t *testing.T) {
	logged(t, func(t *testing.T, r *rig, log *observer.ObservedLogs) {
		p := r.peer(trunk)
		for minute := range 3 {
			for range 10 {
				for _, text := range withNumber {
					p.send(text)
				}
				pass(5 * time.Second)
			}
			if got, want := log.FilterMessage("failed to parse").Len(), 3*(minute+1); got != want {
				t.Errorf("minute %d: %d lines, want %d", minute, got, want)
			}
			pass(10 * time.Second)
		}
	})
}

// A panic in the handling of a stray response, for which sipgo has no recover, ends that response and nothing else.
func TestPanicOfAStrayResponse(t *testing.T) {
	logged(t, func(t *testing.T, r *rig, log *observer.ObservedLogs) {
		ph := r.taker("t1", desk)
		name := string(call.NewID(call.Call, time.Now())) + ".3"
		text := strings.ReplaceAll(`SIP/2.0 200 OK
Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKstray;rport
From: <sip:+62811@10.0.0.1>;tag=NAME
To: <sip:t1@siaga112>;tag=p
Call-ID: NAME
CSeq: 1 INVITE
Contact: <sip:t1@10.0.1.1:5060>
Content-Length: 0

`, "NAME", name)
		hook := func(f func(start string) error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.onWrite = f
		}
		hook(func(start string) error {
			if strings.HasPrefix(start, "ACK") {
				panic("a test")
			}
			return nil
		})
		ph.send(text)
		pass(10 * time.Millisecond)
		if got := log.FilterMessage("a response could not be handled").Len(); got != 1 {
			t.Fatalf("%d panics logged, want one", got)
		}
		hook(nil)
		ph.send(text) // the phone repeats it
		unwanted(t, ph, "p")
	})
}

// sipgo quotes an address that is a * without quotes.
func TestLogOfAWildcard(t *testing.T) {
	logged(t, func(t *testing.T, r *rig, log *observer.ObservedLogs) {
		p := r.peer(trunk)
		p.send("INVITE sip:112@x SIP/2.0\nFrom: *;tag=+628115550001\n\n")
		pass(10 * time.Millisecond)
		for _, e := range log.FilterMessage("failed to parse").All() {
			if got := line(e); strings.Contains(got, "8115550001") {
				t.Error(got)
			}
		}
	})
}

// A request that cannot be written is logged without the number in its Request-URI, but with the reason.
func TestLogOfTheUnsent(t *testing.T) {
	logged(t, func(t *testing.T, r *rig, log *observer.ObservedLogs) {
		c := r.caller(r.peer(trunk)).arrive("sip:caller@", "sip:+628115550001@")
		r.line.Answer(c.id, 0)
		c.answered()
		c.ack()
		pass(10 * time.Millisecond)
		r.mu.Lock()
		r.onWrite = func(start string) error {
			if strings.HasPrefix(start, "BYE") {
				return errors.New("the network is unreachable")
			}
			return nil
		}
		r.mu.Unlock()
		r.line.Drop(c.id, 0, 200)
		pass(time.Second)
		r.wantStory(c.id, "arrived answered:0 left:0:desk")
		all := log.FilterMessage("request not sent").All()
		if len(all) != 1 {
			t.Fatalf("%d lines", len(all))
		}
		if got := line(all[0]); strings.Contains(got, "8115550001") || !strings.Contains(got, "the network is unreachable") {
			t.Error(got)
		}
	})
}
