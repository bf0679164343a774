package siptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// comeUp switches the phone on and registers it.
func (p *person) comeUp(ctx context.Context, expires time.Duration, contacts int) error {
	if err := p.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lifetime)
	defer cancel()
	return p.phone.Bind(ctx, expires, contacts)
}

// refused makes a refusal of a REGISTER something that is seen.
func (p *person) refused(err error) error {
	if r, ok := errors.AsType[*Refused](err); ok {
		p.see(Event{At: time.Now(), Method: r.Method, Code: r.Code})
		return nil
	}
	return err
}

// do does what a clause says.
func (p *person) do(ctx context.Context, c clause) error {
	switch c.verb {
	case verbInvite:
		return p.invite(c)
	case verbRegisters:
		return p.refused(p.comeUp(ctx, c.seconds("expires"), c.number("contacts")))
	case verbSees:
		return p.sees(c)
	case verbPauses:
		return p.r.giveOrder(ctx, Order{By: p.taker.ID, Verb: "pause"})
	case verbReady:
		return p.r.giveOrder(ctx, Order{By: p.taker.ID, Verb: "ready"})
	case verbClassifies:
		of, err := p.r.lastCall(ctx, p.taker.ID, c.options["call"])
		if err != nil {
			return err
		}
		return p.r.giveOrder(ctx, Order{By: p.taker.ID, Verb: "classify", Of: of, Text: c.arg})
	}
	if p.phone == nil {
		return errors.New("the phone is off")
	}
	switch c.verb {
	case verbUnregisters:
		return p.refused(p.phone.Unregister(ctx))
	case verbDies:
		p.die()
		return nil
	}
	in, err := p.call(c)
	if err != nil {
		return err
	}
	return p.speak(in, c)
}

// speak does in a call what a clause says.
func (p *person) speak(in *Call, c clause) error {
	switch c.verb {
	case verbSends:
		if c.options["to"] != "" {
			in.Prepare(c.method(), c.code)
			return nil
		}
		return in.Respond(c.response())
	case verbBye:
		return in.Bye(c.list("reason")...)
	case verbCancel:
		return in.Cancel(c.list("reason")...)
	case verbReinvite, verbUpdate:
		return in.Modify(c.change())
	case verbHolds:
		return in.Hold()
	case verbResumes:
		return in.Resume()
	case verbRefer:
		var other *Call
		if name := c.options["replaces"]; name != "" {
			if other = p.named[name]; other == nil {
				return fmt.Errorf("there is no call %s", name)
			}
		}
		return in.Refer(c.arg, other)
	case verbPresses:
		return in.Press(c.arg[0])
	case verbSays:
		in.Say(c.length)
	}
	return nil
}

// giveOrder gives one order to the gateway.
func (r *runner) giveOrder(ctx context.Context, o Order) error {
	if !r.running {
		return errors.New("the gateway does not run")
	}
	return r.gateway.Order(ctx, o)
}

// invite makes a call. That of a caller is a call of the story.
func (p *person) invite(c clause) error {
	if err := p.open(); err != nil {
		return err
	}
	i := c.invite()
	i.Own = p.taker != nil
	made, err := p.phone.Invite(i)
	if err != nil {
		return err
	}
	p.enter(made)
	name := c.options["id"]
	if name != "" {
		p.name(name, made)
	}
	if p.taker != nil {
		return nil
	}
	if name == "" {
		name = p.r.callName(p.who)
	}
	p.r.calls = append(p.r.calls, placed{name, made.ID})
	return nil
}

// callName is the caller's name, with a number from the second call on.
func (r *runner) callName(who string) string {
	name := who
	for n := 2; slices.ContainsFunc(r.calls, func(c placed) bool { return c.name == name }); n++ {
		name = who + "-" + strconv.Itoa(n)
	}
	return name
}

func (p *person) enter(c *Call) {
	if c != nil && !slices.Contains(p.calls, c) {
		p.calls = append(p.calls, c)
	}
	p.current = c
}

// name gives a call of this phone a name; a name that is given again is that of the later call.
func (p *person) name(name string, c *Call) {
	p.enter(c)
	p.named[name] = c
}

// call is the call that a clause is about: the named one, else the latest one that the verb fits, else the last one
// that began.
func (p *person) call(c clause) (*Call, error) {
	if name := c.options["call"]; name != "" {
		if p.named[name] == nil {
			return nil, fmt.Errorf("there is no call %s", name)
		}
		return p.named[name], nil
	}
	replaced := p.named[c.options["replaces"]]
	for _, fits := range fitting(c) {
		for _, in := range slices.Backward(p.calls) {
			if in != replaced && in.is(fits) {
				return in, nil
			}
		}
	}
	if p.current == nil {
		return nil, errors.New("there is no call yet")
	}
	return p.current, nil
}

// fitting are the calls that a verb fits, the best ones first.
func fitting(c clause) []func(*Call) bool {
	open := func(c *Call) bool { return c.alive() && c.taken != nil && c.taken.final == 0 }
	made := func(c *Call) bool { return c.made != nil && !c.made.settled }
	talks := func(c *Call) bool { return c.state == talking }
	holds := func(c *Call) bool { return talks(c) && c.own.holds() }
	hears := func(c *Call) bool { return (talks(c) || made(c)) && !c.own.holds() }
	active := func(c *Call) bool { return talks(c) && !c.own.holds() }
	switch c.verb {
	case verbSends:
		if c.options["to"] == "" {
			return []func(*Call) bool{open}
		}
	case verbCancel:
		return []func(*Call) bool{made}
	case verbHears:
		return []func(*Call) bool{hears, talks}
	case verbResumes:
		return []func(*Call) bool{holds}
	case verbUpdate:
		return []func(*Call) bool{active, talks, open, made}
	}
	return []func(*Call) bool{active, talks}
}

// is asks a call that may be over, of a phone that may be off.
func (c *Call) is(what func(*Call) bool) bool {
	yes := false
	_ = c.phone.ask(func() error { yes = what(c); return nil })
	return yes
}
