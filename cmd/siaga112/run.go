package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
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
	"github.com/siaga112/siaga112/web"
)

// goodbyes is how long a stop waits for the last call to end. A phone that answers nothing takes longer; it is then left.
// After that the line waits two seconds for its BYEs, and the store gives up two seconds after the last commit failed: five
// in all.
const goodbyes = time.Second

// parts are what a gateway is opened with, apart from its configuration.
type parts struct {
	Net    media.Net
	Log    *zap.Logger
	Socket bool              // serve the administration API
	Sealed func(call.Record) // sees each record once it is durable; may be nil, must not block
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
}

// open starts a gateway. What an earlier run left unfinished is taken up first: each of its peers gets a goodbye, and its
// records end as restart. When it fails, nothing stays open.
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
	g.store, err = store.Open(cfg.Data, store.Options{Alarm: alarms.set, Log: p.Log.Named("store"), Sealed: func(r call.Record) {
		g.desk.Filed(r)
		if p.Sealed != nil {
			p.Sealed(r)
		}
	}})
	if err != nil {
		return nil, err
	}
	scorer := prank.New(cfg.Prank.MaxDelay)
	g.desk = queue.New(queue.Options{
		Queue: cfg.Queue, Answer: cfg.SIP.Answer, MaxCalls: cfg.SIP.MaxCalls,
		Scorer: scorer, Journal: g.store, Alarm: alarms.set, Log: p.Log.Named("desk"), NewID: call.NewID,
	})
	if err := g.learn(scorer); err != nil {
		return nil, err
	}
	unfinished, alive, err := g.takeUp()
	if err != nil {
		return nil, err
	}
	for id := range unfinished {
		g.desk.Tell(id, call.Restored{Node: cfg.Node, Gap: max(0, time.Since(alive))})
	}
	g.line, err = sip.Open(sip.Options{
		Config: cfg, Net: p.Net, Prompts: prompts, Intake: g.desk, Keeper: g.store, Accounts: g.store,
		Secret: g.store.Secret(), Alarm: alarms.set, Log: p.Log,
	})
	if err != nil {
		return nil, err
	}
	g.line.Restore(unfinished)
	g.desk.Start(g.line)
	if p.Socket {
		if err := g.serveAdmin(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	g.wg.Go(func() { g.beat(ctx) })
	return g, nil
}

// takeUp applies the journal's live entries to the desk. It tells which legs of which calls have not left, and when the
// earlier run was alive for the last time: its last heartbeat or entry.
func (g *gateway) takeUp() (unfinished map[call.ID][]call.Leg, alive time.Time, err error) {
	unfinished, alive = map[call.ID][]call.Leg{}, g.store.LastBeat()
	for entries, err := range g.store.Live() {
		if err != nil {
			return nil, alive, fmt.Errorf("read the live calls: %w", err)
		}
		for _, e := range entries {
			g.desk.Apply(e)
			if e.At.After(alive) {
				alive = e.At
			}
		}
		if legs := openLegs(entries); len(legs) > 0 {
			unfinished[entries[0].Of] = legs
		}
	}
	return unfinished, alive, nil
}

// openLegs are the legs of an unfinished call that have not left, the caller last.
func openLegs(entries []call.Entry) []call.Leg {
	var legs []call.Leg
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
			return nil
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
	return open
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

// learn shows all sealed records to the scorer, and to the desk, which remembers whom each taker talked with last.
func (g *gateway) learn(scorer *prank.Scorer) error {
	for piece, err := range g.store.Scan(context.Background(), 0) {
		if err != nil {
			return fmt.Errorf("learn from the records: %w", err)
		}
		if piece.Of.Kind() != call.Call || len(piece.Body) == 0 {
			continue
		}
		r, err := call.ParseRecord(piece.Body)
		if err != nil {
			return fmt.Errorf("learn from record %d: %w", piece.Seq, err)
		}
		scorer.Learn(r)
		g.desk.Remember(r)
	}
	return nil
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

// Stop ends the gateway in order: intake stops, every leg gets its BYE or CANCEL, the records end as restart, all is
// committed. It takes five seconds at most; what a peer has not confirmed by then is over all the same. A second call does
// nothing.
func (g *gateway) Stop(ctx context.Context) (err error) {
	g.over.Do(func() { err = g.stop(ctx) })
	return err
}

func (g *gateway) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, goodbyes)
	defer cancel()
	err := g.desk.Order(ctx, queue.Order{ID: call.NewID(call.Act, time.Now()), Verb: queue.Stop})
	if err == nil {
		err = g.desk.Idle(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		g.log.Warn("some peers did not answer in time; their legs are ended without them")
		err = nil
	}
	return errors.Join(err, g.close()) //nolint:contextcheck // what must be said is said even when ctx is done
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
