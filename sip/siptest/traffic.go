package siptest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/siaga112/siaga112/sip/media"
)

// Traffic is a trunk with callers and the phones of call takers, who behave as people do: pranksters call again and
// again, silent callers say nothing, some give up and call again, some are hung up on.
type Traffic struct {
	Net        media.Net      // zero: the system's
	Gateway    netip.AddrPort //
	Called     string         // empty: 112
	Callers    netip.Addr     // the trunk's address, from which all callers come
	Takers     []Taker        // their phones register, and answer by themselves
	People     []Person       // who may call; nil: a population of 200 of the seed
	Calls      int            // ends after so many attempts, redials among them; 0: when the context ends
	Rate       float64        // calls a second; 0: 2
	PrankShare float64        // of the calls, from pranksters: 0 to 1
	Seed       uint64         // the same seed attempts the same
	Talk       time.Duration  // mean; 0: 1.2 s
	Answer     time.Duration  // mean, from a phone's first ring to its answer; 0: 1.2 s
	Patience   time.Duration  // mean, of those who give up; 0: 2 s
	Wait       time.Duration  // the longest that anybody waits for a human; 0: 2 min
}

// Summary is what became of the traffic, as the phones saw it.
type Summary struct {
	Attempted int         // INVITEs of callers, redials among them
	Redialed  int         // of these, by somebody who had given up before
	Connected int         // the gateway answered
	Answered  int         // the caller heard a call taker
	HeardBack int         // the call taker heard the caller: silent callers are missing here
	Abandoned int         // the caller hung up before a human was heard
	Refused   map[int]int // by final status, other than 487
	Lost      int         // nobody answered the INVITE, or the call broke before a human was heard
}

// traffic is a Traffic that runs.
type traffic struct {
	Traffic
	trunk   *Phone
	phones  []*Phone
	callers sync.WaitGroup
	takers  sync.WaitGroup // those in a call; begun by their phones

	mu  sync.Mutex
	sum Summary
}

// Run makes the traffic and returns once the last call is over: after Calls attempts, or soon after the context ends,
// which is no error. It fails when a phone can't be opened or registered.
func (t Traffic) Run(ctx context.Context) (Summary, error) {
	r := &traffic{Traffic: t.filled(), sum: Summary{Refused: map[int]int{}}}
	err := r.open(ctx)
	if err == nil {
		r.makeCalls(ctx)
		err = r.unregister(ctx)
	}
	r.close()
	if err != nil {
		return r.sum, fmt.Errorf("traffic: %w", err)
	}
	return r.sum, nil
}

// makeCalls makes what is planned, until the context ends, and waits for the callers.
func (r *traffic) makeCalls(ctx context.Context) {
	begin := time.Now()
	for a := range r.plan() {
		if !wait(ctx, time.Until(begin.Add(a.at))) {
			break
		}
		r.callers.Go(func() { r.call(ctx, a) })
	}
	r.callers.Wait()
}

func (t Traffic) filled() Traffic {
	if t.Net.ListenPacket == nil {
		t.Net = media.System()
	}
	if t.Called == "" {
		t.Called = "112"
	}
	if len(t.People) == 0 {
		t.People = Population(t.Seed, 200)
	}
	if t.Rate <= 0 {
		t.Rate = 2
	}
	t.Talk = usual(t.Talk, 1200*time.Millisecond)
	t.Answer = usual(t.Answer, 1200*time.Millisecond)
	t.Patience = usual(t.Patience, 2*time.Second)
	t.Wait = usual(t.Wait, 2*time.Minute)
	return t
}

func usual(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// wait waits, unless the context ends first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// open opens the trunk's phone and registers those of the call takers.
func (r *traffic) open(ctx context.Context) error {
	trunk, err := Open(Options{Net: r.Net, Local: netip.AddrPortFrom(r.Callers, 0), Gateway: r.Gateway})
	if err != nil {
		return err
	}
	r.trunk = trunk
	for i, t := range r.Takers {
		d := newDesk(ctx, r, i)
		p, err := Open(Options{
			Net: r.Net, Local: netip.AddrPortFrom(t.Addr, 0), Gateway: r.Gateway,
			User: string(t.ID), Password: t.Password, Voice: Voice(i + 1),
			Reply: d.reply, Seen: d.see,
		})
		if err != nil {
			return err
		}
		r.phones = append(r.phones, p)
		if err := p.Register(ctx); err != nil {
			return err
		}
	}
	return nil
}

// unregister takes the registrations back, also when the context has ended, and waits for the last calls' ends.
func (r *traffic) unregister(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lifetime)
	defer cancel()
	var errs []error
	for _, p := range r.phones {
		errs = append(errs, p.Unregister(ctx), p.Idle(ctx))
	}
	return errors.Join(errs...)
}

func (r *traffic) close() {
	for _, p := range r.phones {
		p.Close()
	}
	if r.trunk != nil {
		r.trunk.Close()
	}
	r.takers.Wait()
}

func (r *traffic) count(f func(s *Summary)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.sum)
}

// call is one caller from INVITE to the end.
func (r *traffic) call(ctx context.Context, a attempt) {
	people := int(Voices) - len(r.Takers)
	c, err := r.trunk.Invite(Invite{Number: r.Called, From: a.who.Caller, Voice: Voice(len(r.Takers) + 1 + a.n%people)})
	r.count(func(s *Summary) {
		s.Attempted++
		if a.redial {
			s.Redialed++
		}
		if err != nil {
			s.Lost++
		}
	})
	if err != nil {
		return
	}
	patience := r.Wait
	if a.patience > 0 {
		patience = a.patience
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := c.AwaitVoice(waiting); err != nil {
		r.gone(c, waiting.Err() != nil)
		return
	}
	r.count(func(s *Summary) { s.Connected++; s.Answered++ })
	if a.who.Profile != Silent {
		c.Say(a.talk)
	}
	stay(ctx, c, a.talk)
	hangUp(c)
}

// gone counts a call that has come to nothing: the caller gave up, or it ended by itself.
func (r *traffic) gone(c *Call, gaveUp bool) {
	select {
	case <-c.Done():
		gaveUp = false
	default:
	}
	hangUp(c)
	code := c.Code()
	r.count(func(s *Summary) {
		if code >= 200 && code < 300 {
			s.Connected++
		}
		switch {
		case gaveUp:
			s.Abandoned++
		case code >= 300 && code != sip.StatusRequestTimeout && code != sip.StatusRequestTerminated:
			s.Refused[code]++
		default:
			s.Lost++
		}
	})
}

// stay is being in a call: for d, or until it is over or the context ends.
func stay(ctx context.Context, c *Call, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.Done():
	case <-t.C:
	case <-ctx.Done():
	}
}

// hangUp ends a call with what fits, BYE or CANCEL, and waits for its end. A 200 that crosses the CANCEL is hung up.
func hangUp(c *Call) {
	if c.Bye() != nil && c.Cancel() == nil {
		select {
		case <-c.Up():
			_ = c.Bye() // refused only where the call is over
		case <-c.Done():
		}
	}
	<-c.Done()
}

// desk is one call taker of a traffic.
type desk struct {
	r      *traffic
	ctx    context.Context // that of Run, for the calls that come to the phone
	random *rand.Rand      // owned by the phone's goroutine
}

func newDesk(ctx context.Context, r *traffic, n int) *desk {
	return &desk{r: r, ctx: ctx, random: rand.New(rand.NewPCG(r.Seed, uint64(n)))}
}

// reply rings at once and answers after a while.
func (d *desk) reply(*Call) Reply { return Reply{Answer: d.r.scaled(d.random, d.r.Answer)} }

// see begins to serve each new call.
func (d *desk) see(e Event) {
	if e.Method != string(sip.INVITE) || e.Code != 0 || e.Call == nil {
		return
	}
	stay := 3*d.r.Talk + 2*time.Second
	if d.random.IntN(3) == 0 {
		stay = d.r.scaled(d.random, d.r.Talk)
	}
	d.r.takers.Go(func() { d.serve(e.Call, stay) })
}

// greeting is how long a call taker speaks first.
const greeting = 600 * time.Millisecond

// serve speaks with a caller and hangs up first if the caller does not.
func (d *desk) serve(c *Call, most time.Duration) {
	select {
	case <-c.Up():
	case <-c.Done():
		return
	}
	c.Say(greeting)
	stay(d.ctx, c, max(most, greeting))
	hangUp(c)
	if _, err := c.AwaitVoice(d.ctx); err == nil {
		d.r.count(func(s *Summary) { s.HeardBack++ })
	}
}

// attempt is one call that somebody means to make.
type attempt struct {
	n        int // from 0, in the order of the calls
	at       time.Duration
	who      Person
	talk     time.Duration
	patience time.Duration // gives up after so long without a human; 0: has all the time
	redial   bool          // the second attempt of somebody who gave up
}

// quitter is the attempt of each twentyfive that gives up for sure, and calls again.
const quitter = 4

// plan is what is attempted: the same for the same Traffic, whatever becomes of the calls. It has no end when Calls is 0.
func (t Traffic) plan() iter.Seq[attempt] {
	return func(yield func(attempt) bool) {
		r := rand.New(rand.NewPCG(t.Seed, 911))
		var again []attempt // redials, the next one first
		at := time.Duration(0)
		for n := 0; t.Calls == 0 || n < t.Calls; n++ {
			a := attempt{at: at}
			if len(again) > 0 && again[0].at <= at {
				a, again = again[0], again[1:]
			} else {
				a = t.attempt(r, n, at)
				at += t.gap(r)
			}
			a.n = n
			if a.patience > 0 && !a.redial && (n%25 == quitter || r.IntN(2) == 0) {
				b := a
				b.at, b.patience, b.redial = a.at+a.patience+t.scaled(r, t.Patience), 0, true
				again = append(again, b)
				slices.SortStableFunc(again, func(x, y attempt) int { return int(x.at - y.at) })
			}
			if !yield(a) {
				return
			}
		}
	}
}

// attempt draws one.
func (t Traffic) attempt(r *rand.Rand, n int, at time.Duration) attempt {
	a := attempt{at: at, who: t.somebody(r), talk: t.scaled(r, t.Talk)}
	if a.who.Profile == Prankster || a.who.Profile == Silent {
		a.talk /= 2
	}
	switch {
	case n%25 == quitter:
		a.patience = t.Answer / 4
	case r.IntN(10) == 0:
		a.patience = t.scaled(r, t.Patience)
	}
	return a
}

// gap is the time to the next call: of a Poisson stream, without its longest waits.
func (t Traffic) gap(r *rand.Rand) time.Duration {
	return time.Duration(min(r.ExpFloat64(), 3) / t.Rate * float64(time.Second))
}

// scaled is a time between half and one and a half of d.
func (t Traffic) scaled(r *rand.Rand, d time.Duration) time.Duration {
	return time.Duration((0.5 + r.Float64()) * float64(d))
}

// somebody draws a caller: a prankster with the probability PrankShare, else one of the others.
func (t Traffic) somebody(r *rand.Rand) Person {
	pranks := r.Float64() < t.PrankShare
	for range 1000 {
		if p := t.People[r.IntN(len(t.People))]; (p.Profile == Prankster) == pranks {
			return p
		}
	}
	return t.People[r.IntN(len(t.People))] // a population of one kind only
}
