package siptest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"
)

// registration is the state of a phone's binding at the registrar (RFC 3261, 10). Owned by the phone's loop.
type registration struct {
	id  string // Call-ID, the same for all of one phone's
	tag string
	seq uint32
	credentials
	contacts []*door
	refresh  *task
}

func newRegistration() registration { return registration{id: token(), tag: token()} }

// Register registers the phone and keeps the registration until Unregister or Close. A refusal is *Refused; when a
// later refresh fails, that is an Event of the method REGISTER.
func (p *Phone) Register(ctx context.Context) error { return p.registered(ctx, p.o.Expires, 0) }

// Bind is Register for another time than the phone's, with so many contacts (RFC 3261, 10.2.1); 0: as before. Calls are
// taken at each of them.
func (p *Phone) Bind(ctx context.Context, expires time.Duration, contacts int) error {
	if expires == 0 {
		expires = p.o.Expires
	}
	return p.registered(ctx, expires, contacts)
}

// Unregister takes the registration back.
func (p *Phone) Unregister(ctx context.Context) error { return p.registered(ctx, 0, 0) }

func (p *Phone) registered(ctx context.Context, expires time.Duration, contacts int) error {
	result := make(chan error, 1)
	err := p.ask(func() error {
		for len(p.reg.contacts) < contacts {
			d, err := p.another()
			if err != nil {
				return err
			}
			p.reg.contacts = append(p.reg.contacts, d)
		}
		p.later.drop(p.reg.refresh)
		p.register(expires, 1, func(err error) { result <- err })
		return nil
	})
	if err != nil {
		return fmt.Errorf("register %s: %w", p.o.User, err)
	}
	select {
	case err = <-result:
	case <-p.done:
		err = ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", p.o.User, err)
	}
	return nil
}

// register sends a REGISTER and tells how it ended; it answers that many challenges.
func (p *Phone) register(expires time.Duration, tries int, done func(error)) {
	p.reg.seq++
	from := p.ownAddress(p.reg.tag)
	req := p.newRequest(p.home, sip.REGISTER, p.gatewayURI(""), from, p.gatewayURI(p.o.User), p.reg.id, p.reg.seq)
	seconds := sip.ExpiresHeader(expires / time.Second)
	for _, d := range p.reg.contacts {
		req.AppendHeader(&sip.ContactHeader{Address: d.uri(p.o.User)})
	}
	req.AppendHeader(&seconds)
	if err := p.reg.authorize(req, p.o.User, p.o.Password); err != nil {
		done(err)
		return
	}
	p.request(p.home, req, Plain, p.o.Gateway, func(res *sip.Response) {
		switch {
		case res == nil:
			done(ErrNoAnswer)
		case res.StatusCode < 200:
		case res.StatusCode < 300:
			p.keep(expires, res)
			done(nil)
		case challenges(res) && tries > 0 && p.o.Password != "" && p.reg.challenged(res):
			p.register(expires, tries-1, done)
		default:
			p.reg.challenge = nil
			done(&Refused{Method: string(sip.REGISTER), Code: res.StatusCode})
		}
	})
}

// keep plans the refresh at half of the time that was granted.
func (p *Phone) keep(expires time.Duration, res *sip.Response) {
	if expires == 0 {
		return
	}
	p.reg.refresh = p.later.add(p.granted(expires, res)/2, func() {
		p.register(expires, 1, func(err error) {
			if err != nil {
				e := Event{Method: string(sip.REGISTER), Lost: true}
				if r, ok := errors.AsType[*Refused](err); ok {
					e.Lost, e.Code = false, r.Code
				}
				p.seen(e)
			}
		})
	})
}

// granted is how long the registrar keeps this phone's contact: from its Contact, else from Expires.
func (p *Phone) granted(asked time.Duration, res *sip.Response) time.Duration {
	for _, h := range res.GetHeaders("Contact") {
		c, ok := h.(*sip.ContactHeader)
		if !ok || c.Address.Host != p.home.addr.Addr().String() || c.Address.Port != int(p.home.addr.Port()) {
			continue
		}
		if n, err := strconv.Atoi(c.Params.GetOr("expires", "")); err == nil && n > 0 {
			return time.Duration(n) * time.Second
		}
	}
	if h := res.GetHeader("Expires"); h != nil {
		if n, err := strconv.Atoi(h.Value()); err == nil && n > 0 {
			return time.Duration(n) * time.Second
		}
	}
	return asked
}
