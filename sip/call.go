package sip

import (
	"net/netip"
	"slices"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/media"
)

// actor is one call with all its legs. Only its own goroutine touches anything in it; everybody else posts.
type actor struct {
	l    *Line
	id   call.ID
	box  *mailbox
	legs map[call.Leg]*leg
}

// legState is where the INVITE of a leg stands.
type legState uint8

const (
	inviting  legState = iota // no final response yet
	answered                  // our 200 is out, its ACK is not in
	confirmed                 // a dialog
)

// leg is a party's connection: its dialog, its INVITE as long as that lasts, and its sound.
type leg struct {
	d      Dialog
	state  legState
	stream *media.Stream
	format media.Format
	remote netip.AddrPort
	timer  *time.Timer // of the state: repeats of the 200, patience with a CANCEL, OPTIONS in a quiet dialog
	timers int         // how many there have been: only the last one counts

	// Of leg 0, whose INVITE came to us.
	req    *sipgo.Request
	tx     *sipgo.ServerTx
	ok     *sipgo.Response // our 200, until its ACK
	hangUp int             // the code to hang up with once the ACK is here; 0: none

	expires time.Time // while it rings: when the INVITE expires; zero: it does not ring

	// Of the others, whose INVITE is ours.
	invite      *sipgo.Request
	provisional bool // a CANCEL may go out (RFC 3261, 9.1)
	rang        bool
	cancel      int // the code to give up with; 0: it is wanted
	cancelSent  bool
	over        chan struct{} // closed when the INVITE is given up without a final response
}

// newActor starts the goroutine of a call whose first work is begin; nil when the line is closing.
func (l *Line) newActor(id call.ID, begin func(*actor)) *actor {
	a := &actor{l: l, id: id, box: newMailbox(), legs: map[call.Leg]*leg{}}
	a.post(func() { begin(a) })
	l.mu.Lock()
	l.calls[id] = a
	l.mu.Unlock()
	if !l.spawn(func() {
		a.box.run(func() bool { return len(a.legs) == 0 })
		l.forget(id)
	}) {
		l.forget(id)
		return nil
	}
	return a
}

func (l *Line) forget(id call.ID) {
	l.mu.Lock()
	delete(l.calls, id)
	l.mu.Unlock()
}

// post gives the call something to do. A panic in it ends the call, not the gateway.
func (a *actor) post(f func()) bool {
	return a.box.post(func() {
		defer func() {
			if p := recover(); p != nil {
				a.l.log.Error("a call broke and was ended", zap.String("call", string(a.id)), zap.Any("panic", p), zap.Stack("stack"))
				a.hurry()
			}
		}()
		f()
	})
}

// after posts f when d has passed, unless the leg has left or another after has replaced it.
func (a *actor) after(g *leg, d time.Duration, f func()) {
	if g.timer != nil {
		g.timer.Stop()
	}
	g.timers++
	mine := g.timers
	g.timer = time.AfterFunc(d, func() {
		a.post(func() {
			if g.timers == mine && a.legs[g.d.Leg] == g {
				f()
			}
		})
	})
}

// keep stores the leg's dialog; a fact that needs it is told after.
func (a *actor) keep(g *leg) {
	if !a.l.killed() {
		a.l.o.Keeper.Keep(a.id, g.d.Leg, g.d.encode())
	}
}

func (a *actor) tell(ev call.Event) {
	if !a.l.killed() {
		a.l.o.Intake.Tell(a.id, ev)
	}
}

// leave ends a leg: its last message has gone. Exactly one Left is told for each leg.
func (a *actor) leave(g *leg, by, why string, code int) {
	if a.legs[g.d.Leg] != g {
		return
	}
	delete(a.legs, g.d.Leg)
	if g.timer != nil {
		g.timer.Stop()
	}
	if g.stream != nil {
		g.stream.Close()
	}
	if !a.l.killed() {
		a.l.o.Keeper.Keep(a.id, g.d.Leg, nil)
	}
	a.tell(call.Left{Leg: g.d.Leg, By: by, Why: why, Code: code})
}

// hurry ends every leg at once with whatever fits; the gateway can't serve the call any longer.
func (a *actor) hurry() {
	for _, g := range a.sorted() {
		switch {
		case g.state != inviting:
			a.bye(g, sipgo.StatusServiceUnavailable)
		case g.d.Leg == 0:
			a.final(g, sipgo.StatusServiceUnavailable)
		case g.provisional:
			a.sendCancel(g, sipgo.StatusServiceUnavailable)
		}
		if g.state == inviting && g.over != nil { // a phone that answers nothing more
			time.AfterFunc(lifetime, func() { close(g.over) })
		}
		a.leave(g, "node", "stopping", 0)
	}
}

// abort forgets the call without a word: the line has been killed.
func (a *actor) abort() {
	for _, g := range a.sorted() {
		a.leave(g, "node", "", 0)
	}
}

// sorted are the legs, the highest first: the caller hears last.
func (a *actor) sorted() []*leg {
	out := make([]*leg, 0, len(a.legs))
	for _, g := range a.legs {
		out = append(out, g)
	}
	slices.SortFunc(out, func(x, y *leg) int { return int(y.d.Leg) - int(x.d.Leg) })
	return out
}

// peer is who is at the other end of a leg, as Left names it.
func peer(n call.Leg) string {
	if n == 0 {
		return "caller"
	}
	return "taker"
}

// Answer sends our 200 to the INVITE of a leg: the caller's, or one that a call taker has dialed. It does nothing for a leg
// that has gone or is answered.
func (l *Line) Answer(id call.ID, n call.Leg) {
	l.do(id, func(a *actor) { a.answer(n) })
}

// Ring sends an INVITE to the party's phone; display is what the phone shows beside the number. A party that can't be
// reached comes back as Left.
func (l *Line) Ring(id call.ID, n call.Leg, to call.Party, display string) {
	if !l.do(id, func(a *actor) { a.ring(n, to, display) }) {
		l.o.Intake.Tell(id, call.Left{Leg: n, By: "node", Why: "the call has ended"})
	}
}

// Drop ends a leg by CANCEL, final response or BYE, whichever fits. The code is the final response of a caller who has not
// been answered, else the cause in the Reason header (RFC 3326); 200 is "answered elsewhere".
func (l *Line) Drop(id call.ID, n call.Leg, code int) {
	if !l.do(id, func(a *actor) { a.drop(n, code) }) {
		l.o.Intake.Tell(id, call.Left{Leg: n, By: "node", Why: "the call has ended"})
	}
}

// Mix sets who hears whom: the whole picture, by roles.
func (l *Line) Mix(id call.ID, roles map[call.Leg]call.Role) {
	l.do(id, func(a *actor) { a.mix(roles) })
}

// Play lets a leg hear a prompt until it is Talking. Before the answer it is 180 to the caller.
func (l *Line) Play(id call.ID, n call.Leg, _ string) {
	l.do(id, func(a *actor) { a.play(n) })
}

func (l *Line) do(id call.ID, f func(*actor)) bool {
	a := l.actor(id)
	return a != nil && a.post(func() { f(a) })
}

// mix lets the two who talk hear each other and stops their prompts.
func (a *actor) mix(roles map[call.Leg]call.Role) {
	var talking []*leg
	for _, g := range a.sorted() {
		switch roles[g.d.Leg] {
		case call.Talking:
			g.stream.Play(nil)
			talking = append(talking, g)
		case call.Waiting:
			g.stream.Hear(nil)
		}
	}
	for i, g := range talking {
		if len(talking) == 2 {
			g.stream.Hear(talking[1-i].stream)
		} else {
			g.stream.Hear(nil)
		}
	}
}

func (a *actor) play(n call.Leg) {
	g := a.legs[n]
	switch {
	case g == nil:
	case n == 0 && g.state == inviting:
		a.progress(g)
	default:
		g.stream.Play(a.l.o.Prompt)
	}
}

// request sends a request inside the leg's dialog; on gets the final response, nil for none. It may be nil.
func (a *actor) request(g *leg, method sipgo.RequestMethod, reason string, on func(*sipgo.Response)) {
	g.d.LocalSeq++
	req, err := a.l.request(&g.d, method, g.d.LocalSeq)
	if err != nil {
		a.l.log.Warn("request not sent", zap.String("call", string(a.id)), zap.Error(err))
		if on != nil {
			on(nil)
		}
		return
	}
	if reason != "" {
		req.AppendHeader(sipgo.NewHeader("Reason", reason))
	}
	parts := method == sipgo.BYE
	if parts {
		a.l.parting.Add(1)
	}
	a.l.send(req, g.d.Local, func(res *sipgo.Response) {
		if res != nil && res.IsProvisional() {
			return
		}
		if parts {
			a.l.parting.Done()
		}
		if on != nil {
			a.post(func() { on(res) })
		}
	})
}

// quietly watches a dialog from which no sound comes: OPTIONS every 30 s, which a party that is gone does not answer.
func (a *actor) quietly(g *leg) {
	a.after(g, quiet, func() {
		if _, last := g.stream.Received(); time.Since(last) < quiet {
			a.quietly(g)
			return
		}
		a.request(g, sipgo.OPTIONS, "", func(res *sipgo.Response) {
			if a.legs[g.d.Leg] != g {
				return
			}
			if res == nil || res.StatusCode == sipgo.StatusCallTransactionDoesNotExists || res.StatusCode == sipgo.StatusRequestTimeout {
				a.bye(g, sipgo.StatusRequestTimeout)
				a.leave(g, "network", "no sound and no answer to OPTIONS", sipgo.StatusRequestTimeout)
				return
			}
			a.quietly(g)
		})
	})
}
