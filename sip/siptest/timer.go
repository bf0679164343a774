package siptest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Timer is what a phone asks of a session, or grants to it (RFC 4028).
type Timer struct {
	Expires   time.Duration // Session-Expires, whole seconds; 0: none
	Min       time.Duration // Min-SE; 0: none
	Refresher string        // uac or uas; empty: the other side says
	Extension string        // timer is "supported" or "required"; empty: supported, where Expires or Min is there
	Update    bool          // the phone refreshes by UPDATE, not by re-INVITE
	Never     bool          // the phone does not refresh, although it should
}

// write puts what is asked into an INVITE or UPDATE (RFC 4028, 7.1).
func (t Timer) write(req *sip.Request) {
	how := t.Extension
	if how == "" && (t.Expires > 0 || t.Min > 0) {
		how = "supported"
	}
	extend(req, "timer", how)
	t.writeExpires(req)
	t.writeMin(req)
}

func (t Timer) writeExpires(m sip.Message) {
	if t.Expires > 0 {
		value := seconds(t.Expires)
		if t.Refresher != "" {
			value += ";refresher=" + t.Refresher
		}
		m.AppendHeader(sip.NewHeader("Session-Expires", value))
	}
}

func (t Timer) writeMin(m sip.Message) {
	if t.Min > 0 {
		m.AppendHeader(sip.NewHeader("Min-SE", seconds(t.Min)))
	}
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// The roles of a refresher: who sent the last request for the session, and who answered it.
const (
	theUAC = "uac"
	theUAS = "uas"
)

// session is the timer of a call's session.
type session struct {
	asked    Timer         // what the phone asked for or granted last
	interval time.Duration // 0: there is no timer
	ours     bool          // we refresh
	next     *task         // our refresh, or the end
}

// expiresOf reads Session-Expires (RFC 4028, 4); 0: none.
func expiresOf(m sip.Message) (interval time.Duration, refresher string) {
	n, params := number(m, "Session-Expires", "x")
	return time.Duration(n) * time.Second, param(params, "refresher")
}

// granted is a 2xx to our request (RFC 4028, 7.2). Without Session-Expires there is no timer any more.
func (s *session) granted(c *Call, res *sip.Response) {
	interval, refresher := expiresOf(res)
	s.start(c, interval, refresher != theUAS)
}

// grant puts what we grant into our 2xx to a request (RFC 4028, 9). A phone without a timer of its own says nothing.
func (s *session) grant(c *Call, req *sip.Request, res *sip.Response, t Timer) {
	if t.Expires == 0 {
		return
	}
	if t.Refresher == "" {
		if _, t.Refresher = expiresOf(req); t.Refresher == "" {
			t.Refresher = theUAS
		}
	}
	if t.Refresher == theUAC {
		res.AppendHeader(sip.NewHeader("Require", "timer"))
	}
	t.writeExpires(res)
	s.asked = t
	s.start(c, t.Expires, t.Refresher == theUAS)
}

// regrant is the answer of a phone with a timer to a change or refresh of the gateway: the interval and the refresher
// that it names. Where it names none there is no timer any more.
func (s *session) regrant(c *Call, req *sip.Request, res *sip.Response) {
	if s.interval == 0 {
		return
	}
	t := s.asked
	if t.Expires, t.Refresher = expiresOf(req); t.Expires == 0 {
		s.start(c, 0, false)
		return
	}
	s.grant(c, req, res, t)
}

// start begins an interval: the refresher refreshes at half of it, the other one hangs up shortly before its end
// (RFC 4028, 10).
func (s *session) start(c *Call, interval time.Duration, ours bool) {
	c.later().drop(s.next)
	s.interval, s.ours, s.next = interval, ours, nil
	switch {
	case interval == 0 || ours && s.asked.Never:
	case ours:
		s.next = c.later().add(interval/2, c.refresh)
	default:
		s.next = c.later().add(interval-min(32*time.Second, interval/3), func() {
			c.lost(expired)
			_ = c.bye([]string{fmt.Sprintf("SIP;cause=%d", sip.StatusRequestTimeout)})
		})
	}
}

// again is what a refresh asks for: the same interval, and the same refresher in the roles of that request.
func (s *session) again() Timer {
	t := s.asked
	if t.Expires = s.interval; s.interval > 0 {
		if t.Refresher = theUAS; s.ours {
			t.Refresher = theUAC
		}
	}
	return t
}

// refresh says that the session goes on; what becomes of it is seen only where it is refused.
func (c *Call) refresh() {
	if c.state == talking && c.change == nil {
		_ = c.modify(Change{Update: c.session.asked.Update, NoOffer: c.session.asked.Update}, true)
	}
}
