package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/queue"
)

// goodbyes is how long a hang-up waits for the last call to end. A phone that answers nothing takes longer; it is then left.
// After that the line waits two seconds for its BYEs, and the store gives up two seconds after the last commit failed: five
// in all.
const goodbyes = time.Second

// Stop ends the gateway with a goodbye to every peer, as Ctrl-C does: End with config.HangUp.
func (g *gateway) Stop(ctx context.Context) error { return g.End(ctx, config.HangUp) }

// End ends the gateway so. A drain ends early when the context is done; nothing else depends on it. What is committed is on the
// disk when it returns; a crash in it is no worse than one before it. A second call does nothing.
func (g *gateway) End(ctx context.Context, how config.OnStop) (err error) {
	g.over.Do(func() {
		switch how {
		case config.HangUp:
			err = g.hangUp(ctx)
		case config.Drain:
			g.drain(ctx)
			err = g.handOver() //nolint:contextcheck // a hand-over waits for nobody
		case config.HandOver:
			err = g.handOver() //nolint:contextcheck // the same
		}
	})
	return err
}

// hangUp ends the gateway in order: intake stops, every leg gets its BYE or CANCEL, the records end as restart, all is
// committed. It takes five seconds at most; what a peer has not confirmed by then is over all the same.
func (g *gateway) hangUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, goodbyes)
	defer cancel()
	err := g.desk.Order(ctx, queue.Order{ID: call.NewID(call.Act, time.Now()), Verb: queue.Stop, Text: string(config.HangUp)})
	if err == nil {
		err = g.desk.Idle(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		g.log.Warn("some peers did not answer in time; their legs are ended without them")
		err = nil
	}
	return errors.Join(err, g.close()) //nolint:contextcheck // what must be said is said even when ctx is done
}

// drain refuses new calls and waits until the last one has ended, as long as the configuration lets it or the context is not
// done.
func (g *gateway) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.SIP.DrainFor)
	defer cancel()
	err := g.desk.Order(ctx, queue.Order{ID: call.NewID(call.Act, time.Now()), Verb: queue.Drain})
	if err == nil {
		g.log.Info("draining: new calls get 503, live ones go on", zap.Uint64("live", g.desk.View().Live), zap.Duration("at most", g.cfg.SIP.DrainFor))
		err = g.desk.Idle(ctx)
	}
	if err != nil {
		g.log.Warn("the drain has ended before the last call: what lives is handed over to the next start", zap.Uint64("live", g.desk.View().Live), zap.Error(err))
	}
}

// handOver ends the gateway without a word to any peer, once what it knows is on the disk: the next start takes the calls up.
// Who hangs up in its last moment gets no answer from it, and asks the next start again.
func (g *gateway) handOver() error {
	g.line.Deafen()
	live := g.desk.View().Live
	g.desk.Close() // before the line: a verb to a line that has gone would come back as the end of a leg
	g.line.Leave()
	now := time.Now()
	g.store.Append([]call.Entry{{
		Of: call.NewID(call.Act, now), N: 1, At: now.UTC(),
		Event: call.Acted{What: "stopped", Detail: fmt.Sprintf("%s: %d calls", config.HandOver, live)},
	}}, func(err error) {
		if err != nil {
			g.log.Error("the stop is not in the ledger", zap.Error(err))
		}
	})
	g.store.Beat(now)
	if live > 0 {
		g.log.Warn("calls live and nobody is there for them until the next start", zap.Uint64("live", live))
	}
	return g.close()
}

// signals are what the process is told after the one that has ended its context.
type signals struct{ next <-chan os.Signal }

// stopSignal is the cause of a context that a signal has ended.
type stopSignal struct{ os.Signal }

func (s stopSignal) Error() string { return s.String() }

// listenToSignals gives a context that ends with the first signal to stop, and the further ones. The cancel function gives the
// signals back to the system.
func listenToSignals(parent context.Context) (context.Context, signals, context.CancelFunc) {
	told, next := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	ctx, stop := context.WithCancelCause(parent)
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-over:
				return
			case s := <-told:
				if ctx.Err() == nil {
					stop(stopSignal{s})
					continue
				}
				select {
				case next <- s:
				default:
				}
			}
		}
	})
	return ctx, signals{next}, func() {
		signal.Stop(told)
		stop(context.Canceled)
		close(over)
		wg.Wait()
	}
}

// untilNext gives a context that ends with the next signal. The cancel function must be called.
func (s signals) untilNext(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancelCause(parent)
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case sig := <-s.next:
			stop(stopSignal{sig})
		case <-ctx.Done():
		}
	})
	return ctx, func() { stop(context.Canceled); wg.Wait() }
}

// onStop is how the gateway stops for that cause: as the configuration says for systemd's SIGTERM, with a goodbye where
// somebody at a terminal has had enough or has left, for nobody may start it again there.
func onStop(cause error, configured config.OnStop) config.OnStop {
	var s stopSignal
	if errors.As(cause, &s) && (s.Signal == os.Interrupt || s.Signal == syscall.SIGHUP) {
		return config.HangUp
	}
	return configured
}
