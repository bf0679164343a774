package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/web"
)

type serveCommand struct{}

// Run serves until the context is done, and stops as its cause and the configuration say. A second signal cuts a drain short.
func (serveCommand) Run(ctx context.Context, c *commands, t terminal, s signals) error {
	defer runtime.KeepAlive(heapFloor())
	cfg, err := config.Read(c.File)
	if err != nil {
		return err
	}
	log, flush := logger(cfg.Log, t.err)
	defer flush()
	g, err := openWhenFree(ctx, cfg, log)
	if err != nil {
		return err
	}
	log.Info("serving", zap.String("node", cfg.Node), zap.Stringers("listen", cfg.SIP.Listen), zap.String("data", cfg.Data))
	<-ctx.Done()
	how := onStop(context.Cause(ctx), cfg.SIP.OnStop)
	log.Info("stopping", zap.String("how", string(how)), zap.NamedError("because", context.Cause(ctx)))
	stopping, cancel := s.untilNext(context.WithoutCancel(ctx)) // the context is done already
	defer cancel()
	if err := g.End(stopping, how); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	log.Info("stopped", zap.Uint64("messages from strangers", g.line.Strangers()))
	return nil
}

// openWhenFree opens the gateway. Where a command has the store open it waits for that to end; where another gateway has
// it, it fails.
func openWhenFree(ctx context.Context, cfg *config.Config, log *zap.Logger) (*gateway, error) {
	said := false
	for {
		//nolint:contextcheck // Stop ends the gateway, and says goodbye after ctx is done
		g, err := open(cfg, parts{Net: media.System(), Log: log, Socket: true})
		if !errors.Is(err, store.ErrHeld) {
			return g, err
		}
		client := web.Dial(filepath.Join(cfg.Data, config.SocketName))
		serving := client.Ping(ctx) == nil
		client.Close()
		if serving || ctx.Err() != nil {
			return nil, err
		}
		if !said {
			log.Warn("waiting: a command has the store open, and it is no gateway", zap.Error(err))
			said = true
		}
	}
}

type initCommand struct {
	Dir string `arg:"" type:"path" help:"The folder; it is made if it is missing."`
}

// Run writes the configuration; a file that is there already is never touched.
func (i initCommand) Run(t terminal) error {
	if err := os.MkdirAll(i.Dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(i.Dir, config.FileName)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists and was left as it is", file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(config.Template())
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "%s\nNext: siaga112 -c %s taker add NAME, then siaga112 -c %s serve\n", file, file, file)
	return err
}

type configCommand struct {
	Check checkCommand `cmd:"" help:"Read the configuration and name every fault in it."`
}

type checkCommand struct{}

// Run tells that the file is good, or fails with all its faults.
func (checkCommand) Run(c *commands, t terminal) error {
	cfg, err := config.Read(c.File)
	if err != nil {
		return err
	}
	if _, err := sounds(cfg); err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "%s is good: node %s, %d trunk(s), data in %s\n", cfg.File, cfg.Node, len(cfg.Trunks), cfg.Data)
	return err
}
