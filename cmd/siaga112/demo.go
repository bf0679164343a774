package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/queue"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/siptest"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

// demoConfig is the demonstration's gateway: any free ports of loopback, and a short wrap-up.
const demoConfig = `
node: demo
data: .
sip: {listen: ["udp:127.0.0.1:0"]}
trunks: [{name: simulated, from: ["127.0.0.2/32"], numbers: ["112"], trust: pai}]
takers: {from: ["127.0.0.1/32"]}
queue: {wrap_up: 1s}
`

// demoTrunk is where all simulated callers come from.
var demoTrunk = netip.MustParseAddr("127.0.0.2")

// departments lend the simulated call takers.
var departments = []string{"BPBD", "Dinkes", "Damkar", "Satpol PP", "Diskominfo"}

// pastDays is how far back the history goes that the scorer learns from.
const pastDays = 30

type demoCommand struct {
	Calls      int     `default:"0" help:"End after so many calls; 0: when Ctrl-C is pressed."`
	Rate       float64 `default:"2" help:"Calls a second."`
	Takers     int     `default:"4" help:"Call takers."`
	PrankShare float64 `default:"0.6" help:"Share of the calls that pranksters make, 0 to 1."`
	Seed       uint64  `default:"112" help:"The same seed makes the same callers."`
	Data       string  `type:"path" placeholder:"DIR" help:"Folder of the store; default: a new temporary one."`
}

// Validate checks the flags (kong calls it).
func (d demoCommand) Validate() error {
	switch {
	case d.Calls < 0, d.Rate <= 0, d.Rate > 50:
		return errors.New("--calls is 0 or more, --rate over 0 and at most 50")
	case d.Takers < 1 || d.Takers > 50:
		return errors.New("--takers is 1 to 50")
	case d.PrankShare < 0 || d.PrankShare > 1:
		return errors.New("--prank-share is 0 to 1")
	}
	return nil
}

// demo is a demonstration under way.
type demo struct {
	demoCommand
	cfg    *config.Config
	people []siptest.Person
	kinds  map[string]siptest.Person // by number
	staff  []siptest.Taker
	gw     *gateway
	orders sync.WaitGroup // classifications under way
}

// Run shows the main job: simulated callers and call takers over real SIP and RTP on loopback, through the real gateway.
// It fails unless the ledger balances and the whole store verifies.
func (d demoCommand) Run(ctx context.Context, t terminal) error {
	r := &demo{demoCommand: d}
	if err := r.prepare(); err != nil {
		return err
	}
	before, err := r.history(ctx)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	fmt.Fprintf(t.out, "data: %s\nhistory: %d past calls of %d people\n", r.cfg.Data, before.Ended, len(r.people))
	sum, err := r.traffic(ctx, t)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "callers: %d calls (%d redials), %d connected, %d talked with a call taker, %d hung up before, %d lost\n",
		sum.Attempted, sum.Redialed, sum.Connected, sum.Answered, sum.Abandoned, sum.Lost)
	return r.report(context.WithoutCancel(ctx), t, before)
}

// prepare makes the folder, the configuration and the people.
func (d *demo) prepare() (err error) {
	if d.Data == "" {
		if d.Data, err = os.MkdirTemp("", "siaga112-demo-"); err != nil {
			return err
		}
	} else if err = os.MkdirAll(d.Data, 0o700); err != nil {
		return err
	}
	if d.cfg, err = config.Parse(filepath.Join(d.Data, config.FileName), []byte(demoConfig)); err != nil {
		return err
	}
	d.people, d.kinds = siptest.Population(d.Seed, 200), map[string]siptest.Person{}
	for _, p := range d.people {
		d.kinds[p.Caller.Number] = p
	}
	for i := range d.Takers {
		d.staff = append(d.staff, siptest.Taker{
			ID: call.TakerID(fmt.Sprintf("petugas%d", i+1)), Password: rand.Text(),
			Department: departments[i%len(departments)], Addr: netip.MustParseAddr("127.0.0.1"),
		})
	}
	return nil
}

// history gives a new store the takers and a month of sealed records of the same people, from which the scorer learns.
func (d *demo) history(ctx context.Context) (report web.Report, err error) {
	s, err := store.Open(d.cfg.Data, store.Options{Log: zap.NewNop()})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, t := range d.staff {
		if err := s.PutTaker(account(d.cfg.SIP.Realm, web.Account{Name: t.ID, Department: t.Department, Password: t.Password})); err != nil {
			return report, err
		}
	}
	if n, err := s.Size(); err != nil || n > 0 {
		report.Arrived, report.Ended, report.Live, err = s.Ledger()
		return report, err
	}
	past := siptest.Past(d.people, time.Now(), pastDays, d.Seed)
	failed := make(chan error, len(past))
	for i, c := range past {
		t := d.staff[i%len(d.staff)]
		es := c.Entries(call.NewID(call.Call, c.At), d.cfg.Trunks[0].Name, "112", call.Party{Taker: t.ID, Department: t.Department})
		s.Append(es, func(err error) { failed <- err })
	}
	for range past {
		select {
		case e := <-failed:
			err = errors.Join(err, e)
		case <-ctx.Done():
			return report, ctx.Err()
		}
	}
	if err == nil {
		report.Arrived, report.Ended, report.Live, err = s.Ledger()
	}
	return report, err
}

// traffic runs the gateway and the simulated people until the last call is over.
func (d *demo) traffic(ctx context.Context, t terminal) (siptest.Summary, error) {
	logFile, err := os.Create(filepath.Join(d.cfg.Data, "siaga112.log"))
	if err != nil {
		return siptest.Summary{}, err
	}
	defer func() { _ = logFile.Close() }() // a log that is short at its end is no reason to fail
	log, flush := logger(d.cfg.Log, logFile)
	defer flush()
	//nolint:contextcheck // the gateway outlives no context of its opener: Stop ends it
	d.gw, err = open(d.cfg, parts{Net: media.System(), Log: log, Socket: true, Sealed: d.classify})
	if err != nil {
		return siptest.Summary{}, err
	}
	watching, over := context.WithCancel(ctx)
	var view sync.WaitGroup
	view.Go(func() { watch(watching, t.out, d.gw.desk) })
	sum, err := siptest.Traffic{
		Gateway: d.gw.line.Addr("UDP"), Callers: demoTrunk, Takers: d.staff, People: d.people,
		Calls: d.Calls, Rate: d.Rate, PrankShare: d.PrankShare, Seed: d.Seed,
	}.Run(ctx)
	over()
	view.Wait()
	last := context.WithoutCancel(ctx)
	if err == nil {
		err = d.gw.desk.Idle(last)
	}
	d.orders.Wait()
	return sum, errors.Join(err, d.gw.Stop(last))
}

// classify does what a call taker does after a call: it says what kind it was, a silent call taker now and then nothing.
func (d *demo) classify(r call.Record) {
	if r.Outcome != call.WasAnswered || r.Kind != "" {
		return
	}
	p, ok := d.kinds[r.Caller.Number]
	if !ok || r.Caller.Number == "" {
		p.Profile = siptest.Withheld
	}
	roll := mrand.New(mrand.NewPCG(d.Seed, uint64(len(r.SIPCallID)))).Float64()
	d.orders.Go(func() {
		o := queue.Order{Verb: queue.Classify, Of: r.Of, By: r.Taker, Text: string(p.Kind(roll))}
		if err := d.gw.desk.Order(context.Background(), o); err != nil {
			d.gw.log.Warn("not classified", zap.String("call", string(r.Of)), zap.Error(err))
		}
	})
}

// report verifies the store, exports it, and prints the ledger of this run.
func (d *demo) report(ctx context.Context, t terminal, before web.Report) (err error) {
	s, err := store.Open(d.cfg.Data, store.Options{Log: zap.NewNop()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l := ledger{s, d.cfg.Zone}
	for _, format := range []string{export.CSV, export.JSONL} {
		file := filepath.Join(d.cfg.Data, "cdr."+format)
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		_, err = l.Export(ctx, f, web.Export{Options: export.Options{Format: format}, Why: "demo"})
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("export %s: %w", file, err)
		}
		fmt.Fprintf(t.out, "export: %s\n", file)
	}
	r, err := l.Verify(ctx)
	if err != nil {
		return err
	}
	for _, b := range r.Bad {
		fmt.Fprintln(t.out, b)
	}
	fmt.Fprintf(t.out, "store: %d calls, %d records, tree %s\n", r.Ended, r.Records, r.Root)
	r.Arrived, r.Ended = r.Arrived-before.Arrived, r.Ended-before.Ended-before.Live // an earlier run's live calls have ended in this one
	fmt.Fprintln(t.out, r)
	switch {
	case !r.OK(), r.Live != 0:
		return errors.New("the ledger does not balance or does not verify")
	case d.Calls > 0 && r.Arrived != uint64(d.Calls):
		return fmt.Errorf("%d calls were made, the ledger has %d", d.Calls, r.Arrived)
	}
	return nil
}
