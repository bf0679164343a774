package sip

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// sipgoLog is where sipgo writes: warnings and worse, at most three a minute of each, and never a message whole, for
// there are callers' numbers in it.
func sipgoLog(log *zap.Logger) *slog.Logger {
	sampled := zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Minute, 3, 0)
	})
	core := log.Named("sipgo").WithOptions(zap.IncreaseLevel(zap.WarnLevel), sampled).Core()
	return slog.New(redacted{zapslog.NewHandler(core, zapslog.AddStacktraceAt(slog.LevelError+1))})
}

// redacted replaces messages by their length, and cuts errors where they quote one.
type redacted struct{ slog.Handler }

// Handle passes the record on without what is in a message.
func (r redacted) Handle(ctx context.Context, rec slog.Record) error {
	out := slog.NewRecord(rec.Time, rec.Level, rec.Message, rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "error": // it may quote the message
			text := a.Value.String()
			if i := strings.IndexAny(text, "'\"*"); i >= 0 {
				text = text[:i]
			}
			a = slog.String("error", text)
		case "data", "req", "res", "msg", "invite_request", "invite_response", "cancel_request":
			a = slog.Int(a.Key+"_bytes", len(a.Value.String()))
		}
		out.AddAttrs(a)
		return true
	})
	return r.Handler.Handle(ctx, out)
}

// WithAttrs keeps the redaction.
func (r redacted) WithAttrs(as []slog.Attr) slog.Handler { return redacted{r.Handler.WithAttrs(as)} }

// WithGroup keeps the redaction.
func (r redacted) WithGroup(name string) slog.Handler { return redacted{r.Handler.WithGroup(name)} }
