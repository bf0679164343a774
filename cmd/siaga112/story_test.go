package main

import (
	"context"
	"errors"
	"flag"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/queue"
	"github.com/siaga112/siaga112/sip"
	"github.com/siaga112/siaga112/sip/siptest"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/web"
)

var update = flag.Bool("update", false, "write the journals and ends of the stories anew")

// Every story runs on the real gateway over a network in memory and a real store, in one bubble.
func TestStories(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "calls", "*.txtar"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d stories, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			siptest.RunStory(t, file, startStory, *update)
		})
	}
}

// story is the gateway of a story.
type story struct {
	*gateway
	gate    *gate
	stopped atomic.Bool
}

// gate stands before the store, and can stall.
type gate struct {
	*store.Store
	mu   sync.Mutex
	what siptest.Stall
}

// Stall is siptest.Staller's.
func (g *gate) Stall(what siptest.Stall) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.what = what
}

func (g *gate) stalled(what ...siptest.Stall) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Contains(what, g.what)
}

// Append is queue.Journal's.
func (g *gate) Append(es []call.Entry, done func(error)) {
	if g.stalled(siptest.StallDisk, siptest.StallJournal) {
		return
	}
	g.Store.Append(es, func(err error) {
		if !g.stalled(siptest.StallVerbs) {
			done(err)
		}
	})
}

// Keep is sip.Keeper's.
func (g *gate) Keep(id call.ID, l call.Leg, dialog []byte, done func(error)) {
	if !g.stalled(siptest.StallDisk) {
		g.Store.Keep(id, l, dialog, done)
	}
}

// Stall is siptest.Staller's.
func (s *story) Stall(what siptest.Stall) { s.gate.Stall(what) }

// startStory fills the store on the first start, then opens the gateway.
func startStory(t *testing.T, s siptest.Setting) siptest.Gateway {
	t.Helper()
	cfg, err := config.Parse(filepath.Join(s.Data, config.FileName), s.Config)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Sum = [32]byte{} // the folder's name is in it
	if !s.Again {
		fill(t, cfg, s)
	}
	st := &story{gate: &gate{}}
	st.gateway, err = open(cfg, parts{Net: s.Net, Log: zap.NewNop(), Kept: func(s *store.Store) (queue.Journal, sip.Keeper) {
		st.gate.Store = s
		return st.gate, st.gate
	}})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func fill(t *testing.T, cfg *config.Config, s siptest.Setting) {
	t.Helper()
	st, err := quietStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range s.Takers {
		if err := st.PutTaker(account(cfg.SIP.Realm, web.Account{Name: k.ID, Department: k.Department, Password: k.Password, Digest: k.Digest})); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range s.History {
		st.Append(c.Entries(call.NewID(call.Call, c.At), cfg.Trunks[0].Name, cfg.Trunks[0].Numbers[0], call.Party{Taker: "past"}), func(err error) {
			if err != nil {
				t.Errorf("history: %v", err)
			}
		})
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}

func quietStore(cfg *config.Config) (*store.Store, error) {
	return store.Open(cfg.Data, store.Options{Alarm: func(string, time.Time, string) {}, Log: zap.NewNop()})
}

// Stop ends the gateway as SIGTERM does.
func (s *story) Stop(ctx context.Context) error {
	err := s.End(ctx, s.cfg.SIP.OnStop)
	s.stopped.Store(true)
	return err
}

// Order is what a taker does at the console.
func (s *story) Order(ctx context.Context, o siptest.Order) error {
	return s.desk.Order(ctx, queue.Order{
		ID: call.NewID(call.Act, time.Now()), By: o.By, Verb: o.Verb, Of: o.Of, To: call.Party{Taker: o.By}, Text: o.Text,
	})
}

// with gives do the store: the gateway's own while it runs, else opened for this.
func (s *story) with(do func(*store.Store) error) error {
	if !s.stopped.Load() {
		return do(s.store)
	}
	st, err := quietStore(s.cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(st), st.Close())
}

// Calls are the entries of every call.
func (s *story) Calls(ctx context.Context) (all [][]call.Entry, err error) {
	err = s.with(func(st *store.Store) error {
		all, err = entriesOf(ctx, st)
		return err
	})
	return all, err
}

// Check verifies the store and counts what is open.
func (s *story) Check(ctx context.Context) (siptest.Counts, error) {
	var c siptest.Counts
	err := s.with(func(st *store.Store) error {
		r, err := st.Verify(ctx)
		if err != nil {
			return err
		}
		for _, b := range r.Bad {
			err = errors.Join(err, errors.New(b.String()))
		}
		c = siptest.Counts{Arrived: int(r.Arrived), Ended: int(r.Ended), Live: int(r.Live), Leaves: int(r.Records)}
		for range st.Kept() {
			c.Legs++
		}
		return err
	})
	if !s.stopped.Load() {
		c.Ports = s.line.PortsInUse()
	}
	return c, err
}
