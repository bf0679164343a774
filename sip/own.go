package sip

import (
	"math"
	"strings"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/call"
)

// onDial serves the INVITE of a call taker's phone: a feature code, or a colleague. It is a leg of the call that the phone
// has, else of an act of its own; the desk says what becomes of it.
func (l *Line) onDial(req *sipgo.Request, tx *sipgo.ServerTx, key string, b *branch) {
	who, refusal := l.reg.caller(req)
	if refusal != nil {
		l.respond(tx, refusal)
		l.watch(req, tx, key)
		return
	}
	if replaces := fields(req, "Replaces"); len(replaces) > 0 { // none of our dialogs is a phone's to take (RFC 3891, 3)
		l.respond(tx, refuse(sipgo.StatusCallTransactionDoesNotExists).response(req))
		l.watch(req, tx, key)
		return
	}
	who.URI = dialed(req.Recipient)
	if a := l.talksOn(who.Taker); a != nil {
		joined := make(chan call.Leg, 1)
		if a.post(func() { joined <- a.join(b.id) }) {
			if n := <-joined; n != 0 && a.post(func() { a.dial(n, b.id, req, tx, who) }) {
				l.begun(b, a, n, req, tx, key)
				return
			}
		}
	}
	a := l.newActor(b.id, func(a *actor) { a.dial(0, b.id, req, tx, who) })
	if a == nil {
		l.respond(tx, unavailable(req))
		return
	}
	l.begun(b, a, 0, req, tx, key)
}

// dialed is what the user of a phone has dialed: a feature code, or a colleague. The dots and dashes of a name belong to it,
// those of a telephone number do not; a phone may escape what needs no escape, as the star (19.1.2).
func dialed(uri sipgo.Uri) string {
	if uri.Scheme == "tel" {
		return number(uri)
	}
	user, _, _ := strings.Cut(uri.User, ";")
	if plain, ok := unescape(user); ok {
		return plain
	}
	return user
}

// mostDialed is how many legs call takers may dial into one call.
const mostDialed = 500

// join makes room for a leg that a call taker dials into the call: its number, counted down from the highest; 0 where there
// is none, or the call has ended. From now on the ID in its tag leads to this call.
func (a *actor) join(id call.ID) call.Leg {
	if len(a.legs) == 0 || a.joined >= mostDialed {
		return 0
	}
	n := call.Leg(math.MaxUint16 - a.joined)
	a.joined++
	if a.dialed == nil {
		a.dialed = map[call.ID]call.Leg{}
	}
	a.dialed[id] = n
	for _, g := range a.sorted() { // a number is used once, over a restart too: a leg that stays knows how many there were
		if g.d.Leg == 0 || g.state == confirmed {
			a.keep(g)
		}
	}
	a.l.mu.Lock()
	a.l.calls[id] = a
	a.l.mu.Unlock()
	return n
}

// wasDialed tells whether a call taker has dialed the leg into the call; it may have left.
func (a *actor) wasDialed(n call.Leg) bool { return int(n) > math.MaxUint16-a.joined }

// dial makes the leg and tells the desk what is dialed.
func (a *actor) dial(n call.Leg, id call.ID, req *sipgo.Request, tx *sipgo.ServerTx, who call.Party) {
	g := a.inbound(n, tag(id, 0), req, tx)
	g.who, g.d.Flow = who.Taker, true
	if g.refusal = a.prepare(g); g.refusal != nil {
		a.final(g, g.refusal.code)
		a.discard(g)
		return
	}
	g.d.Answering = true
	a.keep(g)
	a.ask(n, WantDial, who)
}

// busy notes the call that the taker's phone has; what it dials from now on belongs there.
func (l *Line) busy(taker call.TakerID, a *actor) {
	l.mu.Lock()
	l.talks[taker] = a
	l.mu.Unlock()
}

// free forgets that, with the last leg of the taker's in the call.
func (l *Line) free(taker call.TakerID, a *actor) {
	for _, g := range a.legs {
		if g.who == taker && g.state != inviting {
			return
		}
	}
	l.mu.Lock()
	if l.talks[taker] == a {
		delete(l.talks, taker)
	}
	l.mu.Unlock()
}

// talksOn is the call that the taker's phone has, nil for none.
func (l *Line) talksOn(taker call.TakerID) *actor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.talks[taker]
}
