package queue

import (
	"errors"
	"time"

	"github.com/siaga112/siaga112/call"
)

// ErrOrder is the root of every refused order: its text says what was wrong with it, for people. Nothing has changed.
var ErrOrder = errors.New("order refused")

// Input is what a Desk is told. The set is sealed.
//
//sumtype:decl
type Input interface{ isInput() }

type (
	// Fact is what the line saw of a call. The facts of one call come in their order; a doubled one, one of an unknown call
	// or leg, and an event that is not the line's to tell are ignored and counted.
	Fact struct {
		Of    call.ID
		Event call.Event
	}
	// Ask is what the phone of a leg wants. ID is that of the act, if the answer is to be journaled as one.
	Ask struct {
		ID   call.ID
		Of   call.ID
		Leg  call.Leg
		Want string
		To   call.Party
	}
	// Phone is a call taker's phone that is registered and answers OPTIONS, or no longer is. Shift is the ID that is used if
	// a shift begins here.
	Phone struct {
		Shift call.ID
		Who   call.Party
		Up    bool
	}
	// Order is what people and the program itself want: one of the verbs below. ID is that of the act, if the order is to be
	// journaled as one.
	Order struct {
		ID   call.ID
		By   call.TakerID // "" is the program itself
		Verb string
		Of   call.ID
		To   call.Party
		Text string
	}
	// Filed is a record that was sealed or amended: the score learns from it.
	Filed struct{ Record call.Record }
	// Past are records of earlier runs, each once, which the score learns while calls go on; Last says that no more come.
	// What has been Filed of the same call counts more.
	Past struct {
		Records []call.Record
		Last    bool
	}
	// Tick is nothing but the passing of time. Every input is a Tick too, but only a Tick itself resumes what was Restored.
	Tick struct{}
)

func (Fact) isInput()  {}
func (Ask) isInput()   {}
func (Phone) isInput() {}
func (Order) isInput() {}
func (Filed) isInput() {}
func (Past) isInput()  {}
func (Tick) isInput()  {}

// The verbs of an Order. All others are refused.
const (
	Classify = "classify" // Of: the call, By: who, Text: the kind and, after a space, a note
	Pause    = "pause"    // To.Taker: not to be rung from now on; a call that he has goes on
	Ready    = "ready"    // To.Taker: may be rung, from wrap-up too
	Drain    = "drain"    // new calls get 503 and are refused
	Stop     = "stop"     // drain, and every leg is dropped; the calls end as restart
)

// What the phone of a leg can want (Ask.Want). All else is ignored and counted, and so is what makes no sense.
const (
	WantHold     = "hold"     // it has put its peer on hold
	WantResume   = "resume"   // it listens again
	WantDial     = "dial"     // its own INVITE: To.Taker dials To.URI, a feature code or a colleague
	WantTransfer = "transfer" // the caller is to go to the colleague To.URI
	WantReplace  = "replace"  // the caller is to go to whom its own leg talks to
	WantPlayed   = "played"   // a prompt that was played once is over
)

// Action is one verb of the Line. The set is sealed.
//
//sumtype:decl
type Action interface{ isAction() }

type (
	// Answer is Line.Answer.
	Answer struct {
		Of  call.ID
		Leg call.Leg
	}
	// Ring is Line.Ring.
	Ring struct {
		Of      call.ID
		Leg     call.Leg
		To      call.Party
		Display string
	}
	// Drop is Line.Drop. Code is the final status of a leg that came to us and is not answered, else the cause in the Reason of the CANCEL
	// or BYE: 200 answered elsewhere, 487 the caller is gone, 408 no answer in time, 503 stopping; 0 a plain BYE. Of a leg that
	// was never rung it refuses the transfer under way.
	Drop struct {
		Of   call.ID
		Leg  call.Leg
		Code int
	}
	// Mix is Line.Mix.
	Mix struct {
		Of    call.ID
		Roles map[call.Leg]call.Role
	}
	// Play is Line.Play.
	Play struct {
		Of     call.ID
		Leg    call.Leg
		Prompt string // PromptWaiting and PromptMusic go on; what a feature code says is played once; "": 180
	}
)

func (Answer) isAction() {}
func (Ring) isAction()   {}
func (Drop) isAction()   {}
func (Mix) isAction()    {}
func (Play) isAction()   {}

// What goes on until the leg talks.
const (
	PromptWaiting = "waiting" // a caller in line
	PromptMusic   = "music"   // on hold
)

// Out is what a Step decided.
type Out struct {
	Events []call.Entry // to be journaled in this order; they are applied already
	Do     []Action     // in this order, once Events are durable or 200 ms have passed
	Wake   time.Time    // Tick no later than this; zero: never
	Err    error        // the Order is refused; all else is empty and the last Wake stands. Wraps ErrOrder
}

// Line is what carries the calls. No method blocks or fails: trouble comes back as the fact Left. All are idempotent. For
// every leg that arrived or was rung the line tells exactly one Left, when its last message has gone.
type Line interface {
	// Answer sends 200 to an INVITE that came to us, if that was not done before: the caller's, or one a taker has dialed.
	Answer(id call.ID, l call.Leg)
	// Ring sends an INVITE to the party's phone; display is what it shows beside the caller's number.
	Ring(id call.ID, l call.Leg, to call.Party, display string)
	// Drop ends a leg by CANCEL, final response or BYE, whichever fits.
	Drop(id call.ID, l call.Leg, code int)
	// Mix sets what the legs of a call hear: the whole picture, never a delta.
	Mix(id call.ID, roles map[call.Leg]call.Role)
	// Play lets a leg that does not talk hear a prompt; "" before Answer is 180 Ringing.
	Play(id call.ID, l call.Leg, prompt string)
}

// Journal is what makes entries durable.
type Journal interface {
	// Append returns at once. It calls done when the entries are on disk, in the order of the Appends; an error means that
	// they never will be. What is lost in a crash before that never happened for anybody, because no action was taken yet.
	Append(es []call.Entry, done func(error))
}
