// Package web is what people and tools reach over HTTP. In this version that is the local administration: a JSON API
// over a unix socket, and its client for the command line.
//
// The operations stand in three small interfaces. A running gateway implements them over its rooms and serves them with
// New; Client implements them over the socket; a command on a gateway at rest implements them over the store. Whoever
// uses them need not know which of these it has.
package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/export"
)

// What an operation can fail with, apart from trouble inside the gateway. An implementation wraps one of them with a
// sentence for people: fmt.Errorf("call %s: %w", id, ErrNotFound). Client gives back the same sentence and sentinel.
var (
	// ErrInvalid: the request makes no sense, whatever the state of the gateway.
	ErrInvalid = errors.New("not valid")
	// ErrNotFound: there is no such call or call taker.
	ErrNotFound = errors.New("not found")
	// ErrConflict: it exists already, or its state does not allow it.
	ErrConflict = errors.New("not possible in this state")
	// ErrNotRunning: only a running gateway can do that, and none runs, or it is about to stop.
	ErrNotRunning = errors.New("the gateway is not running")
)

// Ledger is what is remembered.
type Ledger interface {
	// Calls are the records of ended calls as they stand now, the latest arrival first.
	Calls(ctx context.Context, q Query) ([]call.Record, error)
	// Show is everything about one subject (a call, a shift or an act): its sealed pieces in order, and the entries of one
	// that has not ended. One of the two is empty. ErrNotFound.
	Show(ctx context.Context, id call.ID) (pieces []call.Sealed, live []call.Entry, err error)
	// Export writes calls, one row a call, as export.Write does, or a Bundle. The act "export" stands in the ledger before the
	// first row, the act "exported" after the last, and then a checkpoint is signed. What is written before an error is not
	// the whole.
	Export(ctx context.Context, w io.Writer, e Export) (export.Progress, error)
	// Verify recomputes the whole store. What it finds wrong is in the report, not in the error.
	Verify(ctx context.Context) (Report, error)
}

// Desk is what goes on. Each order returns once what it decided is durable.
type Desk interface {
	// Classify is a call taker's disposition of a call; by is "" for the administrator. ErrNotFound.
	Classify(ctx context.Context, id call.ID, by call.TakerID, kind call.Kind, note string) error
	// Pause keeps a call taker from being rung. ErrNotFound: none of that name is there; ErrNotRunning.
	Pause(ctx context.Context, taker call.TakerID) error
	// Ready ends a pause or a wrap-up. The errors are those of Pause.
	Ready(ctx context.Context, taker call.TakerID) error
	// View is the latest picture. ErrNotRunning.
	View(ctx context.Context) (View, error)
}

// Roster is the call takers' accounts.
type Roster interface {
	// Takers are all accounts, by name.
	Takers(ctx context.Context) ([]Taker, error)
	// AddTaker makes an account that CheckAccount lets pass; of the password only a hash is kept. ErrConflict: the name is
	// taken.
	AddTaker(ctx context.Context, a Account) error
	// RemoveTaker removes an account and its registration. ErrNotFound.
	RemoveTaker(ctx context.Context, name call.TakerID) error
}

// Admin is all of it: what the command line works with.
type Admin interface {
	Ledger
	Desk
	Roster
	Keeper
}

// Backend is what the API serves; each part may be of another room.
type Backend struct {
	Ledger Ledger
	Desk   Desk
	Roster Roster
	Keeper Keeper
}

// DefaultLimit and MaxLimit bound a list of calls.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
)

// Query says which calls to list.
type Query struct {
	From, To time.Time // of arrival: From is in, To is not; a zero one does not bound
	Number   string    // the caller's; "" is any
	Limit    int       // at most so many, 1 to MaxLimit; 0: DefaultLimit
}

// Report is what a verification found.
type Report struct {
	Arrived uint64 `json:"arrived"`           // calls, as the ledger counted them
	Ended   uint64 `json:"ended"`             // calls with a sealed record
	Live    uint64 `json:"live"`              // calls that have not ended
	Records uint64 `json:"records"`           // sealed pieces: leaves of the tree
	Root    string `json:"root"`              // of the tree, in base64
	Erased  uint64 `json:"erased,omitempty"`  // records that an order took away; the tree keeps their leaves
	Expired uint64 `json:"expired,omitempty"` // records whose time was over
	// Checkpoints is how many signed ones are stored; all have been verified.
	Checkpoints uint64 `json:"checkpoints,omitempty"`

	Bad []string `json:"bad"` // one sentence each; empty: all is as it was written
}

// OK tells that nothing is bad and no call is missing.
func (r Report) OK() bool { return len(r.Bad) == 0 && r.Arrived == r.Ended+r.Live }

// String is the last line of a verification, for people.
func (r Report) String() string {
	verdict := "verified"
	if !r.OK() {
		verdict = "NOT verified"
	}
	return fmt.Sprintf("ledger: %d arrived, %d ended, %d live, %s", r.Arrived, r.Ended, r.Live, verdict)
}

// Digests are the algorithms by which a phone may prove its password (RFC 7616); the first is the default.
var Digests = []string{"MD5", "SHA-256"}

// Account is a call taker's account that is to be made.
type Account struct {
	Name       call.TakerID `json:"name"`
	Department string       `json:"department,omitempty"` // the OPD that lends the taker
	Password   string       `json:"password"`
	Digest     string       `json:"digest,omitempty"` // one of Digests; "": the default
}

// Taker is a call taker's account, with what the desk and the line know of the taker.
type Taker struct {
	Name       call.TakerID    `json:"name"`
	Department string          `json:"department,omitempty"` // the OPD that lends the taker
	Added      time.Time       `json:"added,omitzero"`
	Digest     string          `json:"digest,omitempty"` // of the account, one of Digests
	State      call.TakerState `json:"state,omitempty"`  // "": no gateway runs
	Since      time.Time       `json:"since,omitzero"`   // of the state
	Call       call.ID         `json:"call,omitempty"`   // the one the taker is in, or is being rung for

	// What is attested of the phone, each when it last was so; zero: not in this run.
	Registered time.Time `json:"registered,omitzero"` // since when it is, also over a restart; zero: it is not
	Reachable  time.Time `json:"reachable,omitzero"`  // it answered OPTIONS
	Rang       time.Time `json:"rang,omitzero"`
	Answered   time.Time `json:"answered,omitzero"`
}

// View is the desk at one moment.
type View struct {
	At       time.Time               `json:"at"`
	Waiting  []Waiting               `json:"waiting"` // in the order in which they will be served
	Takers   []Taker                 `json:"takers"`  // whose phone is registered, by name
	Arrived  uint64                  `json:"arrived"` // calls since the gateway started
	Ended    uint64                  `json:"ended"`
	Live     uint64                  `json:"live"`
	Outcomes map[call.Outcome]uint64 `json:"outcomes,omitempty"` // of those that ended
}

// Waiting is a call in line.
type Waiting struct {
	ID      call.ID        `json:"id"`
	Caller  call.Caller    `json:"caller"`
	Since   time.Time      `json:"since"`
	P       float64        `json:"p"` // the likelihood of a prank, 0 to 1; below 0: no history
	Delay   time.Duration  `json:"delay_ns,omitempty"`
	Passed  uint8          `json:"passed,omitempty"` // how often it was overtaken
	Ringing []call.TakerID `json:"ringing,omitempty"`
}

// The bounds of an account and of a note, in bytes. A password has at least minPassword.
const (
	maxName     = 64
	minPassword = 8
	maxPassword = 128
	maxNote     = 4096
)

// CheckAccount tells what is wrong with an account before it is made. The error wraps ErrInvalid. The name is the user part
// of a SIP address (RFC 3261 section 25.1), of characters that need no escape.
func CheckAccount(a Account) error {
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.", c)
	}
	switch {
	case a.Name == "" || len(a.Name) > maxName || strings.ContainsFunc(string(a.Name), odd) || strings.Trim(string(a.Name), ".") == "":
		return fmt.Errorf("name %q: %w: want 1 to %d letters, digits, - . and _", a.Name, ErrInvalid, maxName)
	case len(a.Department) > maxName || strings.ContainsFunc(a.Department, unicode.IsControl):
		return fmt.Errorf("department %q: %w: want at most %d bytes of plain text", a.Department, ErrInvalid, maxName)
	case len(a.Password) < minPassword || len(a.Password) > maxPassword:
		return fmt.Errorf("password: %w: want %d to %d bytes", ErrInvalid, minPassword, maxPassword)
	case strings.ContainsFunc(a.Password, unicode.IsControl):
		return fmt.Errorf("password: %w: it has a control character", ErrInvalid)
	case a.Digest != "" && !slices.Contains(Digests, a.Digest):
		return fmt.Errorf("digest %q: %w: want one of %s", a.Digest, ErrInvalid, list(Digests))
	}
	return nil
}

// CheckClassification tells what is wrong with a disposition before it is asked for. The error wraps ErrInvalid.
func CheckClassification(id call.ID, kind call.Kind, note string) error {
	switch {
	case id.Kind() != call.Call:
		return fmt.Errorf("%s: %w: only a call has a classification", id, ErrInvalid)
	case !slices.Contains(call.Kinds, kind):
		return fmt.Errorf("kind %q: %w: want one of %s", kind, ErrInvalid, list(call.Kinds))
	case len(note) > maxNote:
		return fmt.Errorf("note: %w: %d bytes, at most %d are kept", ErrInvalid, len(note), maxNote)
	}
	return nil
}

func list[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}
