package sip

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
)

// binding is one contact that a call taker's phone has registered (RFC 3261, 10). It is stored as JSON.
type binding struct {
	Contact string         `json:"contact"`
	CallID  string         `json:"call_id,omitempty"` // of the REGISTER that made it or refreshed it
	Seq     uint32         `json:"cseq,omitempty"`    // and its CSeq
	Net     string         `json:"net"`
	Local   netip.AddrPort `json:"local"`          // the listener that the REGISTER came to
	Peer    netip.AddrPort `json:"peer"`           // where it came from: requests go back over this flow
	Since   time.Time      `json:"since,omitzero"` // of the first REGISTER with this Call-ID
	Until   time.Time      `json:"until"`

	uri sipgo.Uri // Contact as read

	// Of registrar.mu:
	up       bool        // it answers OPTIONS
	answered time.Time   // when it last did
	timer    *time.Timer // the next OPTIONS
}

// flow tells whether both came over the same flow: from one socket of the phone.
func (b *binding) flow(c *binding) bool { return b.Net == c.Net && b.Peer == c.Peer }

// phone is what a call taker has registered.
type phone struct {
	who      call.Party
	bindings []*binding // by Since: the newest is the last
	up       bool       // what the desk has been told
}

// current are the bindings that have not expired.
func (p *phone) current(now time.Time) []*binding {
	if p == nil {
		return nil
	}
	var out []*binding
	for _, b := range p.bindings {
		if b.Until.After(now) {
			out = append(out, b)
		}
	}
	return out
}

// registrar knows the call takers' phones (RFC 3261, 10) and whether each answers OPTIONS. It is the registrar of any domain
// that a phone's Request-URI names: phones are told an address or a name as it suits.
type registrar struct {
	l        *Line
	accounts Accounts
	nonces   nonces

	mu       sync.Mutex
	closed   bool
	phones   map[call.TakerID]*phone
	failures map[string]failure // by user and address
	counts   map[string]count   // by nonce
}

func newRegistrar(l *Line, a Accounts, secret [32]byte) *registrar {
	return &registrar{
		l: l, accounts: a, nonces: noncesOf(secret, time.Now()),
		phones: map[call.TakerID]*phone{}, failures: map[string]failure{}, counts: map[string]count{},
	}
}

// restore takes up the registrations of an earlier run: each phone counts as up until its OPTIONS fails. One that has
// registered with this run already is left alone.
func (r *registrar) restore() {
	for taker, contacts := range r.accounts.Bound() {
		_, who, ok := r.accounts.Account(string(taker))
		bindings := (&phone{bindings: decodeBindings(contacts)}).current(time.Now())
		if !ok || len(bindings) == 0 {
			r.accounts.Bind(taker, nil)
			continue
		}
		r.revise(taker, "", func(p *phone) []*binding {
			if len(p.bindings) > 0 {
				return nil
			}
			p.who = who
			for _, b := range bindings {
				b.up = true
			}
			return bindings
		})
	}
}

// register answers a REGISTER (10.3).
func (r *registrar) register(req *sipgo.Request, tx *sipgo.ServerTx) {
	who, refused := r.caller(req)
	if refused == nil {
		refused = r.update(req, who)
	}
	if refused == nil {
		refused = r.told(req, who.Taker)
	}
	r.l.respond(tx, refused)
}

// update does what the Contacts ask for, all or nothing (10.3, steps 6 and 7); without any it changes nothing. refused is
// the refusal.
func (r *registrar) update(req *sipgo.Request, who call.Party) (refused *sipgo.Response) {
	c, f := r.change(req)
	if f == nil {
		r.revise(who.Taker, "unregistered", func(p *phone) (next []*binding) {
			p.who = who
			next, f = c.apply(p.current(c.now))
			return next
		})
	}
	if f != nil {
		return f.response(req)
	}
	return nil
}

// told is the 200 with the contacts that there are (10.3, step 8).
func (r *registrar) told(req *sipgo.Request, taker call.TakerID) *sipgo.Response {
	now := time.Now()
	headers := []sipgo.Header{sipgo.NewHeader("Date", now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.phones[taker].current(now) {
		left := max(1, int(b.Until.Sub(now).Round(time.Second).Seconds()))
		headers = append(headers, sipgo.NewHeader("Contact", fmt.Sprintf("<%s>;expires=%d", b.Contact, left)))
	}
	return reply(req, sipgo.StatusOK, headers...)
}

// revise makes what change gives the bindings of a taker; nil leaves them. Those that are new are asked by OPTIONS at once;
// why is said in the log when none is left. What is stored and told comes in order, as neither Bind nor Phone blocks.
func (r *registrar) revise(taker call.TakerID, why string, change func(*phone) []*binding) {
	if r.swap(taker, change) {
		r.l.log.Info("phone gone", zap.String("taker", string(taker)), zap.String("why", why))
	}
}

// swap is revise without its log; it tells whether the last binding has gone.
func (r *registrar) swap(taker call.TakerID, change func(*phone) []*binding) (gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.phones[taker]
	if p == nil {
		p = &phone{}
	}
	next := change(p)
	if r.closed || next == nil || slices.Equal(p.bindings, next) {
		return false
	}
	r.accounts.Bind(taker, encodeBindings(next))
	for _, b := range p.bindings {
		if !slices.Contains(next, b) {
			b.timer.Stop()
		}
	}
	for _, b := range next {
		if b.timer == nil {
			b.timer = time.AfterFunc(0, func() { r.ping(taker, b) })
		}
	}
	p.bindings = next
	r.phones[taker] = p
	if len(next) == 0 {
		delete(r.phones, taker)
	}
	r.tell(p)
	return len(next) == 0
}

// tell tells the desk when the taker can be reached, or can't be any more. The caller holds mu.
func (r *registrar) tell(p *phone) {
	up := slices.ContainsFunc(p.bindings, func(b *binding) bool { return b.up })
	if up != p.up {
		p.up = up
		r.l.o.Intake.Phone(p.who, up)
	}
}

// doubt takes it that a phone which fell silent in a call answers nobody, until it answers the OPTIONS that goes out now.
func (r *registrar) doubt(taker call.TakerID, at netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.phones[taker]
	if p == nil || r.closed {
		return
	}
	for _, b := range p.bindings {
		if b.Peer == at {
			b.up = false
			b.timer.Reset(0)
		}
	}
	r.tell(p)
}

// forget ends the taker's registration.
func (r *registrar) forget(taker call.TakerID, why string) {
	r.revise(taker, why, func(*phone) []*binding { return []*binding{} })
}

// contact is where the taker is rung: of the contacts that answer OPTIONS, or else of all, the newest.
func (r *registrar) contact(taker call.TakerID) (binding, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.phones[taker].rung(time.Now())
	if b == nil {
		return binding{}, false
	}
	return *b, true
}

// flow is the newest contact over TCP through which the taker's phone at that target, or at least at that address, can be
// reached now.
func (r *registrar) flow(taker call.TakerID, target string, at netip.Addr) (best binding, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.phones[taker].current(time.Now()) {
		if b.Net == "UDP" || b.Contact != target && b.Peer.Addr() != at || ok && best.Contact == target && b.Contact != target {
			continue
		}
		if c, err := r.l.tp.GetConnection(b.Net, b.Peer.String()); err == nil {
			release(c)
			best, ok = *b, true
		}
	}
	return best, ok
}

// rung is the binding that contact gives, nil for none. The caller holds mu.
func (p *phone) rung(now time.Time) (best *binding) {
	for _, b := range p.current(now) {
		if best == nil || b.up || !best.up {
			best = b
		}
	}
	return best
}

// close stops all timers. Registrations stay stored for the next run.
func (r *registrar) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, p := range r.phones {
		for _, b := range p.bindings {
			b.timer.Stop()
		}
	}
}

// encodeBindings is what is stored; nil for none.
func encodeBindings(bs []*binding) []byte {
	if len(bs) == 0 {
		return nil
	}
	text, err := json.Marshal(bs)
	if err != nil { // strings, numbers and times only: cannot happen
		panic(err)
	}
	return text
}

// decodeBindings reads what encodeBindings wrote, and the one binding that earlier versions stored. What can't be read is
// left out.
func decodeBindings(text []byte) []*binding {
	var all []binding
	if err := json.Unmarshal(text, &all); err != nil {
		all = make([]binding, 1)
		if err := json.Unmarshal(text, &all[0]); err != nil {
			return nil
		}
	}
	var out []*binding
	for i := range all {
		if readContact(all[i].Contact, &all[i].uri) == nil {
			out = append(out, &all[i])
		}
	}
	return out
}

// errContact is what is wrong with a Contact that can't be rung.
var errContact = errors.New("a Contact is no sip address")

// readContact reads the URI of a contact.
func readContact(text string, uri *sipgo.Uri) error {
	if err := sipgo.ParseUri(text, uri); err != nil || uri.Scheme != "sip" && uri.Scheme != "sips" || uri.Host == "" || uri.Wildcard {
		return errContact
	}
	return nil
}
