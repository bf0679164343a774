package call

import "time"

// Event is a fact in the past tense about one subject of the journal. The set is sealed: every switch over it names
// all of them.
//
//sumtype:decl
type Event interface{ isEvent() }

// Entry is one line of the journal. N = 1, 2, 3 … orders the entries of a subject; At (UTC) only measures. N = 0 is
// given to the store by those who do not know the last number: it numbers the entry itself.
type Entry struct {
	Of    ID
	N     uint32
	At    time.Time
	Event Event
}

// Begins tells whether the entry's event is one that a subject of its kind begins with.
func (e Entry) Begins() bool {
	switch e.Event.(type) {
	case Arrived:
		return e.Of.Kind() == Call
	case TakerChanged:
		return e.Of.Kind() == Shift
	case Acted:
		return e.Of.Kind() == Act
	case Scored, Queued, Offered, Rang, Answered, RoleSet, Heard, Left, Restored, Ended, Classified:
		return false
	}
	return false
}

// Seals tells whether the entry's event is the one that ends a subject of its kind, and so seals its record.
func (e Entry) Seals() bool {
	switch ev := e.Event.(type) {
	case Ended:
		return e.Of.Kind() == Call
	case TakerChanged:
		return e.Of.Kind() == Shift && ev.State == Off
	case Acted:
		return e.Of.Kind() == Act
	case Arrived, Scored, Queued, Offered, Rang, Answered, RoleSet, Heard, Left, Restored, Classified:
		return false
	}
	return false
}

// What happens to a call, in the order in which a common call sees it.
type (
	// Arrived is the initial INVITE of a call, once it has passed the validator.
	Arrived struct {
		Trunk     string `json:"trunk"`
		Called    string `json:"called"` // the number in the Request-URI
		SIPCallID string `json:"sip_call_id"`
		Priority  string `json:"priority,omitempty"`
		Caller    Caller `json:"caller"`
		Test      bool   `json:"test,omitempty"`   // rings no human
		Reject    int    `json:"reject,omitempty"` // the final code with which the line must refuse: 404 482 488 503; 0: none
	}
	// Scored is the likelihood that the call is a prank, from the caller's history. P < 0: there is no history. It is
	// said again when more is known.
	Scored struct {
		P     float64       `json:"p"` // 0 to 1, or below 0
		Delay time.Duration `json:"delay_ns"`
		Why   []Reason      `json:"why,omitempty"`
	}
	// Queued is the call's place in a queue; said again when the place changes: overtaken, or back after a lost taker.
	Queued struct {
		Queue  string    `json:"queue"`
		Since  time.Time `json:"since"`            // its place: Arrived's At, or that of the call it continues
		Passed uint8     `json:"passed,omitempty"` // how often a call with a later place was offered first
	}
	// Offered is a leg on its way to a party.
	Offered struct {
		Leg Leg    `json:"leg"`
		To  Party  `json:"to"`
		For string `json:"for"` // one of the purposes below
		As  Role   `json:"as"`  // its role once it has answered
	}
	// Rang is the first sign of ringing from a leg: 180 or 183.
	Rang struct {
		Leg Leg `json:"leg"`
	}
	// Answered is a 2xx: of leg 0, ours to the caller; of another, the party's to us, or ours to the leg that it has dialed.
	// Of several that answer a waiting call the one with the lowest N has the caller; one that answers a transfer has him.
	Answered struct {
		Leg Leg `json:"leg"`
	}
	// RoleSet is the desk's decision on what a leg hears.
	RoleSet struct {
		Leg  Leg  `json:"leg"`
		Role Role `json:"role"`
	}
	// Heard is what a leg's sound told: dtmf:1.
	Heard struct {
		Leg  Leg    `json:"leg"`
		What string `json:"what"`
	}
	// Left is the end of a leg, told when its last message has left the gateway.
	Left struct {
		Leg    Leg    `json:"leg"`
		By     string `json:"by"` // caller taker desk network node
		Why    string `json:"why,omitempty"`
		Code   int    `json:"code,omitempty"`   // the SIP status that ended it, where there was one
		Reason string `json:"reason,omitempty"` // the peer's own words: its Reason header (RFC 3326), Q.850;cause=16
	}
	// Restored is a start of the gateway that found the call unfinished, and goes on with it.
	Restored struct {
		Node string        `json:"node"`
		Gap  time.Duration `json:"gap_ns"` // since the last heartbeat: how long nobody was there
	}
	// Ended seals the record: exactly one a call.
	Ended struct {
		Outcome Outcome `json:"outcome"`
	}
	// Classified is a call taker's disposition; the last one counts.
	Classified struct {
		By   TakerID `json:"by"`
		Kind Kind    `json:"kind"`
		Note string  `json:"note,omitempty"`
	}
)

// What a leg is offered for.
const (
	ForAnswer   = "answer"   // a waiting call
	ForTransfer = "transfer" // a call that its taker gives away unseen
	ForConsult  = "consult"  // the taker who has the caller wants to talk to the party
	ForOwn      = "own"      // the party itself has dialed it: a colleague, or a feature code
)

// What happens in a shift and as an act.
type (
	// TakerChanged is a call taker's state in a shift. The shift seals at off.
	TakerChanged struct {
		Taker      TakerID    `json:"taker"`
		Department string     `json:"department,omitempty"`
		State      TakerState `json:"state"`
		Why        string     `json:"why,omitempty"`
		Until      time.Time  `json:"until,omitzero"` // of wrap-up: when the taker is ready again by itself
	}
	// Acted is what an administrator, or the gateway for itself, did. It seals at once.
	Acted struct {
		By     TakerID `json:"by,omitempty"`
		What   string  `json:"what"` // in the past tense: key-made configured taker-added taker-removed export exported erased expired held released …
		Detail string  `json:"detail,omitempty"`
	}
)

func (Arrived) isEvent()      {}
func (Scored) isEvent()       {}
func (Queued) isEvent()       {}
func (Offered) isEvent()      {}
func (Rang) isEvent()         {}
func (Answered) isEvent()     {}
func (RoleSet) isEvent()      {}
func (Heard) isEvent()        {}
func (Left) isEvent()         {}
func (Restored) isEvent()     {}
func (Ended) isEvent()        {}
func (Classified) isEvent()   {}
func (TakerChanged) isEvent() {}
func (Acted) isEvent()        {}

// Reason is one fact behind a score, with what it takes to say it as a sentence.
type Reason struct {
	Kind  string    `json:"kind"` // prank silent wrong-number genuine information
	Count int       `json:"count"`
	Days  int       `json:"days,omitempty"` // on how many different days
	Last  time.Time `json:"last,omitzero"`
}

// InTen is the likelihood as people are told it: of ten calls like this, so many are pranks. It is 1 to 9, for nobody is
// certain; ok is false where there is no history.
func (s Scored) InTen() (n int, ok bool) {
	if s.P < 0 {
		return 0, false
	}
	return max(1, min(9, int(s.P*10+0.5))), true
}

// Outcome is how a call ended. Attempted is every call; the words are NENA's where NENA has one.
type Outcome string

// The outcomes; each record has exactly one.
const (
	WasAnswered  Outcome = "answered"  // a human answered and the caller was connected (an announcement is no answer)
	WasAbandoned Outcome = "abandoned" // the caller hung up before a human answered
	WasDiverted  Outcome = "diverted"  // another center was given the call before a human of this one answered
	WasRefused   Outcome = "refused"   // 503: more live calls than configured, or intake stopped
	WasRejected  Outcome = "rejected"  // the INVITE could not be served: 404, 482, 488
	WasRestart   Outcome = "restart"   // the gateway hung up because it stopped, or died and the caller could not be reached again
	WasFailed    Outcome = "failed"    // the connection broke before a human answered
	WasTest      Outcome = "test"      // a test call: it rang no human
)

// Outcomes are all of them.
var Outcomes = []Outcome{
	WasAnswered, WasAbandoned, WasDiverted, WasRefused, WasRejected, WasRestart, WasFailed, WasTest,
}

// Kind is a call taker's disposition of a call.
type Kind string

// The dispositions.
const (
	Emergency    Kind = "emergency"
	Complaint    Kind = "complaint"
	Information  Kind = "information"
	Prank        Kind = "prank"
	Silent       Kind = "silent"
	WrongNumber  Kind = "wrong-number"
	Disconnected Kind = "disconnected"
	TestCall     Kind = "test"
)

// Kinds are all dispositions, in the order in which people are offered them.
var Kinds = []Kind{Emergency, Complaint, Information, Prank, Silent, WrongNumber, Disconnected, TestCall}

// TakerState is what a call taker is doing, as the journal knows it.
type TakerState string

// The states of a shift.
const (
	Ready  TakerState = "ready"   // may be rung
	Paused TakerState = "paused"  // at the desk, not to be rung
	WrapUp TakerState = "wrap-up" // writing down the last call, until a time
	Off    TakerState = "off"     // no phone: the shift is over
)

// Alarm raises (since set) or clears (since zero) the alarm of that name: text says what is wrong, its effect and what
// to do. It never blocks and may be called from any goroutine.
type Alarm func(name string, since time.Time, text string)
