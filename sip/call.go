package sip

import (
	"slices"
	"strings"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/sdp"
)

// actor is one call with all its legs, or the act of a call taker who dials without a call. Only its own goroutine touches
// anything in it; everybody else posts.
type actor struct {
	l      *Line
	id     call.ID
	box    *mailbox
	legs   map[call.Leg]*leg
	dialed map[call.ID]call.Leg // legs that call takers dialed into this call, by the ID in their tag
	joined int                  // how many there have been
	rung   call.Leg             // the highest leg that was rung
	caller string               // number of the caller, "" where it is withheld
}

// legState is where the INVITE of a leg stands.
type legState uint8

const (
	inviting  legState = iota // no final response yet
	answered                  // our 200 is out, its ACK is not in
	confirmed                 // a dialog
)

// leg is a party's connection: its dialog, the INVITEs that are under way in it, and its sound.
type leg struct {
	d      Dialog
	state  legState
	who    call.TakerID // whose phone it is; "": the caller's
	stream *media.Stream
	timers [timers]timer
	held   bool     // the peer does not want to hear us
	revive *revival // it was taken up after a restart, and its peer has not shown yet that it knows that; else nil

	// What is under way in the dialog.
	unacked *accepted // an INVITE of the peer's that we answered by 200
	own     *modification
	refer   *referral

	// Of a leg whose first INVITE came to us, until its final response.
	req     *sipgo.Request
	tx      *sipgo.ServerTx
	rel     *reliable     // a provisional response that waits for its PRACK
	rseq    uint32        // of the last one
	wanted  bool          // our 200 goes out with that PRACK
	hangUp  int           // the code to hang up with once the ACK is here; 0: none
	back    chan struct{} // of a leg that was taken up after a restart: closed once its transaction is there again
	expires time.Time     // while it rings: when the INVITE expires; zero: it does not ring
	early   bool          // it hears us by its 183
	refusal *refusal      // what it is refused with; nil: it is not

	// Of a leg whose first INVITE is ours, until its final response.
	invite      *sipgo.Request
	body        []byte            // our offer
	offered     sdp.Session       // as it was after that: each fork answers it anew
	forks       map[string]*early // early dialogs, by the peer's tag
	provisional bool              // a CANCEL may go out (RFC 3261, 9.1)
	rang        bool
	cancel      int // the code to give up with; 0: it is wanted
	cancelSent  bool
	over        chan struct{} // closed when the INVITE is given up without a final response
}

// purpose is what a timer of a leg is for; each is one at a time.
type purpose uint8

const (
	stateTimer   purpose = iota // repeats of the 180, patience with a CANCEL, Timer C, patience with the disk
	ackTimer                    // repeats of a 200
	prackTimer                  // repeats of a reliable provisional response
	quietTimer                  // OPTIONS in a quiet dialog
	sessionTimer                // RFC 4028: the next refresh, or the end
	glareTimer                  // a request that met the peer's comes again
	referTimer                  // the end of a subscription that nobody ends
	keepTimer                   // the next Keep of what changes by itself
	timers                      // how many there are
)

// timer is a pending one. Only the last one set counts.
type timer struct {
	t *time.Timer
	n int // how many there have been
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
		l.forget(a)
	}) {
		l.forget(a)
		return nil
	}
	return a
}

// forget takes the call away. An ID that was dialed into it may lead to an act by now: the call had ended before its leg began.
func (l *Line) forget(a *actor) {
	l.mu.Lock()
	delete(l.calls, a.id)
	for id := range a.dialed {
		if l.calls[id] == a {
			delete(l.calls, id)
		}
	}
	l.mu.Unlock()
}

// post gives the call something to do. A panic in it ends the call, not the gateway.
func (a *actor) post(f func()) bool {
	return a.box.post(func() {
		defer func() {
			if p := recover(); p != nil {
				a.l.log.Error("a call broke and was ended", zap.String("call", string(a.id)), zap.Any("panic", p), zap.Stack("stack"))
				a.end()
			}
		}()
		f()
	})
}

// end is hurry for a call that is broken: where that breaks too, its legs are forgotten.
func (a *actor) end() {
	defer func() {
		if p := recover(); p != nil {
			a.l.log.Error("a broken call could not be ended", zap.String("call", string(a.id)), zap.Any("panic", p), zap.Stack("stack"))
			clear(a.legs)
		}
	}()
	a.hurry()
}

// after posts f when d has passed, unless the leg has left or the timer was set again or stopped.
func (a *actor) after(g *leg, p purpose, d time.Duration, f func()) {
	g.stop(p)
	mine := g.timers[p].n
	g.timers[p].t = time.AfterFunc(d, func() {
		a.post(func() {
			if g.timers[p].n == mine && a.legs[g.d.Leg] == g {
				f()
			}
		})
	})
}

// stop ends the timer: what it has posted already does nothing.
func (g *leg) stop(p purpose) {
	t := &g.timers[p]
	t.n++
	if t.t != nil {
		t.t.Stop()
		t.t = nil
	}
}

// keep stores the leg's dialog; a fact that needs it is told after.
func (a *actor) keep(g *leg) { a.keepUntil(g, nil) }

// keepUntil is keep, with what the Keeper calls once that is durable.
func (a *actor) keepUntil(g *leg, done func(error)) {
	if a.l.killed() {
		return
	}
	if g.state == confirmed {
		g.d.Invite, g.d.Answer = nil, nil
	}
	if g.stream != nil {
		g.d.Stream = g.stream.Mark()
	}
	g.d.Who, g.d.Refer, g.d.Rung, g.d.Dialed = g.who, g.refer, a.rung, a.joined
	if g.d.Leg == 0 {
		g.d.Caller = a.caller
	}
	a.l.o.Keeper.Keep(a.id, g.d.Leg, g.d.encode(), done)
}

// What is kept of a dialog grows old: where its sound stands, and that the ACK has come. A leg is kept again soon after it
// was confirmed, and then so often that the numbers of its packets can be told after a crash (media.Mark).
const (
	keepSoon  = 10 * time.Second
	keepOften = 5 * time.Minute
)

// keeping keeps a confirmed leg now and then.
func (a *actor) keeping(g *leg, d time.Duration) {
	a.after(g, keepTimer, d, func() {
		a.keep(g)
		a.keeping(g, keepOften)
	})
}

func (a *actor) tell(ev call.Event) {
	if !a.l.killed() {
		a.l.o.Intake.Tell(a.id, ev)
	}
}

// ask tells the desk what the phone of a leg wants.
func (a *actor) ask(n call.Leg, want string, to call.Party) {
	if !a.l.killed() {
		a.l.o.Intake.Ask(a.id, n, want, to)
	}
}

// leave ends a leg: its last message has gone. Exactly one Left is told for each leg; said is the peer's own Reason.
func (a *actor) leave(g *leg, by, why string, code int, said ...string) {
	if !a.discard(g) {
		return
	}
	if carrier := a.carries(g.d.Leg); carrier != nil && g.d.Leg != 0 {
		if g.cancel >= 300 { // why we gave up says more than what the CANCEL made of it
			a.referred(carrier, g.cancel)
		} else {
			a.referred(carrier, code)
		}
	}
	a.tell(call.Left{Leg: g.d.Leg, By: by, Why: why, Code: code, Reason: strings.Join(said, ", ")})
}

// discard forgets a leg; false when that was done before.
func (a *actor) discard(g *leg) bool {
	if a.legs[g.d.Leg] != g {
		return false
	}
	delete(a.legs, g.d.Leg)
	for p := range timers {
		g.stop(p)
	}
	g.settle()
	a.l.free(g.who, a)
	if g.stream != nil {
		g.stream.Close()
	}
	if !a.l.killed() {
		a.l.o.Keeper.Keep(a.id, g.d.Leg, nil, nil)
	}
	return true
}

// hurry ends every leg at once with whatever fits; the gateway can't serve the call any longer.
func (a *actor) hurry() {
	for _, g := range a.sorted() {
		switch {
		case g.state != inviting:
			a.bye(g, sipgo.StatusServiceUnavailable)
		case g.d.Inbound:
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
func peer(g *leg) string {
	if g.who == "" {
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

// Play lets a leg hear a prompt, or several in a row, until it is Talking. Before the answer it is 183 with the sound; "" is
// 180. A prompt that does not repeat is reported by WantPlayed when it is over.
func (l *Line) Play(id call.ID, n call.Leg, prompt string) {
	l.do(id, func(a *actor) { a.play(n, prompt) })
}

func (l *Line) do(id call.ID, f func(*actor)) bool {
	a := l.actor(id)
	return a != nil && a.post(func() { f(a) })
}

// mix lets all who talk hear each other and stops their prompts.
func (a *actor) mix(roles map[call.Leg]call.Role) {
	var talking []*media.Stream
	for _, g := range a.sorted() {
		if roles[g.d.Leg] == call.Talking {
			talking = append(talking, g.stream)
		}
	}
	for _, g := range a.sorted() {
		switch role, ok := roles[g.d.Leg]; {
		case !ok:
		case role == call.Talking:
			g.stream.Play(nil, nil)
			g.stream.Hear(slices.DeleteFunc(slices.Clone(talking), func(s *media.Stream) bool { return s == g.stream })...)
		default:
			g.stream.Hear()
		}
	}
}

func (a *actor) play(n call.Leg, words string) {
	g := a.legs[n]
	switch {
	case g == nil:
	case g.state == inviting && !g.d.Inbound: // it rings
	case g.state == inviting:
		a.ringback(g, words)
	default:
		a.sound(g, words)
	}
}

// sound plays a prompt on the leg's stream.
func (a *actor) sound(g *leg, words string) {
	p := a.l.o.Prompts.Prompt(words)
	if p == nil {
		a.l.log.Warn("no such prompt", zap.String("prompt", words))
		a.ask(g.d.Leg, WantPlayed, call.Party{})
		return
	}
	g.stream.Play(p, func() {
		a.post(func() {
			if a.legs[g.d.Leg] == g {
				a.ask(g.d.Leg, WantPlayed, call.Party{})
			}
		})
	})
}
