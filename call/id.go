// Package call is the vocabulary of the gateway: what the journal and the exports are made of.
//
// A type lives here only if the journal or an export writes it. The package imports nothing of ours and does no I/O;
// all of it is values.
package call

import (
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// ID names one subject of the journal: c… a call, s… a call taker's shift, a… an administrator's act. A letter and a
// ULID: unique across nodes, and in the order of creation to the millisecond.
type ID string

// The letters with which an ID begins: what its subject is.
const (
	Call  = 'c' // a call from a trunk: one initial INVITE
	Shift = 's' // a call taker's presence, from phone up to phone down
	Act   = 'a' // something an administrator or the gateway itself did
)

// NewID mints an ID of the kind Call, Shift or Act. Ids are minted outside the pure core and come in with its input.
func NewID(kind byte, now time.Time) ID {
	return ID(string(kind) + ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String())
}

// ParseID reads an ID as people type it: upper and lower case are equal. It fails on anything NewID could not have made.
func ParseID(s string) (ID, error) {
	if len(s) < 2 {
		return "", fmt.Errorf("call id %q: want a letter (c, s or a) and 26 characters", s)
	}
	kind := strings.ToLower(s[:1])
	if !strings.Contains("csa", kind) {
		return "", fmt.Errorf("call id %q: begins with %q, want c, s or a", s, s[:1])
	}
	u, err := ulid.ParseStrict(strings.ToUpper(s[1:]))
	if err != nil {
		return "", fmt.Errorf("call id %q: %w", s, err)
	}
	return ID(kind + u.String()), nil
}

// Kind tells what the subject is: Call, Shift or Act; 0 for the empty ID.
func (id ID) Kind() byte {
	if id == "" {
		return 0
	}
	return id[0]
}

// Leg numbers a party's connection within a call: 0 is the caller, the others are numbered as they are offered. Never
// reused within a call.
type Leg uint16

// LegID names a leg for good: what is kept of its connection stands under it.
type LegID struct {
	Of  ID // the call's, or the act's that dials without one
	Leg Leg
}

// TakerID is a call taker's user name, as in the phone's REGISTER.
type TakerID string

// Role says what a leg hears and who hears it. Who hears whom follows from the roles alone.
type Role uint8

// The roles of this gateway. Their numbers are part of the stored format.
const (
	Waiting Role = iota // hears prompts, heard by none: in line, on hold
	Talking             // hears and is heard by all Talking
)

var roleNames = [...]string{Waiting: "waiting", Talking: "talking"}

// String is the role's word in the journal.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// MarshalText is String; it fails on a role that is not defined.
func (r Role) MarshalText() ([]byte, error) {
	if int(r) >= len(roleNames) {
		return nil, fmt.Errorf("role %d is not defined", uint8(r))
	}
	return []byte(roleNames[r]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (r *Role) UnmarshalText(b []byte) error {
	for i, n := range roleNames {
		if n == string(b) {
			*r = Role(i)
			return nil
		}
	}
	return fmt.Errorf("role %q is not defined", b)
}

// Party is somebody whom a leg is offered to.
type Party struct {
	Taker      TakerID `json:"taker,omitempty"`
	Department string  `json:"department,omitempty"` // the OPD that lends the taker
	Node       string  `json:"node,omitempty"`       // the taker's home; "" is here
	URI        string  `json:"uri,omitempty"`        // where to ring when there is no taker
}

// Trust says who stands for a caller's number.
type Trust string

// How much a number can be believed.
const (
	Asserted Trust = "asserted" // the operator's network vouches for it (P-Asserted-Identity, RFC 3325)
	Claimed  Trust = "claimed"  // the caller's own From
	None     Trust = "none"     // no number, or it is withheld
)

// Caller is who calls, as the trunk tells it. A Number of "" is equal to nobody's.
type Caller struct {
	Number string `json:"number,omitempty"`
	Trust  Trust  `json:"trust"`
	Cell   string `json:"cell,omitempty"`  // cell identity (P-Access-Network-Info, RFC 7315), once a trunk gives it
	Place  string `json:"place,omitempty"` // location as told, once a trunk gives it
}
