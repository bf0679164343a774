package siptest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/media"
)

// Gateway is the gateway under test, as a story needs it.
type Gateway interface {
	// Kill ends it as kill -9 does. Its sockets are gone already, and the next start gets a copy of its data as they were
	// before: all that is left to do is to end its goroutines.
	Kill()
	// Stop ends it as SIGTERM does and returns when nothing of it runs any more.
	Stop(ctx context.Context) error
	// Order is what somebody does at the console; it returns once that is decided and durable.
	Order(ctx context.Context, o Order) error
	// Calls are the entries of every call, live or sealed, in the order of arrival. It works after Stop too.
	Calls(ctx context.Context) ([][]call.Entry, error)
	// Check verifies the store and counts. A ledger that does not balance or a record that does not verify is its error.
	// It works after Stop too.
	Check(ctx context.Context) (Counts, error)
}

// Staller is a Gateway whose disk can stall, for stories of what a crash may leave.
type Staller interface {
	// Stall keeps what it names from happening, from now on until the gateway is killed.
	Stall(what Stall)
}

// Stall is what a gateway does no more.
type Stall string

// Where a gateway can stall: before anything is on the disk, between a dialog and the fact that it is for, and between a fact
// and what follows from it.
const (
	StallDisk    Stall = "disk"
	StallJournal Stall = "journal"
	StallVerbs   Stall = "verbs"
)

var stalls = []Stall{StallDisk, StallJournal, StallVerbs}

// Order is what a call taker does at the console.
type Order struct {
	By   call.TakerID
	Verb string  // classify pause ready
	Of   call.ID // of classify
	Text string  // of classify: the kind
}

// Counts are what a gateway has in its ledger and in its hands.
type Counts struct {
	Arrived, Ended, Live int // calls, in the ledger
	Leaves               int // sealed pieces
	Legs, Ports          int // dialogs, and RTP ports, that are open now
}

// Setting is what a gateway of a story is started with.
type Setting struct {
	Net     media.Net      // of its host, in memory
	Addr    netip.AddrPort // where phones and trunk expect it
	Config  []byte         // a whole configuration file, in YAML
	Data    string         // folder; after a kill a copy of what the folder before held
	Takers  []Taker        // accounts to be there, with their passwords
	History []PastCall     // calls to be sealed in the store already, the oldest first
	Again   bool           // not the first start: takers and history are in Data
}

// Where a story takes place. Callers are at 10.0.2.1, 10.0.2.2 … in the order of their first line.
var (
	storyGateway = netip.MustParseAddrPort("10.0.0.1:5060")
	storyTrunk   = netip.MustParseAddr("10.0.2.0")
)

// storyConfig is the configuration of a story that says nothing of it.
const storyConfig = `
node: story
zone: Asia/Pontianak
data: ./data
sip:
  listen: ["udp:10.0.0.1:5060"]
  advertise: ""
  realm: siaga112
  answer: queue
  max_calls: 500
rtp: {ports: 20000-29999}
trunks:
  - name: telkom
    from: ["10.0.2.0/24"]
    numbers: ["112"]
    trust: pai
takers: {from: ["10.0.1.0/24"]}
queue: {ring_timeout: 15s, wrap_up: 10s, strategy: longest-idle}
prank: {max_delay: 30s}
log: {level: error, format: console}
`

// configuration is the usual one with the story's own keys and the data's folder in it. Maps are joined, all else
// replaces.
func (s *Story) configuration(data string) ([]byte, error) {
	var usual, own map[string]any
	if err := yaml.Unmarshal([]byte(storyConfig), &usual); err != nil {
		return nil, err
	}
	if len(strings.TrimSpace(string(s.Config))) > 0 {
		if err := yaml.Unmarshal(s.Config, &own); err != nil {
			return nil, fmt.Errorf("%s: section config: %w", s.File, err)
		}
	}
	overlay(usual, own)
	usual["data"] = data
	return yaml.Marshal(usual)
}

func overlay(onto, with map[string]any) {
	for k, v := range with {
		below, ok := v.(map[string]any)
		if there, isMap := onto[k].(map[string]any); ok && isMap {
			overlay(there, below)
			continue
		}
		onto[k] = v
	}
}

// past are the calls of the story's history, one a day, the last one a day before the time.
func (s *Story) past(before time.Time) []PastCall {
	var past []PastCall
	most := 0
	for _, h := range s.History {
		most = max(most, h.Count)
	}
	for day := most; day > 0; day-- {
		for i, h := range s.History {
			if h.Count < day {
				continue
			}
			past = append(past, PastCall{
				At:     before.Add(-time.Duration(day)*24*time.Hour + time.Duration(i)*time.Minute),
				Caller: call.Caller{Number: h.Number, Trust: call.Asserted},
				Wait:   5 * time.Second, Talk: 20 * time.Second, Kind: h.Kind,
			})
		}
	}
	return past
}

// copyFolder copies the files of a folder, not those below it, nor sockets.
func copyFolder(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	names, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !n.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, n.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, n.Name()), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}
