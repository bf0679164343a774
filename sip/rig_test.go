package sip_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/icholy/digest"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/siptest"
)

// The hosts of the network in memory.
const (
	gateway  = "10.0.0.1"
	trunk    = "10.0.2.1"
	desk     = "10.0.1.1"
	desk2    = "10.0.1.2"
	stranger = "192.0.2.66"
)

// T1 of RFC 3261 and the longest life of a transaction.
const (
	t1       = 500 * time.Millisecond
	lifetime = 64 * t1
)

// deed is one thing that the line did, in the order in which it did it.
type deed struct {
	at    time.Duration // since the rig was made
	what  string        // tell keep forget phone alarm wire bind
	of    call.ID
	event call.Event // of a tell
	text  string     // of the others
}

// rig is a Line on a network in memory with a fake desk and a fake store. It is made in a bubble.
type rig struct {
	tb       testing.TB
	start    time.Time
	network  *siptest.Network
	line     *sip.Line
	options  sip.Options
	accounts *accounts
	live     map[call.ID][]call.Leg // what the desk counts as alive when the line is opened

	mu     sync.Mutex
	deeds  []deed
	kept   map[keptKey][]byte
	onKeep func(call.ID, call.Leg, []byte) // nil: nothing more than remembering
	gap    time.Duration
	onDone func(done func(error)) // nil: each Keep is durable at once
	onTell func(call.ID, call.Event)
	onRead func(start string) // when a datagram has come in
	// onWrite comes before a datagram goes out: it goes nowhere where this is an error.
	onWrite func(start string) error
}

type keptKey struct {
	id call.ID
	n  call.Leg
}

// configuration is what most tests run on.
func configuration() *config.Config {
	return &config.Config{
		SIP: config.SIP{
			Listen: []config.Listen{
				{Network: "udp", Addr: netip.MustParseAddrPort(gateway + ":5060")},
				{Network: "tcp", Addr: netip.MustParseAddrPort(gateway + ":5060")},
			},
			Realm: "siaga112", Answer: config.AnswerQueue, MaxCalls: 500,
		},
		RTP: config.RTP{First: 20000, Last: 20999},
		Trunks: []config.Trunk{
			{Name: "telkom", From: []netip.Prefix{netip.MustParsePrefix("10.0.2.0/24")}, Numbers: []string{"112"}, Trust: config.TrustPAI},
		},
		Takers: config.Takers{From: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")}},
	}
}

// newRig makes everything but the line: what an earlier run has kept can be put in before open.
func newRig(tb testing.TB) *rig {
	tb.Helper()
	r := &rig{tb: tb, start: time.Now(), network: siptest.NewNetwork(), kept: map[keptKey][]byte{}}
	r.accounts = &accounts{r: r, bound: map[call.TakerID][]byte{}}
	host := r.network.Host(netip.MustParseAddr(gateway)).Net()
	listen := host.ListenPacket
	host.ListenPacket = func(network, addr string) (net.PacketConn, error) {
		c, err := listen(network, addr)
		if err == nil && strings.HasSuffix(addr, ":5060") {
			c = tap{PacketConn: c, r: r}
		}
		return c, err
	}
	r.options = sip.Options{
		Config: configuration(), Net: host, Prompts: media.NewLibrary(nil, nil), Intake: (*intake)(r), Keeper: (*keeper)(r),
		Accounts: r.accounts, Secret: [32]byte{7}, Log: zap.NewNop(),
		Alarm: func(name string, _ time.Time, text string) { r.note(deed{what: "alarm", text: name + ": " + text}) },
	}
	return r
}

// open opens the line and lets it take up what is live; it is killed when the test ends.
func (r *rig) open() *rig {
	r.tb.Helper()
	line, err := sip.Open(r.options)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.mu.Lock()
	r.line = line
	r.mu.Unlock()
	r.tb.Cleanup(line.Kill)
	line.Restore(r.live, r.gap)
	return r
}

// bubble runs a test with an open line in a bubble.
func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newRig(t).open()) })
}

// pass lets time pass, and what happens in it be over.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) note(d deed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d.at = time.Since(r.start)
	r.deeds = append(r.deeds, d)
}

// all are the deeds so far.
func (r *rig) all() []deed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.deeds)
}

// facts are the events told of a call.
func (r *rig) facts(id call.ID) []call.Event {
	var out []call.Event
	for _, d := range r.all() {
		if d.what == "tell" && d.of == id {
			out = append(out, d.event)
		}
	}
	return out
}

// texts are the deeds of that kind as text.
func (r *rig) texts(what string) []string {
	var out []string
	for _, d := range r.all() {
		if d.what == what {
			out = append(out, d.text)
		}
	}
	return out
}

// ids are the calls that arrived, in order.
func (r *rig) ids() []call.ID {
	var out []call.ID
	for _, d := range r.all() {
		if _, ok := d.event.(call.Arrived); ok {
			out = append(out, d.of)
		}
	}
	return out
}

// story is the facts of a call in short: "arrived answered:0 left:0:caller".
func (r *rig) story(id call.ID) string {
	var out []string
	for _, ev := range r.facts(id) {
		out = append(out, short(ev))
	}
	return strings.Join(out, " ")
}

func short(ev call.Event) string {
	switch ev := ev.(type) {
	case call.Arrived:
		if ev.Reject != 0 {
			return fmt.Sprint("arrived:", ev.Reject)
		}
		return "arrived"
	case call.Rang:
		return fmt.Sprint("rang:", ev.Leg)
	case call.Answered:
		return fmt.Sprint("answered:", ev.Leg)
	case call.Left:
		s := fmt.Sprint("left:", ev.Leg, ":", ev.By)
		if ev.Code != 0 {
			s += fmt.Sprint(":", ev.Code)
		}
		return s
	default:
		return fmt.Sprintf("%T", ev)
	}
}

// wantStory holds a call's facts against what is wanted.
func (r *rig) wantStory(id call.ID, want string) {
	r.tb.Helper()
	if got := r.story(id); got != want {
		r.tb.Errorf("facts of the call:\n got %s\nwant %s", got, want)
	}
}

// wantGone holds that nothing is left of any call: no dialog, no port.
func (r *rig) wantGone() {
	r.tb.Helper()
	r.mu.Lock()
	left := slices.Collect(maps.Keys(r.kept))
	r.mu.Unlock()
	if len(left) != 0 || r.line.PortsInUse() != 0 {
		r.tb.Errorf("%d ports in use and dialogs kept: %v", r.line.PortsInUse(), left)
	}
}

// dialog is what is kept of a leg.
func (r *rig) dialog(id call.ID, n call.Leg) sip.Dialog {
	r.tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	d, err := sip.DecodeDialog(r.kept[keptKey{id, n}])
	if err != nil {
		r.tb.Fatal(err)
	}
	return d
}

// intake is the fake desk.
type intake rig

func (i *intake) Tell(id call.ID, ev call.Event) {
	r := (*rig)(i)
	r.note(deed{what: "tell", of: id, event: ev})
	r.mu.Lock()
	f := r.onTell
	r.mu.Unlock()
	if f != nil {
		f(id, ev)
	}
}

func (i *intake) Ask(id call.ID, n call.Leg, want string, to call.Party) {
	(*rig)(i).note(deed{what: "ask", of: id, text: fmt.Sprint(n, " ", want, " ", to.Taker, " ", to.URI)})
}

func (i *intake) Phone(who call.Party, up bool) {
	(*rig)(i).note(deed{what: "phone", text: fmt.Sprint(who.Taker, " ", up)})
}

// keeper is the fake store of dialogs.
type keeper rig

func (k *keeper) Keep(id call.ID, n call.Leg, dialog []byte, done func(error)) {
	r := (*rig)(k)
	what := "keep"
	if dialog == nil {
		what = "forget"
	}
	r.note(deed{what: what, of: id, text: fmt.Sprint(n)})
	r.mu.Lock()
	f, wait := r.onKeep, r.onDone
	if dialog == nil {
		delete(r.kept, keptKey{id, n})
	} else {
		r.kept[keptKey{id, n}] = slices.Clone(dialog)
	}
	r.mu.Unlock()
	if f != nil {
		f(id, n, dialog)
	}
	switch {
	case done == nil:
	case wait != nil:
		wait(done)
	default:
		done(nil)
	}
}

func (k *keeper) Kept() iter.Seq2[call.LegID, []byte] {
	r := (*rig)(k)
	r.mu.Lock()
	all := maps.Clone(r.kept)
	r.mu.Unlock()
	return func(yield func(call.LegID, []byte) bool) {
		for key, dialog := range all {
			if !yield(call.LegID{Of: key.id, Leg: key.n}, dialog) {
				return
			}
		}
	}
}

// accounts is the fake store of takers: t1, t2 … with the password "rahasia".
type accounts struct {
	r      *rig
	panics bool
	mu     sync.Mutex
	bound  map[call.TakerID][]byte
}

func (a *accounts) Account(user string) (map[string]string, call.Party, bool) {
	if a.panics {
		panic("a test")
	}
	if user != "t1" && user != "t2" {
		return nil, call.Party{}, false
	}
	return map[string]string{"MD5": ha1(user)}, call.Party{Taker: call.TakerID(user), Department: "112"}, true
}

func (a *accounts) Bind(taker call.TakerID, contacts []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if contacts == nil {
		delete(a.bound, taker)
		a.r.note(deed{what: "bind", text: string(taker) + " nil"})
		return
	}
	a.bound[taker] = slices.Clone(contacts)
	a.r.note(deed{what: "bind", text: string(taker)})
}

func (a *accounts) Bound() iter.Seq2[call.TakerID, []byte] {
	a.mu.Lock()
	all := maps.Clone(a.bound)
	a.mu.Unlock()
	return maps.All(all)
}

// contact is the stored contact of a taker, the newest.
func (a *accounts) contact(tb testing.TB, taker call.TakerID) string {
	tb.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bound[taker] == nil {
		return ""
	}
	var all []struct{ Contact string }
	if err := json.Unmarshal(a.bound[taker], &all); err != nil {
		tb.Fatal(err)
	}
	return all[len(all)-1].Contact
}

// tap notes what the line sends over UDP.
type tap struct {
	net.PacketConn
	r *rig
}

func (c tap) WriteTo(b []byte, to net.Addr) (int, error) {
	start, _, _ := strings.Cut(string(b), "\r\n")
	c.r.mu.Lock()
	f := c.r.onWrite
	c.r.mu.Unlock()
	if f != nil {
		if err := f(start); err != nil {
			return 0, err
		}
	}
	c.r.note(deed{what: "wire", text: to.String() + " " + start})
	return c.PacketConn.WriteTo(b, to)
}

func (c tap) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(b)
	c.r.mu.Lock()
	f := c.r.onRead
	c.r.mu.Unlock()
	if f != nil && err == nil {
		f(string(b[:n]))
	}
	return n, from, err
}

func ha1(user string) string {
	return hexMD5(user + ":siaga112:rahasia")
}

// authorization answers a challenge for the first time.
func authorization(tb testing.TB, challenge, user, password string) string {
	tb.Helper()
	return authorizationAgain(tb, challenge, user, password, 1)
}

// authorizationAgain answers a challenge for the nth time (RFC 7616, 3.4: nc).
func authorizationAgain(tb testing.TB, challenge, user, password string, n int) string {
	tb.Helper()
	return credentials(tb, "REGISTER", challenge, user, password, n)
}

// authorizationFor answers a challenge to another method.
func authorizationFor(tb testing.TB, method, challenge, user, password string) string {
	tb.Helper()
	return credentials(tb, method, challenge, user, password, 1)
}

func credentials(tb testing.TB, method, challenge, user, password string, n int) string {
	tb.Helper()
	chal, err := digest.ParseChallenge(challenge)
	if err != nil {
		tb.Fatalf("challenge %q: %v", challenge, err)
	}
	cred, err := digest.Digest(chal, digest.Options{
		Method: method, URI: "sip:" + gateway, Username: user, Password: password, Count: n,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return cred.String()
}
