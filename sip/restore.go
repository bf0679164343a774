package sip

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

const (
	seqJump    = 100                  // added to the CSeq of a restored dialog: the last Keep may be older than the last request
	restoring  = time.Second          // how long Restore waits for the next INVITE of before to have its transaction
	knockEvery = 1 * time.Millisecond // between two INVITEs after a restart: a burst would be lost in the peers' sockets
)

// survivor is a leg that an earlier run kept.
type survivor struct {
	id    call.ID
	g     *leg
	known bool // facts tell of its call

	invite *sipgo.Request // the peer's that has no ACK yet, to be served again; nil: there is none
	key    string         // its branch
	back   chan struct{}  // closed once its transaction is there
}

// owner is the ID in the leg's tag: its call's, or that of the act which dialed into the call.
func (s *survivor) owner() call.ID {
	id, _, _ := parseTag(s.g.d.LocalTag)
	return id
}

// Restore takes up what an earlier run left, and then opens the ears of the line: before it no message is read.
//
// Each leg in live, by call, is taken up, and then the five verbs work on it as before; or exactly one Left is told for it.
// Taken up are the dialogs that were answered, in both directions, with their ports and their sound, and the INVITEs that
// wait. An answered peer is asked by an INVITE inside its dialog whether it is still there; if not, its Left comes later. A
// phone that was ringing gets CANCEL. A dialog of no live leg gets the goodbye that fits and is forgotten.
//
// gap is how long nobody was there. After more than outwaits no caller waits for an answer any more: such an INVITE is refused.
//
// A crash in the middle leaves the rest for the next start; taking up twice does no harm.
func (l *Line) Restore(live map[call.ID][]call.Leg, gap time.Duration) {
	began := time.Now()
	alive, rest, lost := l.survivors(live, gap)
	l.from.remember(alive)
	l.reopen(alive)
	calls := l.takeUp(alive)
	l.goodbyes(rest)
	l.serveAgain(alive)
	l.once.Do(func() { close(l.ears) })
	l.reg.restore()
	for i, s := range alive {
		l.do(s.id, func(a *actor) { a.knockSoon(s, time.Duration(i)*knockEvery) })
	}
	for _, s := range lost { // one Left for each
		l.o.Intake.Tell(s.id, call.Left{Leg: s.g.d.Leg, By: "node", Why: "restart"})
	}
	if len(alive)+len(rest)+len(lost) > 0 {
		l.log.Info("calls of an earlier run were taken up", zap.Int("calls", calls), zap.Int("legs", len(alive)),
			zap.Int("lost", len(lost)), zap.Int("forgotten", len(rest)), zap.Duration("in", time.Since(began)))
	}
}

// survivors are the kept legs: those that can be taken up, all others that have a dialog, and the live ones that are lost.
// The first are in order: a call's legs together, the caller first.
func (l *Line) survivors(live map[call.ID][]call.Leg, gap time.Duration) (alive, rest, lost []*survivor) {
	open := map[call.ID]map[call.Leg]bool{}
	for id, legs := range live {
		open[id] = map[call.Leg]bool{}
		for _, n := range legs {
			open[id][n] = true
		}
	}
	for at, kept := range l.o.Keeper.Kept() {
		d, err := decodeDialog(kept)
		if err != nil {
			l.unreadable(at, kept, err)
			continue
		}
		id := at.Of
		s := &survivor{id: id, g: &leg{d: d, who: d.Who, refer: d.Refer}, known: open[id] != nil}
		if l.revivable(s) && (d.Answered || gap <= outwaits) && open[id][d.Leg] {
			alive = append(alive, s)
			delete(open[id], d.Leg)
			continue
		}
		rest = append(rest, s)
	}
	for id, legs := range open {
		for n := range legs {
			lost = append(lost, &survivor{id: id, g: &leg{d: Dialog{Leg: n}}})
		}
	}
	for _, all := range [][]*survivor{alive, rest, lost} {
		slices.SortFunc(all, func(x, y *survivor) int { return cmp.Or(cmp.Compare(x.id, y.id), cmp.Compare(x.g.d.Leg, y.g.d.Leg)) })
	}
	return alive, rest, lost
}

// unreadable forgets a row that is no dialog, or every start would find it again. What is said of it is enough to find it in
// a backup, and has no number of anybody in it.
func (l *Line) unreadable(at call.LegID, row []byte, err error) {
	l.log.Error("a kept dialog can't be read and is forgotten: its call is lost, and its peer gets no goodbye",
		zap.String("call", string(at.Of)), zap.Uint16("leg", uint16(at.Leg)), zap.Int("bytes", len(row)),
		zap.String("sha256", fmt.Sprintf("%x", sha256.Sum256(row))), zap.Error(err))
	l.o.Keeper.Keep(at.Of, at.Leg, nil, nil)
}

// revivable tells whether a leg can be taken up, and makes it what it was: a dialog, one whose 200 waits for its ACK, or an
// INVITE that waits for us.
func (l *Line) revivable(s *survivor) bool {
	g := s.g
	if g.d.Inbound && (!g.d.Answered || g.d.fresh()) { // else our 200 has had its ACK: the earlier run would have hung up
		s.invite, s.key = l.again(g.d)
	}
	g.d.LocalSeq += seqJump
	g.d.Session.Withdraw()
	g.revive = &revival{due: g.d.Answered, until: time.Now().Add(lifetime)}
	switch {
	case !l.reachable(&g.d):
		return false
	case s.invite != nil:
		s.back = make(chan struct{})
		g.back = s.back
		if g.d.Answered {
			g.state = answered
		}
		return true
	case g.d.Answered && g.d.Media.Remote.IsValid():
		g.state = confirmed
		return true
	}
	return false
}

// fresh tells whether the dialog's INVITE, or what refreshed it, came less than 64*T1 ago, by a clock that may have been set.
func (d *Dialog) fresh() bool { return time.Since(d.Fresh).Abs() < lifetime }

// again is the kept INVITE of a peer, as it can be served again; nil when it can't.
func (l *Line) again(d Dialog) (*sipgo.Request, string) {
	req, ok := parseRequest(d)
	if !ok || req.Method != sipgo.INVITE || req.To() == nil || req.From() == nil || !l.from.knows(d.Peer.Addr()) {
		return nil, ""
	}
	key, ok := branchKey(req)
	if !ok {
		return nil, ""
	}
	req.To().Params.Remove("tag") // arriving puts it there
	return req, key
}

// reachable tells whether the dialog's network is still there. Where its listener has gone it goes on over the first one.
func (l *Line) reachable(d *Dialog) bool {
	if d.Net == "UDP" && l.udp[d.Local] != nil || d.Net == "TCP" && l.tcp != nil {
		return true
	}
	local, ok := l.contact[d.Net]
	d.Local = local
	return ok
}

// reopen binds the ports of the legs, the old ones first, and lets their sound go on. A leg for which there are none stays
// without a stream.
func (l *Line) reopen(alive []*survivor) {
	for _, s := range alive {
		stream, err := l.portsAt(s.g.d.Local).OpenAt(s.g.d.Ports[0], l.hears(s.id, s.g.d.Leg))
		if err != nil {
			l.log.Warn("an RTP port could not be had again", zap.String("call", string(s.id)), zap.Error(err))
			continue
		}
		s.g.stream = stream
	}
	for _, s := range alive {
		g := s.g
		before, at := g.d.Session, l.advertised(g.d.Local).Addr().Unmap().WithZone("")
		if g.stream == nil {
			stream, err := l.open(s.id, g)
			if err != nil {
				continue
			}
			g.stream = stream
		}
		g.revive.moved = g.stream.Port() != before.Port || at != before.Addr
		before.Port, before.Addr = g.stream.Port(), at
		g.d.Session = before
		g.stream.Resume(g.d.Stream)
		if g.revive.moved && s.invite != nil && len(g.d.Answer) > 0 {
			if answer, m, err := g.d.Session.Answer(s.invite.Body(), g.d.Session.Going); err == nil {
				g.d.Answer, g.d.Media = answer, m
			}
		}
	}
}

// takeUp starts the calls of the legs, and tells how many there are once each is what it was. Nothing is sent yet but what
// ends a REFER.
func (l *Line) takeUp(alive []*survivor) int {
	legs := map[call.ID][]*survivor{}
	for _, s := range alive {
		legs[s.id] = append(legs[s.id], s)
	}
	var begun sync.WaitGroup
	for id, all := range legs {
		begun.Add(1)
		if l.newActor(id, func(a *actor) { defer begun.Done(); a.takeUp(all) }) == nil { // the line is being closed
			begun.Done()
		}
	}
	begun.Wait()
	return len(legs)
}

// takeUp makes the call what it was.
func (a *actor) takeUp(all []*survivor) {
	a.enroll(all)
	for _, s := range all {
		g := s.g
		if g.stream == nil {
			a.unrevived(s)
			continue
		}
		if (g.d.Answered || g.d.Agreed) && g.tune() && g.who != "" { // nobody has written down what phones hold
			a.ask(g.d.Leg, WantHold, call.Party{})
		}
		g.rseq = g.d.RSeq
		if g.state != confirmed {
			continue
		}
		if g.who != "" {
			a.l.busy(g.who, a)
		}
		a.rearm(g)
		a.quietly(g)
		a.keeping(g, keepOften)
		a.referred(g, sipgo.StatusServiceUnavailable)
		a.keep(g)
	}
}

// enroll lets the legs be found, and numbers go on where they stood.
func (a *actor) enroll(all []*survivor) {
	for _, s := range all {
		g := s.g
		n := g.d.Leg
		a.legs[n] = g
		a.joined, a.rung = max(a.joined, g.d.Dialed), max(a.rung, g.d.Rung)
		switch owner := s.owner(); {
		case owner != "" && owner != a.id:
			if a.dialed == nil {
				a.dialed = map[call.ID]call.Leg{}
			}
			a.dialed[owner] = n
			a.joined = max(a.joined, math.MaxUint16-int(n)+1)
		case n == 0:
			a.caller = g.d.Caller
		default:
			a.rung = max(a.rung, n)
		}
	}
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	for id := range a.dialed {
		a.l.calls[id] = a
	}
	for _, s := range all {
		if s.invite != nil {
			a.l.branches[s.key] = &branch{id: s.owner(), actor: a, leg: s.g.d.Leg}
		}
	}
}

// serveAgain gives the INVITEs that have no ACK yet to the listeners as if they came now, and waits until each has its
// transaction: repeated ones, their CANCEL and ACK then find it.
func (l *Line) serveAgain(alive []*survivor) {
	for _, s := range alive {
		if s.invite != nil && s.g.stream != nil {
			l.feed(s.g.d.Local, s.invite, func() { l.forlorn(s) })
		}
	}
	limit, late := time.NewTimer(restoring), false
	defer limit.Stop()
	for _, s := range alive {
		if s.back == nil || s.g.stream == nil {
			continue
		}
		if !late {
			select {
			case <-s.back:
				limit.Reset(restoring)
				continue
			case <-limit.C:
				late = true
			}
		}
		select {
		case <-s.back:
		default:
			l.forlorn(s)
		}
	}
}

// feed lets an INVITE of an earlier run come in: over UDP through its listener, over TCP through a connection to the
// address in its Via (RFC 3261, 18.2.2). Where that can't be had it does not come, and failed is called.
func (l *Line) feed(local netip.AddrPort, req *sipgo.Request, failed func()) {
	from := addrPort(req.Source())
	if req.Transport() == "UDP" {
		if sock := l.udp[local]; sock != nil {
			sock.feed([]byte(req.String()), from)
		}
		return
	}
	port := uint16(sipgo.DefaultTcpPort)
	if p := req.Via().Port; p > 0 && p <= math.MaxUint16 {
		port = uint16(p)
	}
	l.spawn(func() {
		if err := l.redial(netip.AddrPortFrom(from.Addr(), port), []byte(req.String())); err != nil {
			l.log.Info("the sender of an INVITE of before the restart can't be reached", zap.Error(err))
			failed()
		}
	})
}

// again ties the transaction of an INVITE that came to an earlier run to its leg. Where our 200 had gone out it goes out
// again: nobody knows whether it or its ACK was lost, and a peer that has it acknowledges once more (13.2.2.4).
func (a *actor) again(n call.Leg, req *sipgo.Request, tx *sipgo.ServerTx) {
	g := a.legs[n]
	if g == nil || g.back == nil {
		a.l.respond(tx, unavailable(req))
		return
	}
	defer close(g.back)
	g.back = nil
	g.req, g.tx = req, tx
	g.d.Net, g.d.Peer, g.d.Local = req.Transport(), addrPort(req.Source()), a.l.local(req.Transport(), req.Source())
	if !g.d.Answered {
		return
	}
	body, offered := g.d.Answer, false
	switch {
	case g.d.Agreed:
		body = nil
	case len(body) == 0:
		body, offered = g.d.Session.Refresh(), true
	}
	if a.accept(g, req, tx, body, offered) {
		g.req, g.tx = nil, nil
	}
}

func (l *Line) forlorn(s *survivor) { l.do(s.id, func(a *actor) { a.forlorn(s) }) }

// forlorn takes it that an INVITE of an earlier run can't be served again. A peer that may have our 200 is asked instead.
func (a *actor) forlorn(s *survivor) {
	g := s.g
	if g.back == nil || a.legs[g.d.Leg] != g {
		return
	}
	close(g.back)
	if g.back = nil; g.state == answered && g.d.Media.Remote.IsValid() {
		a.confirm(g)
		a.knock(g)
		return
	}
	a.unrevived(s)
}

// unrevived ends a leg that can't be taken up after all.
func (a *actor) unrevived(s *survivor) {
	a.l.mu.Lock()
	delete(a.l.branches, s.key)
	a.l.mu.Unlock()
	switch g := s.g; {
	case g.d.Answered:
		a.bye(g, sipgo.StatusServiceUnavailable)
	case s.invite != nil && g.d.Net == "UDP":
		a.l.refused(s)
	}
	a.leave(s.g, "node", "restart", 0)
}
