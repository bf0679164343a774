// Package sip is the line: what speaks SIP with trunks and with call takers' phones.
//
// It decides nothing about who talks to whom. What it sees goes up as facts (Intake), what the desk wants comes down as
// five verbs (Answer, Ring, Drop, Mix, Play). It has its own dialogs (RFC 3261, 12) over sipgo's parser, transports and
// transactions: DESIGN.md says why.
package sip

import (
	"iter"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/call"
)

// Intake is the desk, as the line sees it. No method blocks.
type Intake interface {
	// Tell reports a fact of a call; the facts of one call are told in their order.
	Tell(id call.ID, ev call.Event)
	// Ask reports what the phone of a leg wants: one of the wants below. What becomes of it comes down as verbs.
	Ask(id call.ID, n call.Leg, want string, to call.Party)
	// Phone reports that a call taker's phone is registered and answers OPTIONS, or no longer does.
	Phone(who call.Party, up bool)
}

// What a phone can want of the desk (Intake.Ask).
const (
	WantHold     = "hold"     // it has stopped listening to the leg, and its peer may hear music
	WantResume   = "resume"   // it listens again
	WantDial     = "dial"     // its own INVITE: To.Taker dials To.URI; leg 0 of an act, or a leg of the call that it has
	WantTransfer = "transfer" // REFER (RFC 3515): its caller is to be given to To.URI
	WantReplace  = "replace"  // REFER with Replaces (RFC 3891): its caller is to be given to whom its own other leg talks to
	WantPlayed   = "played"   // the prompt that was played once has come to its end
)

// Keeper remembers dialogs over a crash. A Keep is made before the Tell that needs it, and is durable before it.
type Keeper interface {
	// Keep stores the dialog of a leg; the latest wins, nil forgets. It never blocks, and the bytes are its own from now on.
	// done is called once, when this dialog or a later one of the leg is durable, or with an error when none will be; it must
	// not block, and may be nil.
	Keep(id call.ID, l call.Leg, dialog []byte, done func(error))
	// Kept are the dialogs of an earlier run, and whose they are.
	Kept() iter.Seq2[call.LegID, []byte]
}

// Accounts are the call takers who may register, and where their phones were last.
type Accounts interface {
	// Account gives the user's HA1 by digest algorithm and who that is; ok is false for an unknown user.
	Account(user string) (ha1 map[string]string, who call.Party, ok bool)
	// Bind stores the taker's contacts durably; nil forgets them. It never blocks.
	Bind(taker call.TakerID, contacts []byte)
	// Bound are the contacts of an earlier run.
	Bound() iter.Seq2[call.TakerID, []byte]
}

// Timers of RFC 3261, 17.1.1.1 and table 4.
const (
	t1       = 500 * time.Millisecond // round-trip time estimate
	t2       = 4 * time.Second        // longest retransmission interval
	lifetime = 64 * t1                // of a transaction that nobody answers
)

const (
	quiet         = 30 * time.Second // without RTP from a party: OPTIONS in its dialog; also between two OPTIONS to a phone
	phoneQuiet    = 10 * time.Second // the same for a call taker's phone, and how long it has for the answer: it is
	phonePatience = 8 * time.Second  // to be noticed within 20 s that a phone has vanished
	idleTCP       = 5 * time.Minute  // a TCP connection on which nothing comes for so long is cut; a phone answers OPTIONS
	longestUp     = time.Hour        // a caller rings for so long at most, unless its Expires says less
	outwaits      = 3 * time.Minute  // no caller waits longer for a gateway that is dead: exchanges (T301) and proxies (Timer C) give up
	retryAfter    = "10"             // seconds, in every 503
	userAgent     = "Siaga112"       // without a version (RFC 3261, 20.35)
)

// maxDatagram is the largest SIP message that is sent over UDP. sipgo refuses more than 1,300 bytes by default, responses
// too; RFC 3261 (18.1.1) asks for TCP there, which many trunks do not have: a fragmented datagram beats a lost call.
const maxDatagram = 65_000

func init() {
	sipgo.UDPMTUSize = maxDatagram + 200
	// Our INVITE's transaction ends with its 2xx: one that comes again is acknowledged by its dialog (13.2.2.4), and needs no
	// transaction to be seen.
	sipgo.Timer_M = 0
	// Its TCP transport takes no logger of ours and writes each malformed message whole at ERROR.
	sipgo.SetDefaultLogger(slog.New(slog.DiscardHandler))
}

// tag is our tag in every dialog of a leg, and its Call-ID where we make one: derived from call and leg, so that a
// message to a call that nobody remembers is still known as ours.
func tag(id call.ID, l call.Leg) string { return string(id) + "." + strconv.Itoa(int(l)) }

// parseTag reads what tag made.
func parseTag(s string) (call.ID, call.Leg, bool) {
	head, tail, ok := strings.Cut(s, ".")
	if !ok {
		return "", 0, false
	}
	id, err := call.ParseID(head)
	if err != nil || id.Kind() == call.Shift {
		return "", 0, false
	}
	n, err := strconv.ParseUint(tail, 10, 16)
	if err != nil {
		return "", 0, false
	}
	return id, call.Leg(n), true
}

// addrPort reads host:port of a message's source; zero when it is none.
func addrPort(s string) netip.AddrPort {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
