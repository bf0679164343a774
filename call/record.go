package call

import (
	"cmp"
	"crypto/sha256"
	"iter"
	"slices"
	"time"
)

// Record is what Fold makes of a subject's entries: of a call, its call detail record (CDR). It is the first line of a
// sealed body and what an export writes.
type Record struct {
	Of      ID        `json:"of"`
	FirstAt time.Time `json:"first_at"` // At of the first entry; of a call, its arrival
	LastAt  time.Time `json:"last_at"`
	Entries uint32    `json:"entries"` // the highest N

	Trunk     string        `json:"trunk,omitempty"`
	Called    string        `json:"called,omitempty"`
	SIPCallID string        `json:"sip_call_id,omitempty"`
	Priority  string        `json:"priority,omitempty"`
	Caller    Caller        `json:"caller,omitzero"`
	Test      bool          `json:"test,omitempty"`
	Score     *Scored       `json:"score,omitempty"`  // the last one before a human answered
	Passed    uint8         `json:"passed,omitempty"` // how often it was overtaken
	Outcome   Outcome       `json:"outcome,omitempty"`
	Code      int           `json:"code,omitempty"`    // the final SIP status of a call that was not connected
	Wait      time.Duration `json:"wait_ns,omitempty"` // Arrived to the first human Answered, else to the caller's Left
	Talk      time.Duration `json:"talk_ns,omitempty"` // from there to the caller's Left
	Taker     TakerID       `json:"taker,omitempty"`   // who answered first
	Takers    []TakerID     `json:"takers,omitempty"`  // who else talked with the caller, by transfer or consultation, in order
	Reason    string        `json:"reason,omitempty"`  // the caller's own words at the end, else the last taker's (Left.Reason)
	Dept      string        `json:"department,omitempty"`
	Kind      Kind          `json:"kind,omitempty"`
	KindBy    TakerID       `json:"kind_by,omitempty"`
	Note      string        `json:"note,omitempty"`
	Open      []string      `json:"open,omitempty"` // what is still to do: classification

	State TakerState `json:"state,omitempty"` // of a shift: the last state
	Act   *Acted     `json:"act,omitempty"`   // of an act: what was done
}

// Todo names what a record may still wait for.
const TodoClassification = "classification"

// Sealed is one piece of a subject in the log: the whole of it when it ended, or an amendment.
type Sealed struct {
	Seq   uint64   // dense, from 0: every reader's cursor
	Of    ID       //
	Body  []byte   // JSON lines, hashed as they stand: the Record of all entries so far, then this piece's entries
	Nonce [32]byte // random: the leaf tells nothing of the body. Body and Nonce are gone once erased
	Leaf  [32]byte // SHA-256(Nonce, Body); stays
}

// LeafHash is the leaf of a piece: SHA-256 of the nonce followed by the body.
func LeafHash(nonce [32]byte, body []byte) [32]byte {
	h := sha256.New()
	h.Write(nonce[:])
	h.Write(body)
	return [32]byte(h.Sum(nil))
}

// Fold makes the record of a subject out of its entries in the order of N. It is total: every prefix folds.
func Fold(entries iter.Seq[Entry]) Record {
	var f fold
	for e := range entries {
		f.add(e)
	}
	return f.record()
}

// foldedLeg is a taker's leg.
type foldedLeg struct {
	leg   Leg
	taker TakerID
	dept  string
	guest bool // came by transfer or consultation
	role  Role
}

// fold is the state between two entries.
type fold struct {
	r        Record
	legs     []foldedLeg // in the order of their numbers
	caller   Role
	human    time.Time // the first Answered of a taker's leg
	left     time.Time // the caller's Left
	answered bool      // leg 0
	worded   bool      // Reason is the caller's
	seen     bool
}

// find is the place of the leg in legs.
func (f *fold) find(leg Leg) (i int, ok bool) {
	return slices.BinarySearchFunc(f.legs, leg, func(l foldedLeg, leg Leg) int { return cmp.Compare(l.leg, leg) })
}

func (f *fold) add(e Entry) {
	at := e.At.Round(0).UTC()
	if !f.seen {
		f.seen, f.r.Of, f.r.FirstAt = true, e.Of, at
	}
	f.r.LastAt, f.r.Entries = at, max(f.r.Entries, e.N)
	switch ev := e.Event.(type) {
	case Arrived:
		f.r.Trunk, f.r.Called, f.r.SIPCallID, f.r.Priority = ev.Trunk, ev.Called, ev.SIPCallID, ev.Priority
		f.r.Caller, f.r.Test, f.r.Code = ev.Caller, ev.Test, ev.Reject
	case Scored:
		if f.human.IsZero() {
			f.r.Score = &ev
		}
	case Queued:
		f.r.Passed = max(f.r.Passed, ev.Passed)
	case Offered:
		f.addOffered(ev)
	case Answered:
		f.addAnswered(ev, at)
	case RoleSet:
		f.addRole(ev)
	case Left:
		f.addLeft(ev, at)
	case Ended:
		f.r.Outcome = ev.Outcome
	case Classified:
		f.r.Kind, f.r.KindBy, f.r.Note = ev.Kind, ev.By, ev.Note
	case TakerChanged:
		f.r.Taker, f.r.Dept, f.r.State = ev.Taker, ev.Department, ev.State
	case Acted:
		f.r.Act = &ev
	case Rang, Heard, Restored:
	}
}

func (f *fold) addOffered(ev Offered) {
	i, ok := f.find(ev.Leg)
	if !ok {
		f.legs = slices.Insert(f.legs, i, foldedLeg{})
	}
	f.legs[i] = foldedLeg{
		leg: ev.Leg, taker: ev.To.Taker, dept: ev.To.Department, guest: ev.For == ForTransfer || ev.For == ForConsult,
	}
}

func (f *fold) addAnswered(ev Answered, at time.Time) {
	if ev.Leg == 0 {
		f.answered = true
		return
	}
	if f.human.IsZero() {
		f.human = at
		if i, ok := f.find(ev.Leg); ok {
			f.r.Taker, f.r.Dept = f.legs[i].taker, f.legs[i].dept
		}
	}
}

// addRole notes who talks with the caller.
func (f *fold) addRole(ev RoleSet) {
	if ev.Leg == 0 {
		f.caller = ev.Role
	} else if i, ok := f.find(ev.Leg); ok {
		f.legs[i].role = ev.Role
	}
	if f.caller != Talking {
		return
	}
	for _, l := range f.legs {
		if l.guest && l.role == Talking && l.taker != f.r.Taker && !slices.Contains(f.r.Takers, l.taker) {
			f.r.Takers = append(f.r.Takers, l.taker)
		}
	}
}

func (f *fold) addLeft(ev Left, at time.Time) {
	if ev.Leg != 0 {
		if i, ok := f.find(ev.Leg); ok {
			f.legs = slices.Delete(f.legs, i, i+1)
		}
		if ev.Reason != "" && !f.worded {
			f.r.Reason = ev.Reason
		}
		return
	}
	if !f.left.IsZero() {
		return
	}
	f.left = at
	if !f.answered && ev.Code != 0 {
		f.r.Code = ev.Code
	}
	if ev.Reason != "" {
		f.r.Reason, f.worded = ev.Reason, true
	}
}

func (f *fold) record() Record {
	r := f.r
	if r.Of.Kind() != Call {
		return r
	}
	end := f.left
	if end.IsZero() {
		end = r.LastAt
	}
	if f.human.IsZero() {
		r.Wait = max(0, end.Sub(r.FirstAt))
	} else {
		r.Wait = max(0, f.human.Sub(r.FirstAt))
		r.Talk = max(0, end.Sub(f.human))
	}
	if r.Outcome == WasAnswered && r.Kind == "" {
		r.Open = []string{TodoClassification}
	}
	return r
}
