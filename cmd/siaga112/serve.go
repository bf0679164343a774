package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip/media"
)

type serveCommand struct{}

// Run serves until the context is done.
func (serveCommand) Run(ctx context.Context, c *commands, t terminal) error {
	cfg, err := config.Read(c.File)
	if err != nil {
		return err
	}
	log := logger(cfg.Log, t.err)
	//nolint:contextcheck // Stop ends the gateway, and says goodbye after ctx is done
	g, err := open(cfg, parts{Net: media.System(), Log: log, Socket: true})
	if err != nil {
		return err
	}
	log.Info("serving", zap.String("node", cfg.Node), zap.Stringers("listen", cfg.SIP.Listen), zap.String("data", cfg.Data))
	<-ctx.Done()
	log.Info("stopping: no new calls, goodbye to all peers")
	// The context is done already; the goodbye has a time of its own.
	if err := g.Stop(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	log.Info("stopped", zap.Uint64("messages from strangers", g.line.Strangers()))
	return nil
}

// logger writes one line an event to w, as the configuration says.
func logger(c config.Log, w io.Writer) *zap.Logger {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil { // config has checked it
		level = zapcore.InfoLevel
	}
	ec := zap.NewProductionEncoderConfig()
	ec.EncodeTime = zapcore.RFC3339TimeEncoder
	ec.EncodeDuration = zapcore.StringDurationEncoder
	enc := zapcore.NewConsoleEncoder(ec)
	if c.Format == "json" {
		enc = zapcore.NewJSONEncoder(ec)
	}
	return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), level))
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
	if _, err := announcement(cfg); err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "%s is good: node %s, %d trunk(s), data in %s\n", cfg.File, cfg.Node, len(cfg.Trunks), cfg.Data)
	return err
}
