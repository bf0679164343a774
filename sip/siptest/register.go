package siptest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// registration is the state of a phone's binding at the registrar (RFC 3261, 10). Owned by the phone's loop.
type registration struct {
	id        string // Call-ID, the same for all of one phone's
	tag       string
	seq       uint32
	challenge *digest.Challenge
	count     int // of requests with the challenge's nonce
	refresh   *task
}

func newRegistration() registration { return registration{id: token(), tag: token()} }

// Register registers the phone and keeps the registration until Unregister or Close. A refusal is *Refused; when a
// later refresh fails, that is an Event of the method REGISTER.
func (p *Phone) Register(ctx context.Context) error { return p.registered(ctx, p.o.Expires) }

// Unregister takes the registration back.
func (p *Phone) Unregister(ctx context.Context) error { return p.registered(ctx, 0) }

func (p *Phone) registered(ctx context.Context, expires time.Duration) error {
	result := make(chan error, 1)
	err := p.ask(func() error {
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
func (p *Phone) register(expires time.Duration, challenges int, done func(error)) {
	p.reg.seq++
	from := p.ownAddress(p.reg.tag)
	req := p.newRequest(sip.REGISTER, p.gatewayURI(""), from, p.gatewayURI(p.o.User), p.reg.id, p.reg.seq)
	seconds := sip.ExpiresHeader(expires / time.Second)
	req.AppendHeader(&sip.ContactHeader{Address: p.contact(p.o.User)})
	req.AppendHeader(&seconds)
	if err := p.authorize(req); err != nil {
		done(err)
		return
	}
	p.request(req, p.o.Gateway, func(res *sip.Response) {
		switch {
		case res == nil:
			done(ErrNoAnswer)
		case res.StatusCode < 200:
		case res.StatusCode < 300:
			p.keep(expires, res)
			done(nil)
		case res.StatusCode == sip.StatusUnauthorized && challenges > 0 && p.o.Password != "" && p.challenged(res):
			p.register(expires, challenges-1, done)
		default:
			p.reg.challenge = nil
			done(&Refused{Method: string(sip.REGISTER), Code: res.StatusCode})
		}
	})
}

// challenged takes the first challenge that the phone can answer: MD5, as most softphones.
func (p *Phone) challenged(res *sip.Response) bool {
	for _, h := range res.GetHeaders("WWW-Authenticate") {
		c, err := digest.ParseChallenge(h.Value())
		if err != nil || c.Algorithm != "" && c.Algorithm != "MD5" || !digest.CanDigest(c) {
			continue
		}
		p.reg.challenge, p.reg.count = c, 0
		return true
	}
	return false
}

// authorize adds the credentials, once there was a challenge.
func (p *Phone) authorize(req *sip.Request) error {
	if p.reg.challenge == nil {
		return nil
	}
	p.reg.count++
	c, err := digest.Digest(p.reg.challenge, digest.Options{
		Method: string(req.Method), URI: req.Recipient.String(), Count: p.reg.count,
		Username: p.o.User, Password: p.o.Password,
	})
	if err != nil {
		return err
	}
	req.AppendHeader(sip.NewHeader("Authorization", c.String()))
	return nil
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
		if !ok || c.Address.Host != p.addr.Addr().String() || c.Address.Port != int(p.addr.Port()) {
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
