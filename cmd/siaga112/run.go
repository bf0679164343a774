package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/queue"
	"github.com/siaga112/siaga112/queue/prank"
	"github.com/siaga112/siaga112/sip"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/web"
)

// parts are what a gateway is opened with, apart from its configuration.
type parts struct {
	Net    media.Net
	Log    *zap.Logger
	Socket bool                                           // serve the administration API
	Sealed func(call.Record)                              // sees each record once it is durable; may be nil, must not block
	Kept   func(*store.Store) (queue.Journal, sip.Keeper) // what the store is to desk and line; nil: itself
}

// gateway is the whole: the only place where the rooms meet.
type gateway struct {
	cfg    *config.Config
	log    *zap.Logger
	store  *store.Store
	desk   *queue.Queue
	line   *sip.Line
	admin  *http.Server // nil without a socket
	api    *web.Handler // of admin
	cancel context.CancelFunc
	wg     sync.WaitGroup
	over   sync.Once

	witnesses *audit.Witnesses
}

// open starts a gateway. What an earlier run left unfinished is taken up where it is; how long that takes depends on the live
// calls, not on the number of records. When it fails, nothing stays open.
func open(cfg *config.Config, p parts) (_ *gateway, err error) {
	g := &gateway{cfg: cfg, log: p.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	prompts, err := sounds(cfg)
	if err != nil {
		return nil, err
	}
	alarms := newAlarms(p.Log)
	g.witnesses = witnesses(cfg, alarms.set)
	o := storeOptions(cfg, alarms.set, p.Log.Named("store"), func(r call.Record) {
		g.desk.Filed(r)
		if p.Sealed != nil {
			p.Sealed(r)
		}
	})
	o.Checkpointed = g.witnesses.Push
	g.store, err = store.Open(cfg.Data, o)
	if err != nil {
		return nil, err
	}
	kept := p.Kept
	if kept == nil {
		kept = func(s *store.Store) (queue.Journal, sip.Keeper) { return s, s }
	}
	journal, keeper := kept(g.store)
	g.desk = queue.New(queue.Options{
		Queue: cfg.Queue, Answer: cfg.SIP.Answer, MaxCalls: cfg.SIP.MaxCalls,
		Scorer: prank.New(cfg.Prank.MaxDelay), Journal: journal, Alarm: alarms.set, Log: p.Log.Named("desk"), NewID: call.NewID,
	})
	size, err := g.store.Size() // what is sealed from now on is Filed
	if err != nil {
		return nil, err
	}
	if err := g.rememberLatest(size); err != nil {
		return nil, err
	}
	unfinished, gap, err := g.takeUp()
	if err != nil {
		return nil, err
	}
	g.line, err = sip.Open(sip.Options{
		Config: cfg, Net: p.Net, Prompts: prompts, Intake: g.desk, Keeper: keeper, Accounts: g.store,
		Secret: g.store.Secret(), Alarm: alarms.set, Log: p.Log,
	})
	if err != nil {
		return nil, err
	}
	g.line.Restore(unfinished, gap)
	g.desk.Start(g.line)
	if p.Socket {
		if err := g.serveAdmin(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.wg.Go(func() { g.beat(ctx) })
	g.wg.Go(func() { g.learn(ctx, size) })
	g.noteStart(ctx)
	g.wg.Go(func() { g.store.KeepCheckpoints(ctx) })
	g.wg.Go(func() { nights(ctx, g.store, cfg, alarms.set, p.Log.Named("store")) })
	return g, nil
}

// takeUp applies the journal's live entries to the desk, and tells it which calls have not ended and how long nobody was
// there for them: since the last heartbeat or entry of the earlier run. It returns that, and their legs that have not left.
func (g *gateway) takeUp() (unfinished map[call.ID][]call.Leg, gap time.Duration, err error) {
	unfinished = map[call.ID][]call.Leg{}
	alive := g.store.LastBeat()
	for entries, err := range g.store.Live() {
		if err != nil {
			return nil, 0, fmt.Errorf("read the live calls: %w", err)
		}
		for _, e := range entries {
			g.desk.Apply(e)
			if e.At.After(alive) {
				alive = e.At
			}
		}
		if legs, ended := openLegs(entries); !ended && entries[0].Of.Kind() == call.Call { // without a leg its end is due
			unfinished[entries[0].Of] = legs
		}
	}
	gap = max(0, time.Since(alive))
	for _, id := range slices.Sorted(maps.Keys(unfinished)) {
		g.desk.Tell(id, call.Restored{Node: g.cfg.Node, Gap: gap})
	}
	if len(unfinished) > 0 {
		g.log.Warn("the last run left live calls: they are taken up", zap.Int("calls", len(unfinished)), zap.Duration("nobody was there for", gap))
	}
	return unfinished, gap, nil
}

// openLegs are the legs of a call that have not left, the caller last, and whether the call has ended.
func openLegs(entries []call.Entry) (legs []call.Leg, ended bool) {
	caller, left := false, map[call.Leg]bool{}
	for _, e := range entries {
		switch ev := e.Event.(type) {
		case call.Arrived:
			caller = true
		case call.Offered:
			legs = append(legs, ev.Leg)
		case call.Left:
			left[ev.Leg] = true
		case call.Ended:
			return nil, true
		case call.Scored, call.Queued, call.Rang, call.Answered, call.RoleSet, call.Heard, call.Restored, call.Classified,
			call.TakerChanged, call.Acted:
		}
	}
	if caller {
		legs = append(legs, 0)
	}
	open := legs[:0]
	for _, l := range legs {
		if !left[l] {
			open = append(open, l)
		}
	}
	return open, false
}

// sounds are the prompts: the built-in ones, and what the configuration names.
func sounds(cfg *config.Config) (*media.Library, error) {
	read := func(key, file string) (*media.Prompt, error) {
		if file == "" {
			return nil, nil //nolint:nilnil // no file: the built-in sound
		}
		p, err := media.ReadPrompt(file)
		if err != nil {
			return nil, fmt.Errorf("%s: queue.%s: %w", cfg.File, key, err)
		}
		return p, nil
	}
	announcement, err := read("announcement", cfg.Queue.Announcement)
	if err != nil {
		return nil, err
	}
	music, err := read("music", cfg.Queue.Music)
	if err != nil {
		return nil, err
	}
	return media.NewLibrary(announcement, music), nil
}

// serveAdmin opens the administration socket.
func (g *gateway) serveAdmin() error {
	ln, err := web.Listen(filepath.Join(g.cfg.Data, config.SocketName))
	if err != nil {
		return err
	}
	g.api = web.New(g.backend(), g.log.Named("web"))
	g.admin = &http.Server{
		Handler: g.api, ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: zap.NewStdLog(g.log.Named("web")),
	}
	g.wg.Go(func() {
		if err := g.admin.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			g.log.Error("the administration socket has ended; calls go on", zap.Error(err))
		}
	})
	return nil
}

// beat writes the heartbeat each second while calls live: after a crash it tells how long nobody was there.
func (g *gateway) beat(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			if g.desk.View().Live > 0 {
				g.store.Beat(now)
			}
		}
	}
}

// Kill ends the gateway without a word to any peer, as a crash would.
func (g *gateway) Kill() {
	g.over.Do(func() {
		g.line.Kill()
		if err := g.close(); err != nil {
			g.log.Debug("killed", zap.Error(err))
		}
	})
}

// close ends the rooms in the order in which they use each other. It serves a gateway that is half open, too.
func (g *gateway) close() error {
	var err error
	if g.cancel != nil {
		g.cancel()
	}
	if g.admin != nil {
		err = g.admin.Close()
		g.api.Close()
	}
	if g.line != nil {
		g.line.Close()
	}
	if g.desk != nil {
		g.desk.Close()
	}
	g.wg.Wait()
	if g.store != nil {
		err = errors.Join(err, g.store.Close())
	}
	if g.witnesses != nil {
		g.witnesses.Close()
	}
	return err
}

// alarms writes one line when an alarm is raised and one when it is cleared.
type alarms struct {
	log    *zap.Logger
	mu     sync.Mutex
	raised map[string]time.Time
}

func newAlarms(log *zap.Logger) *alarms {
	return &alarms{log: log.Named("alarm"), raised: map[string]time.Time{}}
}

// set is the gateway's call.Alarm.
func (a *alarms) set(name string, since time.Time, text string) {
	a.mu.Lock()
	was, raised := a.raised[name]
	if since.IsZero() {
		delete(a.raised, name)
	} else if !raised {
		a.raised[name] = since
	}
	a.mu.Unlock()
	switch {
	case since.IsZero() && raised:
		a.log.Info("cleared: "+name, zap.Duration("lasted", time.Since(was)))
	case !since.IsZero() && !raised:
		a.log.Error(name+": "+text, zap.Time("since", since))
	}
}
