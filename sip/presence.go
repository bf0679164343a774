package sip

import (
	"cmp"
	"slices"
	"time"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/call"
)

// Phone is what is known of a call taker's phone: of the contact that is rung. A zero time says never, or not known.
type Phone struct {
	Taker      call.TakerID
	Registered time.Time // since when
	Until      time.Time // how long, unless it registers again
	Answers    time.Time // when it last answered OPTIONS, in this run
	Contacts   int       // how many are registered
	Net        string    // UDP TCP
}

// Phones are the registered phones, by taker.
func (l *Line) Phones() []Phone {
	r, now := l.reg, time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Phone, 0, len(r.phones))
	for taker, p := range r.phones {
		if b := p.rung(now); b != nil {
			out = append(out, Phone{
				Taker: taker, Registered: b.Since, Until: b.Until, Answers: b.answered, Contacts: len(p.current(now)), Net: b.Net,
			})
		}
	}
	slices.SortFunc(out, func(a, b Phone) int { return cmp.Compare(a.Taker, b.Taker) })
	return out
}

// ping asks the phone by OPTIONS whether it is there (RFC 3261, 11), and again every 30 s while it is registered.
func (r *registrar) ping(taker call.TakerID, b *binding) {
	if !time.Now().Before(b.Until) {
		r.expire(taker, b)
		return
	}
	req, err := r.options(b)
	if err != nil {
		r.answered(taker, b, nil)
		return
	}
	r.l.send(req, b.Local, func(res *sipgo.Response) {
		if res == nil || !res.IsProvisional() {
			r.answered(taker, b, res)
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
func (r *registrar) answered(taker call.TakerID, b *binding, res *sipgo.Response) {
	up := res != nil
	if up {
		switch res.StatusCode {
		case sipgo.StatusNotFound, sipgo.StatusRequestTimeout, sipgo.StatusTemporarilyUnavailable, sipgo.StatusServiceUnavailable:
			up = false
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.phones[taker]
	if r.closed || p == nil || !slices.Contains(p.bindings, b) {
		return
	}
	if b.up = up; up {
		b.answered = time.Now()
	}
	b.timer.Reset(min(quiet, max(time.Until(b.Until), 0)))
	r.tell(p)
}

// expire ends a binding that has not been refreshed.
func (r *registrar) expire(taker call.TakerID, b *binding) {
	r.revise(taker, "registration expired", func(p *phone) []*binding {
		return slices.DeleteFunc(append([]*binding{}, p.bindings...), func(o *binding) bool { return o == b })
	})
}
