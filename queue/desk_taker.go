package queue

import (
	"fmt"
	"slices"
	"strings"

	"github.com/siaga112/siaga112/call"
)

// phone takes what is known of a taker's phone. Its coming begins a shift; its going ends the shift, but not under a call:
// then the shift ends with the leg, unless the phone is back by then.
func (d *Desk) phone(p Phone) {
	if p.Who.Taker == "" || p.Up && p.Shift.Kind() != call.Shift {
		d.strays++
		return
	}
	if !p.Up && d.takers[p.Who.Taker] == nil {
		return
	}
	t := d.taker(p.Who.Taker)
	if !p.Up {
		t.up = false
		t.grace = d.now
		d.freed(t, false, "")
		return
	}
	t.up, t.party = true, p.Who
	if t.shift != "" {
		return
	}
	state := call.Ready
	if t.wasPaused {
		state = call.Paused
	}
	d.write(call.Entry{Of: p.Shift, N: 1, At: d.now, Event: call.TakerChanged{
		Taker: t.id, Department: p.Who.Department, State: state, Why: "phone up",
	}})
	d.remind(due{taker: t.id}) // of a cool-down that is older than the shift
}

// freed looks at a taker whose leg or phone has gone: off without a phone, in wrap-up after a call that he talked in, paused
// after offers that he did not answer.
func (d *Desk) freed(t *taker, talked bool, of call.ID) {
	if t.shift == "" || len(t.on) > 0 {
		return
	}
	if !t.up && !t.grace.After(d.now) {
		d.change(t, call.TakerChanged{State: call.Off, Why: "phone down"})
		return
	}
	ready := t.state == call.Ready
	switch {
	case talked && d.rules.Queue.WrapUp > 0 && (ready || t.state == call.WrapUp):
		d.change(t, call.TakerChanged{State: call.WrapUp, Why: string(of), Until: d.now.Add(d.rules.Queue.WrapUp)})
	case talked && ready:
		d.change(t, call.TakerChanged{State: call.Ready, Why: string(of)})
	case ready && t.missed >= mostMissed:
		d.change(t, call.TakerChanged{State: call.Paused, Why: "tidak menjawab"})
		d.gaveUp = true
	}
	d.remind(due{taker: t.id}) // of wrap-up or cool-down
}

// note counts in the shift an offer without an answer, or ends the count.
func (d *Desk) note(t *taker, why string) {
	d.change(t, call.TakerChanged{State: t.state, Why: why, Until: t.until})
}

// change writes one entry of the taker's shift.
func (d *Desk) change(t *taker, ev call.TakerChanged) {
	ev.Taker, ev.Department = t.id, t.department
	d.write(call.Entry{Of: t.shift, N: t.n + 1, At: d.now, Event: ev})
}

// colleague is the taker whose phone can be rung by another, or the code that says why it can't.
func (d *Desk) colleague(id call.TakerID) (*taker, int) {
	t := d.takers[id]
	switch {
	case t == nil:
		return nil, codeUnknown
	case !t.up || t.shift == "":
		return nil, codeNotThere
	case len(t.on) > 0:
		return nil, codeBusy
	}
	return t, 0
}

// shiftTo is the order to be paused or ready. To be what one is already changes nothing.
func (d *Desk) shiftTo(o Order, s call.TakerState) error {
	t := d.takers[o.To.Taker]
	switch {
	case o.To.Taker == "":
		return refusef("%s needs the name of a call taker", o.Verb)
	case t == nil || t.shift == "":
		return refusef("call taker %q has no phone here", o.To.Taker)
	case t.state == s:
		return nil
	}
	why := o.Text
	if why == "" {
		why = "order"
	}
	d.change(t, call.TakerChanged{State: s, Why: why})
	d.remind(due{taker: t.id}) // of a cool-down that a pause let be forgotten
	return nil
}

// kindOf reads a disposition.
func kindOf(word string) (call.Kind, bool) {
	k := call.Kind(word)
	return k, slices.Contains(call.Kinds, k)
}

func kindWords() string {
	words := make([]string, len(call.Kinds))
	for i, k := range call.Kinds {
		words[i] = string(k)
	}
	return strings.Join(words, ", ")
}

func refusef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrOrder, fmt.Sprintf(format, args...))
}
