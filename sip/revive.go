package sip

import (
	"time"

	sipgo "github.com/emiago/sipgo/sip"
)

// revival is what a leg that was taken up after a restart still has to show. It ends with the first sign of the peer that it
// knows the dialog.
type revival struct {
	due   bool      // an INVITE of ours is to ask whether the peer is still there, once it may go out
	moved bool      // our port or our address is another one: that INVITE must say so
	until time.Time // a phone behind TCP has that long to come back
}

// knockSoon asks the peer of a dialog after a while: not all at once.
func (a *actor) knockSoon(s *survivor, d time.Duration) {
	if g := s.g; a.legs[g.d.Leg] == g && g.state == confirmed && g.revive != nil && g.revive.due {
		a.after(g, glareTimer, d, func() { a.knock(g) })
	}
}

// knock asks the peer of a leg that was taken up by an INVITE inside the dialog whether it is still there: its session is
// refreshed by that. A phone behind TCP has to come back first.
func (a *actor) knock(g *leg) {
	switch {
	case g.revive == nil: // it has shown itself
	case a.reroute(g):
		a.freshen(g)
	case time.Now().Before(g.revive.until):
		a.after(g, glareTimer, time.Second, func() { a.knock(g) })
	default:
		a.leave(g, "node", "restart", 0)
	}
}

// offer is the description in an INVITE of ours that changes nothing, but for where we are.
func (g *leg) offer() []byte {
	if g.revive != nil && g.revive.moved {
		return g.d.Session.Offer(g.d.Session.Going)
	}
	return g.d.Session.Refresh()
}

// knocked takes the final response to that INVITE; false: it is a refresh like any other. A peer that does not know the
// dialog any more, or says nothing, was lost by the restart. One that refuses is there, and the call goes on; unless it
// would go on sending to where we are no more.
func (a *actor) knocked(g *leg, m *modification, res *sipgo.Response) bool {
	switch {
	case res == nil && !m.givenUp(), res != nil && res.StatusCode == sipgo.StatusRequestTimeout:
		a.lost(g, "restart")
		return true
	case res == nil:
	case res.StatusCode == sipgo.StatusCallTransactionDoesNotExists:
		a.leave(g, "node", "restart", 0)
		return true
	case res.StatusCode == sipgo.StatusRequestPending:
		return false
	case res.IsSuccess():
		g.revive = nil
		return false
	case res.StatusCode == 422 && g.d.Timer.widen(res):
		a.freshen(g)
		return true
	}
	if g.revive.moved {
		a.bye(g, sipgo.StatusServiceUnavailable)
		a.leave(g, "node", "restart", 0)
		return true
	}
	g.revive = nil
	a.rearm(g)
	return true
}

// unacknowledged takes it that a 200 which had gone out before the restart, and again after it, gets no ACK: some peers
// acknowledge only once. It tells whether the peer is asked instead of hung up on.
func (a *actor) unacknowledged(g *leg) bool {
	if g.revive == nil || !g.revive.due || g.hangUp != 0 || g.unacked.offered {
		return false
	}
	g.settle()
	a.confirm(g)
	a.knock(g)
	return true
}

// reroute finds the way to a phone behind TCP whose connection has gone: that over which it has registered since. It tells
// whether there is a way, or one can be made.
func (a *actor) reroute(g *leg) bool {
	if g.d.Net == "UDP" || !g.d.Flow {
		return true
	}
	if c, err := a.l.tp.GetConnection(g.d.Net, g.d.Peer.String()); err == nil {
		release(c)
		return true
	}
	b, ok := a.l.reg.flow(g.who, g.d.Target, g.d.Peer.Addr())
	if ok {
		g.d.Net, g.d.Peer, g.d.Local = b.Net, b.Peer, b.Local
	}
	return ok
}
