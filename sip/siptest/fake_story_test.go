package siptest_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/siptest"
)

// Kill, Stop, Order, Calls and Check are those of siptest.Gateway.
func (f *fake) Kill() {
	close(f.done)
	_ = f.conn.Close()
	f.wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range append(slices.Clone(f.calls), f.own...) {
		for _, l := range []*fakeLeg{c.caller, c.taker} {
			if l != nil {
				f.shut(l)
				l.wg.Wait()
			}
		}
	}
}

func (f *fake) Stop(context.Context) error {
	f.mu.Lock()
	for _, c := range f.calls {
		if !c.over {
			f.note(c, call.Restored{Node: "fake"})
			f.left(c, &fakeLeg{end: true})
		}
	}
	f.stopped = true
	f.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	f.Kill()
	return nil
}

func (f *fake) Order(_ context.Context, o siptest.Order) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c.id == o.Of && o.Verb == "classify" {
			f.note(c, call.Classified{By: o.By, Kind: call.Kind(o.Text)})
			return nil
		}
	}
	return errors.New("no such call")
}

func (f *fake) Calls(context.Context) ([][]call.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all [][]call.Entry
	for _, c := range f.calls {
		all = append(all, c.entries)
	}
	return all, nil
}

func (f *fake) Check(context.Context) (siptest.Counts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := siptest.Counts{Arrived: len(f.calls)}
	for _, c := range f.calls {
		if c.over {
			n.Ended++
			n.Leaves++
			continue
		}
		n.Live++
		n.Legs++
		n.Ports++
	}
	return n, nil
}

var gatewayAddr = netip.MustParseAddrPort("10.0.0.1:5060")

func startFake(t *testing.T, n *siptest.Network, takers ...siptest.Taker) *fake {
	t.Helper()
	f, err := newFake(n.Host(gatewayAddr.Addr()).Net(), gatewayAddr, takers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Kill)
	return f
}
