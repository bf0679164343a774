package sip

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

const (
	maxExpires = time.Hour        // the longest registration that is granted (RFC 3261, 10.3)
	firstPause = time.Second / 2  // after the first wrong password; doubled with each
	longPause  = 30 * time.Second // and never longer
	failureAge = 10 * time.Minute // after this a wrong password is forgotten
	maxMemory  = 10_000           // wrong passwords, and nonces, that are remembered at a time
)

// binding is where a call taker's phone is: one contact, the newest. It is stored as JSON.
type binding struct {
	Contact string         `json:"contact"`
	Net     string         `json:"net"`
	Local   netip.AddrPort `json:"local"` // the listener that the REGISTER came to
	Peer    netip.AddrPort `json:"peer"`  // where it came from: requests go back over this flow
	Until   time.Time      `json:"until"`

	who   call.Party
	up    bool
	timer *time.Timer // the next OPTIONS
}

// registrar knows the call takers' phones (RFC 3261, 10) and whether each answers OPTIONS.
type registrar struct {
	l        *Line
	accounts Accounts
	nonces   nonces

	mu       sync.Mutex
	closed   bool
	bindings map[call.TakerID]*binding
	failures map[string]failure // by user and address
	counts   map[string]count   // by nonce
}

// failure is a wrong password.
type failure struct {
	next time.Duration // the pause before the next refusal
	at   time.Time
}

// count is the highest nonce count seen (RFC 7616, 3.4: nc): a request that comes a second time is a replay.
type count struct {
	nc int
	at time.Time
}

func newRegistrar(l *Line, a Accounts, secret [32]byte) *registrar {
	return &registrar{l: l, accounts: a, nonces: nonces{secret}, bindings: map[call.TakerID]*binding{}, failures: map[string]failure{}, counts: map[string]count{}}
}

// restore takes up the registrations of an earlier run: each phone counts as up until its OPTIONS fails.
func (r *registrar) restore() {
	for taker, contacts := range r.accounts.Bound() {
		var b binding
		_, who, ok := r.accounts.Account(string(taker))
		if err := json.Unmarshal(contacts, &b); err != nil || !ok || !b.Until.After(time.Now()) {
			r.accounts.Bind(taker, nil)
			continue
		}
		b.who, b.up = who, true
		r.l.o.Intake.Phone(who, true)
		r.bind(&b)
	}
}

// register answers a REGISTER (10.3): a challenge, then the binding, a refusal with a growing pause, or a query.
func (r *registrar) register(req *sipgo.Request, tx *sipgo.ServerTx) {
	source := addrPort(req.Source())
	if !r.l.from.taker(source.Addr()) {
		r.l.respond(tx, respond(req, sipgo.StatusForbidden, "Forbidden", nil))
		return
	}
	user, who, err := r.identify(req)
	switch {
	case errors.Is(err, errStale):
		r.l.respond(tx, r.challenge(req, user != ""))
		return
	case err != nil:
		r.l.log.Warn("registration refused", zap.String("user", user), zap.String("from", req.Source()), zap.Error(err))
		r.pause(user + "|" + source.Addr().String())
		r.l.respond(tx, respond(req, sipgo.StatusForbidden, "Forbidden", nil))
		return
	}
	r.forgive(user + "|" + source.Addr().String())
	r.l.respond(tx, r.update(req, who))
}

// identify tells who sends the request. errStale asks for (new) credentials; user is then "" when there were none.
func (r *registrar) identify(req *sipgo.Request) (user string, who call.Party, err error) {
	h := req.GetHeader("Authorization")
	if h == nil {
		return "", call.Party{}, errStale
	}
	cred, err := digest.ParseCredentials(h.Value())
	if err != nil {
		return "", call.Party{}, errStale
	}
	if err := r.nonces.check(cred.Nonce, time.Now()); err != nil {
		return cred.Username, call.Party{}, err
	}
	ha1, who, _ := r.accounts.Account(cred.Username)
	if err := authenticate(string(req.Method), r.l.o.Config.SIP.Realm, ha1[algorithm], cred); err != nil {
		return cred.Username, call.Party{}, err
	}
	if !r.fresh(cred.Nonce, cred.Nc) {
		return cred.Username, call.Party{}, errStale
	}
	if req.To().Address.User != cred.Username {
		return cred.Username, call.Party{}, fmt.Errorf("registers for %q", req.To().Address.User)
	}
	return cred.Username, who, nil
}

// fresh tells whether the nonce has not been used with that count or a higher one. A nonce lives for nonceAge; when there
// are too many, the old ones go, and if none is old all phones are asked once more.
func (r *registrar) fresh(nonce string, nc int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if len(r.counts) >= maxMemory {
		maps.DeleteFunc(r.counts, func(_ string, c count) bool { return now.Sub(c.at) > nonceAge })
	}
	last, used := r.counts[nonce]
	if used && nc <= last.nc || !used && len(r.counts) >= maxMemory {
		return false
	}
	if !used {
		last.at = now
	}
	r.counts[nonce] = count{nc, last.at}
	return true
}

func (r *registrar) challenge(req *sipgo.Request, stale bool) *sipgo.Response {
	c := digest.Challenge{
		Realm: r.l.o.Config.SIP.Realm, Nonce: r.nonces.make(time.Now()), Algorithm: algorithm, QOP: []string{"auth"}, Stale: stale,
	}
	res := respond(req, sipgo.StatusUnauthorized, "Unauthorized", nil)
	res.AppendHeader(sipgo.NewHeader("WWW-Authenticate", c.String()))
	return res
}

// pause waits before a refusal, longer with each wrong password of the same user and address.
func (r *registrar) pause(who string) {
	r.mu.Lock()
	now := time.Now()
	if len(r.failures) >= maxMemory {
		maps.DeleteFunc(r.failures, func(_ string, f failure) bool { return now.Sub(f.at) > failureAge })
	}
	d := max(r.failures[who].next, firstPause)
	if len(r.failures) < maxMemory {
		r.failures[who] = failure{min(2*d, longPause), now}
	}
	r.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.l.stop.Done():
	}
}

func (r *registrar) forgive(who string) {
	r.mu.Lock()
	delete(r.failures, who)
	r.mu.Unlock()
}

// update does what the Contact asks: bind, forget (expires 0, or *), or only tell (10.3, steps 6 to 8).
func (r *registrar) update(req *sipgo.Request, who call.Party) *sipgo.Response {
	contacts := req.GetHeaders("Contact")
	if len(contacts) == 0 {
		return r.told(req, who.Taker)
	}
	c := req.Contact()
	if c == nil || len(contacts) > 1 {
		return refuse(sipgo.StatusBadRequest, "Bad Request: one Contact").response(req)
	}
	d, err := expires(req, c)
	if err != nil {
		return refuse(sipgo.StatusBadRequest, "Bad Request: "+err.Error()).response(req)
	}
	if c.Address.Wildcard && d != 0 {
		return refuse(sipgo.StatusBadRequest, "Bad Request: * goes with Expires 0").response(req)
	}
	if d == 0 {
		// A phone that has been replaced has nothing to take away.
		if b, ok := r.contact(who.Taker); ok && (c.Address.Wildcard || b.Contact == c.Address.String()) {
			r.forget(who.Taker, "unregistered")
		}
		return r.told(req, who.Taker)
	}
	source := req.Source()
	r.bind(&binding{
		Contact: c.Address.String(), Net: req.Transport(), Local: r.l.local(req.Transport(), source), Peer: addrPort(source),
		Until: time.Now().Add(min(d, maxExpires)).UTC(), who: who,
	})
	return r.told(req, who.Taker)
}

// told is the 200 with the current contact.
func (r *registrar) told(req *sipgo.Request, taker call.TakerID) *sipgo.Response {
	res := respond(req, sipgo.StatusOK, "OK", nil)
	r.mu.Lock()
	b := r.bindings[taker]
	r.mu.Unlock()
	if b != nil {
		left := max(1, int(time.Until(b.Until).Round(time.Second).Seconds()))
		res.AppendHeader(sipgo.NewHeader("Contact", fmt.Sprintf("<%s>;expires=%d", b.Contact, left)))
	}
	return res
}

// expires is what the contact asks for, its own parameter first (10.2.1.1).
func expires(req *sipgo.Request, c *sipgo.ContactHeader) (time.Duration, error) {
	v, ok := c.Params.Get("expires")
	if !ok {
		h := req.GetHeader("Expires")
		if h == nil {
			return maxExpires, nil
		}
		v = h.Value()
	}
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("expires %q", v)
	}
	return time.Duration(n) * time.Second, nil
}

// bind makes b the taker's contact; the newer replaces the older. A phone that was up stays up; OPTIONS tells the rest.
func (r *registrar) bind(b *binding) {
	stored, err := json.Marshal(b)
	if err != nil { // strings and addresses only: cannot happen
		panic(err)
	}
	r.accounts.Bind(b.who.Taker, stored)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if old := r.bindings[b.who.Taker]; old != nil {
		old.timer.Stop()
		b.up = old.up && old.Peer == b.Peer
	}
	r.bindings[b.who.Taker] = b
	b.timer = time.AfterFunc(0, func() { r.ping(b) })
}

// forget ends the taker's registration.
func (r *registrar) forget(taker call.TakerID, why string) {
	r.mu.Lock()
	b := r.bindings[taker]
	delete(r.bindings, taker)
	r.mu.Unlock()
	if b == nil {
		return
	}
	b.timer.Stop()
	r.accounts.Bind(taker, nil)
	r.l.log.Info("phone gone", zap.String("taker", string(taker)), zap.String("why", why))
	r.l.o.Intake.Phone(b.who, false)
}

// ping asks the phone by OPTIONS whether it is there (RFC 3261, 11), and again every 30 s while it is registered.
func (r *registrar) ping(b *binding) {
	if !time.Now().Before(b.Until) {
		r.mu.Lock()
		current := r.bindings[b.who.Taker] == b && !r.closed
		r.mu.Unlock()
		if current {
			r.forget(b.who.Taker, "registration expired")
		}
		return
	}
	req, err := r.options(b)
	if err != nil {
		r.answered(b, nil)
		return
	}
	r.l.send(req, b.Local, func(res *sipgo.Response) {
		if res == nil || !res.IsProvisional() {
			r.answered(b, res)
		}
	})
}

// options is the OPTIONS request to a registered phone.
func (r *registrar) options(b *binding) (*sipgo.Request, error) {
	at := r.l.advertised(b.Local)
	id := "options." + string(call.NewID(call.Act, time.Now()))
	d := Dialog{
		CallID: id, LocalTag: id, Net: b.Net, Local: b.Local, Peer: b.Peer, Flow: true, Target: b.Contact,
		LocalURI: "<sip:siaga112@" + hostText(at.Addr()) + ">", RemoteURI: "<" + b.Contact + ">",
	}
	req, err := d.request(sipgo.OPTIONS, 1, at)
	if err != nil {
		return nil, err
	}
	req.AppendHeader(contact(b.Net, at))
	return req, nil
}

// answered takes the final response to an OPTIONS, nil when there was none. Whatever the phone answers, it is there,
// unless it says that it is not (408, 480, 503) or knows nobody by that name (404).
func (r *registrar) answered(b *binding, res *sipgo.Response) {
	up := res != nil
	if up {
		switch res.StatusCode {
		case sipgo.StatusNotFound, sipgo.StatusRequestTimeout, sipgo.StatusTemporarilyUnavailable, sipgo.StatusServiceUnavailable:
			up = false
		}
	}
	r.mu.Lock()
	current := r.bindings[b.who.Taker] == b && !r.closed
	changed := current && b.up != up
	if current {
		b.up = up
		b.timer.Reset(min(quiet, max(time.Until(b.Until), 0)))
	}
	r.mu.Unlock()
	// Said even when nothing changed: the desk may have forgotten a phone that this one has replaced.
	if current && (changed || up) {
		r.l.o.Intake.Phone(b.who, up)
	}
}

// contact is where the taker's phone is now.
func (r *registrar) contact(taker call.TakerID) (binding, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.bindings[taker]
	if b == nil {
		return binding{}, false
	}
	return *b, true
}

// close stops all timers. Registrations stay stored for the next run.
func (r *registrar) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, b := range r.bindings {
		b.timer.Stop()
	}
}
