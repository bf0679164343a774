package sip

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
)

// The session intervals of RFC 4028.
const (
	minInterval = 90 * time.Second // a shorter one gets 422
	ourInterval = 30 * time.Minute // that we ask for
	maxInterval = 24 * time.Hour   // a longer one is as good as none
)

// Interval is a dialog's session timer (RFC 4028): how long the session lasts without a refresh.
type Interval struct {
	Expires time.Duration `json:"expires_ns,omitempty"` // 0: for ever
	Ours    bool          `json:"ours,omitempty"`       // we refresh
	Known   bool          `json:"known,omitempty"`      // the peer knows the timer too: whoever does not refresh is hung up on
}

// asked is the timer that a request of the peer's asks for, or 422. Where the peer leaves it to us, we refresh: a call must
// not end because somebody else forgets to. A phone that knows no timer is refreshed all the same.
func asked(req *sipgo.Request, phone bool) (Interval, *refusal) {
	known := supports(req, "timer")
	least, _, _ := interval(req, "Min-SE", "")
	expires, refresher, ok := interval(req, "Session-Expires", "x")
	switch {
	case ok && known && expires < minInterval:
		return Interval{}, refuse(422, minSE(minInterval))
	case ok:
		return Interval{Expires: max(expires, minInterval), Ours: refresher != "uac" || !known, Known: known}, nil
	case known || phone:
		return Interval{Expires: max(ourInterval, least), Ours: true, Known: known}, nil
	}
	return Interval{}, nil
}

// interval reads a header of seconds with a refresher.
func interval(m sipgo.Message, name, short string) (d time.Duration, refresher string, ok bool) {
	values := fields(m, name, short)
	if len(values) == 0 {
		return 0, "", false
	}
	seconds, params, _ := strings.Cut(values[0], ";")
	n, err := strconv.ParseUint(strings.TrimSpace(seconds), 10, 32)
	if err != nil {
		return 0, "", false
	}
	for p := range strings.SplitSeq(params, ";") {
		if key, value, _ := strings.Cut(p, "="); strings.EqualFold(strings.TrimSpace(key), "refresher") {
			refresher = strings.ToLower(strings.TrimSpace(value))
		}
	}
	return min(maxInterval, time.Duration(n)*time.Second), refresher, true
}

func minSE(d time.Duration) sipgo.Header {
	return sipgo.NewHeader("Min-SE", strconv.Itoa(int(d.Seconds())))
}

// grant writes the timer into a 2xx of ours (RFC 4028, 9), for a peer that knows what it means.
func (t Interval) grant(res *sipgo.Response) {
	if t.Expires == 0 || !t.Known {
		return
	}
	res.AppendHeader(sipgo.NewHeader("Require", "timer"))
	res.AppendHeader(t.header("uas", "uac"))
}

// ask writes the timer into an INVITE or UPDATE of ours (RFC 4028, 7.1).
func (t Interval) ask(req *sipgo.Request) {
	req.AppendHeader(sipgo.NewHeader("Supported", supported))
	if t.Expires == 0 {
		return
	}
	req.AppendHeader(t.header("uac", "uas"))
	req.AppendHeader(minSE(minInterval))
}

func (t Interval) header(us, them string) sipgo.Header {
	who := them
	if t.Ours {
		who = us
	}
	return sipgo.NewHeader("Session-Expires", fmt.Sprintf("%d;refresher=%s", int(t.Expires.Seconds()), who))
}

// widen takes the shortest interval that a 422 allows; false when that would change nothing (RFC 4028, 7.3).
func (t *Interval) widen(res *sipgo.Response) bool {
	least, _, _ := interval(res, "Min-SE", "")
	wider := least > t.Expires
	t.Expires = max(t.Expires, least)
	return wider
}

// granted is the timer that the 2xx to our request settles on (RFC 4028, 7.2). Where it says nothing we go on refreshing.
func (t Interval) granted(res *sipgo.Response) Interval {
	expires, refresher, ok := interval(res, "Session-Expires", "x")
	switch {
	case ok:
		return Interval{Expires: max(expires, minInterval), Ours: refresher != "uas", Known: true}
	case t.Expires > 0:
		return Interval{Expires: t.Expires, Ours: true}
	}
	return t
}

// arm sets the leg's session timer anew: to our refresh after half of the interval, or to the BYE for a peer that has not
// refreshed (RFC 4028, 10).
func (a *actor) arm(g *leg) {
	g.d.Fresh = time.Now()
	a.rearm(g)
}

// rearm sets the session timer of a session that was refreshed some time ago. It never fires before lifetime: after a
// restart the peer has that long to be heard.
func (a *actor) rearm(g *leg) {
	gone := max(0, time.Since(g.d.Fresh)) // the clock may have been set back
	switch t := g.d.Timer; {
	case t.Expires == 0:
		g.stop(sessionTimer)
	case t.Ours:
		a.after(g, sessionTimer, max(t.Expires/2-gone, lifetime), func() { a.freshen(g) })
	default:
		a.after(g, sessionTimer, max(t.Expires-t.margin()-gone, lifetime), func() { a.stale(g) })
	}
}

// margin is how long before the end of an interval the BYE goes out.
func (t Interval) margin() time.Duration { return min(lifetime, t.Expires/3) }

// stale ends a session that was not refreshed.
func (a *actor) stale(g *leg) {
	a.bye(g, sipgo.StatusRequestTimeout)
	a.leave(g, "network", "the session was not refreshed", sipgo.StatusRequestTimeout)
}

// modification is an INVITE or UPDATE of ours inside a dialog; there is one at a time.
type modification struct {
	method sipgo.RequestMethod
	over   chan struct{} // closed when it is given up
	armed  int           // the session timer that it answers
}

// longestChange is how long an INVITE inside a dialog may go without a final response once it has a provisional one; without
// any it ends by itself after lifetime (17.1.1.2).
const longestChange = lifetime + t2

// givenUp tells whether the peer has said that it is at it, and then nothing more.
func (m *modification) givenUp() bool {
	select {
	case <-m.over:
		return true
	default:
		return false
	}
}

// freshen refreshes the session: by UPDATE where the peer takes that, else by an INVITE that repeats our description. After
// a restart it is an INVITE in any case, and if our port is another one now it says so.
func (a *actor) freshen(g *leg) {
	if g.own != nil || g.unacked != nil { // the peer is at it
		a.after(g, sessionTimer, time.Second, func() { a.freshen(g) })
		return
	}
	m := &modification{method: sipgo.INVITE, over: make(chan struct{}), armed: g.timers[sessionTimer].n}
	if g.d.Update && g.revive == nil {
		m.method = sipgo.UPDATE
	}
	g.own = m
	giveUp := time.AfterFunc(longestChange, func() { close(m.over) })
	a.requestUntil(m.over, g, m.method, func(req *sipgo.Request) {
		req.AppendHeader(contact(g.d.Net, a.l.advertised(g.d.Local)))
		req.AppendHeader(sipgo.NewHeader("Allow", allow))
		g.d.Timer.ask(req)
		if m.method == sipgo.INVITE {
			req.AppendHeader(sipgo.NewHeader("Content-Type", "application/sdp"))
			req.SetBody(g.offer())
		}
	}, func(res *sipgo.Response) {
		giveUp.Stop()
		a.freshened(g, m, res)
	})
}

// freshened takes the final response to a refresh; nil for none.
func (a *actor) freshened(g *leg, m *modification, res *sipgo.Response) {
	g.own = nil
	if m.method == sipgo.INVITE && (res == nil || !res.IsSuccess()) {
		g.d.Session.Withdraw()
	}
	if g.revive != nil && a.knocked(g, m, res) {
		return
	}
	switch {
	case res == nil && m.givenUp():
		a.unrefreshed(g, m)
	case gone(res):
		a.lost(g, "no answer to a refresh")
	case res.IsSuccess():
		a.refreshed(g, m, res)
	case res.StatusCode == sipgo.StatusRequestPending:
		a.after(g, glareTimer, g.d.glare(), func() { a.freshen(g) })
	case res.StatusCode == 422 && g.d.Timer.widen(res):
		a.freshen(g)
	case m.method == sipgo.UPDATE && (res.StatusCode == sipgo.StatusMethodNotAllowed || res.StatusCode == sipgo.StatusNotImplemented):
		g.d.Update = false
		a.freshen(g)
	default:
		a.unrefreshed(g, m)
	}
}

// unrefreshed takes it that the peer is there but refuses a refresh: one that knows the timer is hung up on at the end of the
// session, with any other the call goes on all the same. Meanwhile the peer may have refreshed the session itself.
func (a *actor) unrefreshed(g *leg, m *modification) {
	switch {
	case g.timers[sessionTimer].n != m.armed:
		return
	case g.d.Timer.Known:
		a.after(g, sessionTimer, g.d.Timer.Expires/2-g.d.Timer.margin(), func() { a.stale(g) })
		return
	}
	a.arm(g)
}

// refreshed takes the 2xx to a refresh.
func (a *actor) refreshed(g *leg, m *modification, res *sipgo.Response) {
	g.d.refresh(res)
	g.d.Timer = g.d.Timer.granted(res)
	if m.method == sipgo.INVITE {
		a.ack(g, res.CSeq().SeqNo)
		if answer, err := g.d.Session.Accept(res.Body()); err == nil {
			a.hear(g, answer)
		} else { // nothing was to change: it goes on as it was
			g.d.Session.Withdraw()
		}
	}
	a.arm(g)
	a.keep(g)
}

// glare is how long a request that met the peer's waits until it comes again (14.1): who made the Call-ID waits longer.
func (d *Dialog) glare() time.Duration {
	const unit = 10 * time.Millisecond
	if d.Inbound {
		return time.Duration(rand.IntN(201)) * unit
	}
	return 2100*time.Millisecond + time.Duration(rand.IntN(191))*unit
}
