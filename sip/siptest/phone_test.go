package siptest_test

import (
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/siptest"
)

// diary keeps what a phone saw.
type diary struct {
	mu     sync.Mutex
	events []siptest.Event
}

func (d *diary) see(e siptest.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
}

func (d *diary) words() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, e := range d.events {
		all = append(all, e.String())
	}
	return all
}

func (d *diary) last() siptest.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.events[len(d.events)-1]
}

func openPhone(t *testing.T, n *siptest.Network, ip string, o siptest.Options) (*siptest.Phone, *diary) {
	t.Helper()
	d := &diary{}
	addr := netip.MustParseAddr(ip)
	o.Net, o.Local, o.Gateway, o.Seen = n.Net(), netip.AddrPortFrom(addr, 5060), gatewayAddr, d.see
	p, err := siptest.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, d
}

var anna = siptest.Taker{ID: "anna", Password: "pw"}

func openTaker(t *testing.T, n *siptest.Network, o siptest.Options) (*siptest.Phone, *diary) {
	t.Helper()
	o.User, o.Password, o.Voice = "anna", "pw", 1
	p, d := openPhone(t, n, "10.0.1.1", o)
	if err := p.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p, d
}

func invite(t *testing.T, p *siptest.Phone) *siptest.Call {
	t.Helper()
	c, err := p.Invite(siptest.Invite{
		Number: "112", From: call.Caller{Number: siptest.Number(1), Trust: call.Asserted}, Voice: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		f := startFake(t, n, anna)
		p, d := openTaker(t, n, siptest.Options{})
		if got := f.saw("REGISTER"); got != 2 {
			t.Errorf("%d REGISTER, want 2: one challenged, one answered", got)
		}
		time.Sleep(10*time.Minute + time.Second) // 60 s were granted: a refresh each 30 s
		if got := f.saw("REGISTER"); got != 22 {
			t.Errorf("%d REGISTER after ten minutes, want 22", got)
		}
		if err := p.Unregister(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * time.Minute)
		if got := f.saw("REGISTER"); got != 23 {
			t.Errorf("%d REGISTER after it was taken back, want 23", got)
		}
		if code, err := p.Options(t.Context()); code != 200 || err != nil {
			t.Errorf("Options = %d, %v", code, err)
		}
		if got := d.words(); got != nil {
			t.Errorf("saw %v", got)
		}
	})
}

func TestRegisterRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		startFake(t, n, anna)
		p, _ := openPhone(t, n, "10.0.1.1", siptest.Options{User: "anna", Password: "wrong"})
		var refused *siptest.Refused
		if err := p.Register(t.Context()); !errors.As(err, &refused) || refused.Code != 403 {
			t.Errorf("Register with a wrong password: %v, want 403", err)
		}
		q, _ := openPhone(t, n, "10.0.1.2", siptest.Options{User: "anna"})
		if err := q.Register(t.Context()); !errors.As(err, &refused) || refused.Code != 401 {
			t.Errorf("Register without a password: %v, want 401", err)
		}
	})
}

func TestRequestsAreRepeatedUntilAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		f := startFake(t, n)
		p, d := openPhone(t, n, "10.0.2.1", siptest.Options{})
		back := func(fate siptest.Fate) { n.Link(gatewayAddr.Addr(), netip.MustParseAddr("10.0.2.1"), fate) }
		back(siptest.Lost)
		invite(t, p)
		time.Sleep(3600 * time.Millisecond) // at 0, 0.5, 1.5, 3.5 s
		if got := f.saw("INVITE"); got != 4 {
			t.Errorf("%d INVITE in 3.6 s, want 4", got)
		}
		time.Sleep(30 * time.Second)
		if diff := cmp.Diff([]string{"no-answer"}, d.words()); diff != "" {
			t.Error(diff)
		}
		begin := time.Now()
		if _, err := p.Options(t.Context()); !errors.Is(err, siptest.ErrNoAnswer) {
			t.Errorf("Options: %v, want ErrNoAnswer", err)
		}
		if got := time.Since(begin); got != 32*time.Second {
			t.Errorf("gave up after %s, want 32s", got)
		}
		if got := f.saw("OPTIONS"); got != 11 { // at 0, 0.5, 1.5, 3.5, 7.5, 11.5 … 31.5 s
			t.Errorf("%d OPTIONS, want 11", got)
		}
	})
}

func TestACallFromBothSides(t *testing.T) {
	for name, link := range map[string]siptest.Fate{"whole": nil, "doubled": siptest.Doubled} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.NewNetwork()
				startFake(t, n, anna)
				_, taken := openTaker(t, n, siptest.Options{})
				p, made := openPhone(t, n, "10.0.2.1", siptest.Options{})
				n.Link(gatewayAddr.Addr(), netip.MustParseAddr("10.0.2.1"), link)
				n.Link(gatewayAddr.Addr(), netip.MustParseAddr("10.0.1.1"), link)
				c := invite(t, p)
				<-c.Up()
				time.Sleep(time.Second)
				other := taken.last().Call
				for _, code := range []int{180, 200} {
					if err := other.Answer(code); err != nil {
						t.Fatal(err)
					}
				}
				<-other.Up()
				other.Say(time.Second)
				time.Sleep(2 * time.Second)
				c.Say(500 * time.Millisecond)
				time.Sleep(time.Second)
				wantVoices(t, c, siptest.Prompt, 1)
				wantVoices(t, other, 2)
				if sent, _ := c.Packets(); sent != 25 {
					t.Errorf("sent %d packets in 500 ms, want 25", sent)
				}
				if err := c.Bye(); err != nil {
					t.Error(err)
				}
				<-c.Done()
				<-other.Done()
				if c.Code() != 200 || other.Code() != 200 {
					t.Errorf("codes %d and %d, want 200", c.Code(), other.Code())
				}
				if err := other.Bye(); !errors.Is(err, siptest.ErrState) {
					t.Errorf("Bye after the end: %v, want ErrState", err)
				}
				time.Sleep(time.Minute)
				if diff := cmp.Diff([]string{"200"}, made.words()); diff != "" {
					t.Errorf("caller: %s", diff)
				}
				if diff := cmp.Diff([]string{"INVITE", "BYE"}, taken.words()); diff != "" {
					t.Errorf("taker: %s", diff)
				}
				if cause := taken.last().Cause; cause != 200 {
					t.Errorf("cause %d, want 200", cause)
				}
			})
		})
	}
}

func wantVoices(t *testing.T, c *siptest.Call, want ...siptest.Voice) {
	t.Helper()
	var got []siptest.Voice
	for _, h := range c.Heard() {
		got = append(got, h.Voice)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("heard: %s", diff)
	}
}

func TestAnswersByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		f := startFake(t, n, anna)
		_, taken := openTaker(t, n, siptest.Options{Reply: func(*siptest.Call) siptest.Reply {
			return siptest.Reply{Ring: time.Second, Answer: 2 * time.Second}
		}})
		p, _ := openPhone(t, n, "10.0.2.1", siptest.Options{})
		begin := time.Now()
		c := invite(t, p)
		<-c.Up()
		time.Sleep(10 * time.Millisecond)
		other := taken.last().Call
		<-other.Up()
		if d := time.Since(begin).Round(100 * time.Millisecond); d != 3*time.Second {
			t.Errorf("up after %s, want 3s", d)
		}
		if got := f.saw("180 INVITE"); got != 1 {
			t.Errorf("%d ringing, want 1", got)
		}
		if err := other.Bye(); err != nil {
			t.Error(err)
		}
		<-c.Done()
		<-other.Done()

		d := invite(t, p)
		<-d.Up()
		time.Sleep(500 * time.Millisecond)
		if err := d.Bye(); err != nil { // the fake offers each taker once a call: still in its first second
			t.Error(err)
		}
		<-d.Done()
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"INVITE", "INVITE", "CANCEL"}, taken.words()); diff != "" {
			t.Error(diff)
		}
		if got := f.saw("487 INVITE"); got != 1 {
			t.Errorf("%d terminated, want 1", got)
		}
	})
}

func TestFinalsAreRepeatedUntilAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		f := startFake(t, n, anna)
		_, taken := openTaker(t, n, siptest.Options{})
		p, _ := openPhone(t, n, "10.0.2.1", siptest.Options{})
		invite(t, p)
		time.Sleep(time.Second)
		n.Link(gatewayAddr.Addr(), netip.MustParseAddr("10.0.1.1"), siptest.Lost)
		other := taken.last().Call
		if err := other.Answer(200); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3600 * time.Millisecond)
		if got := f.saw("200 INVITE"); got != 4 {
			t.Errorf("%d times 200 in 3.6 s, want 4", got)
		}
		select {
		case <-other.Up():
			t.Error("up without an ACK")
		default:
		}
		time.Sleep(35 * time.Second)
		if diff := cmp.Diff([]string{"INVITE", "no-ack"}, taken.words()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCancelAndRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		startFake(t, n)
		p, d := openPhone(t, n, "10.0.2.1", siptest.Options{})
		c, err := p.Invite(siptest.Invite{Number: "911"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Answer(200); !errors.Is(err, siptest.ErrState) {
			t.Errorf("Answer of one's own call: %v, want ErrState", err)
		}
		if err := c.Bye(); !errors.Is(err, siptest.ErrState) {
			t.Errorf("Bye before the answer: %v, want ErrState", err)
		}
		<-c.Done()
		if err := c.Cancel(); !errors.Is(err, siptest.ErrState) {
			t.Errorf("Cancel after the answer: %v, want ErrState", err)
		}
		if diff := cmp.Diff([]string{"404"}, d.words()); diff != "" {
			t.Error(diff)
		}
		p.Close()
		if _, err := p.Invite(siptest.Invite{Number: "112"}); err == nil {
			t.Error("Invite of a closed phone succeeded")
		}
		if err := p.Register(t.Context()); !errors.Is(err, siptest.ErrClosed) {
			t.Errorf("Register of a closed phone: %v, want ErrClosed", err)
		}
		if got := n.Host(netip.MustParseAddr("10.0.2.1")).Open(); got != 0 {
			t.Errorf("%d sockets are left", got)
		}
	})
}
