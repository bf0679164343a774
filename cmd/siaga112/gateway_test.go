package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/web"
)

// settings is a configuration of the tests with real sockets: any free port, and the given keys of the file.
func settings(t *testing.T, data, answer, strategy string) *config.Config {
	t.Helper()
	cfg, err := config.Parse(filepath.Join(data, config.FileName), fmt.Appendf(nil, `
node: test
data: .
sip:
  listen: ["udp:%[1]s:0", "tcp:%[1]s:0"]
  answer: %[3]s
trunks: [{name: telkom, from: ["%[2]s/32"], numbers: ["112"], trust: pai}]
takers: {from: ["%[1]s/32"]}
queue: {ring_timeout: 10s, wrap_up: 0s, strategy: %[4]s}
`, gatewayIP, trunkIP, answer, strategy))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// enroll adds call takers to the store of a gateway that does not run; their password is their name and "-pw".
func enroll(t *testing.T, cfg *config.Config, takers ...string) {
	t.Helper()
	s, err := store.Open(cfg.Data, store.Options{Alarm: func(string, time.Time, string) {}, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range takers {
		if err := s.PutTaker(account(cfg.SIP.Realm, web.Account{Name: call.TakerID(name), Department: "PMI", Password: name + "-pw"})); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// running opens a gateway and stops it at the end of the test, when its ledger must balance and verify.
func running(t *testing.T, cfg *config.Config) *gateway {
	t.Helper()
	g, err := open(cfg, parts{Net: media.System(), Log: zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop: %v", err)
		}
		balanced(t, cfg)
	})
	return g
}

// balanced opens the store of a gateway that has stopped: its ledger must balance, with no live call, and verify.
func balanced(t *testing.T, cfg *config.Config) store.Report {
	t.Helper()
	s, err := store.Open(cfg.Data, store.Options{Alarm: func(string, time.Time, string) {}, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	r, err := s.Verify(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Bad) > 0 || r.Arrived != r.Ended || r.Live != 0 {
		t.Errorf("ledger: %d arrived, %d ended, %d live, bad: %v", r.Arrived, r.Ended, r.Live, r.Bad)
	}
	return r
}

// address is where the gateway's UDP listener stands.
func (g *gateway) address(network string) string { return g.line.Addr(network).String() }

// records are the folded calls in the gateway's store, by arrival.
func (g *gateway) records(t *testing.T) []call.Record {
	t.Helper()
	all, err := entriesOf(t.Context(), g.store)
	if err != nil {
		t.Fatal(err)
	}
	var out []call.Record
	for _, es := range all {
		out = append(out, call.Fold(slices.Values(es)))
	}
	return out
}

// entriesOf are the entries of every call, sealed or live, by arrival.
func entriesOf(ctx context.Context, s *store.Store) ([][]call.Entry, error) {
	by := map[call.ID][]call.Entry{}
	for piece, err := range s.Scan(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if piece.Of.Kind() != call.Call {
			continue
		}
		_, es, err := call.ParseBody(piece.Body)
		if err != nil {
			return nil, err
		}
		by[piece.Of] = append(by[piece.Of], es...)
	}
	for es, err := range s.Live() {
		if err != nil {
			return nil, err
		}
		if id := es[0].Of; id.Kind() == call.Call && by[id] == nil {
			by[id] = es
		}
	}
	var out [][]call.Entry
	for _, es := range by {
		out = append(out, es)
	}
	slices.SortFunc(out, func(a, b []call.Entry) int { return a[0].At.Compare(b[0].At) })
	return out, nil
}

// ready waits until the taker may be rung.
func (g *gateway) ready(t *testing.T, takers ...call.TakerID) {
	t.Helper()
	eventually(t, fmt.Sprintf("%v are ready", takers), func() bool {
		v := g.desk.View()
		n := 0
		for _, k := range v.Takers {
			if k.State == call.Ready && slices.Contains(takers, k.ID) {
				n++
			}
		}
		return n == len(takers)
	})
}

// live waits until so many calls live, as the ledger has it: what is decided is durable then.
func (g *gateway) live(t *testing.T, n uint64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d live calls", n), func() bool {
		_, _, live, err := g.store.Ledger()
		return err == nil && live == n
	})
}

// heardKey tells whether a key is in the journal of any call.
func (g *gateway) heardKey(t *testing.T, what string) bool {
	t.Helper()
	all, err := entriesOf(t.Context(), g.store)
	if err != nil {
		t.Fatal(err)
	}
	for _, es := range all {
		for _, e := range es {
			if h, ok := e.Event.(call.Heard); ok && h.What == what {
				return true
			}
		}
	}
	return false
}
