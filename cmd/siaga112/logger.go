package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/siaga112/siaga112/config"
)

// logger writes one line an event to w, as the configuration says, and never waits for it: whoever logs may have a caller
// on the line. flush ends it: what is queued is written, if that takes no longer than a second.
func logger(c config.Log, w io.Writer) (log *zap.Logger, flush func()) {
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
	lines := newLines(w)
	return zap.New(zapcore.NewCore(enc, lines, level)), lines.close
}

// maxLines is how many lines wait for a slow reader of the log.
const maxLines = 10_000

// lines is a zapcore.WriteSyncer that does not block: a goroutine of its own writes. When the reader is too slow lines are
// dropped, and how many is said in their place.
type lines struct {
	w    io.Writer
	done chan struct{}

	mu      sync.Mutex
	text    []byte // whole lines
	queued  int    // so many
	dropped int
	closed  bool
	signal  chan struct{} // capacity 1: there is something to do
}

func newLines(w io.Writer) *lines {
	l := &lines{w: w, done: make(chan struct{}), signal: make(chan struct{}, 1)}
	go l.run()
	return l
}

// Write queues a line.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	if l.closed || l.queued >= maxLines {
		l.dropped++
	} else {
		l.text = append(l.text, b...)
		l.queued++
	}
	l.mu.Unlock()
	l.wake()
	return len(b), nil
}

// Sync does nothing: close waits.
func (l *lines) Sync() error { return nil }

func (l *lines) wake() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// take removes what is queued; the next lines go into spare.
func (l *lines) take(spare []byte) (text []byte, dropped int, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, dropped, closed = l.text, l.dropped, l.closed
	l.text, l.queued, l.dropped = spare[:0], 0, 0
	return text, dropped, closed
}

// run writes until close. A write that fails loses its lines: the log's reader has gone, the calls have not.
func (l *lines) run() {
	defer close(l.done)
	var text []byte
	for {
		var dropped int
		var closed bool
		text, dropped, closed = l.take(text)
		if len(text) > 0 {
			_, _ = l.w.Write(text) // there is nowhere to say that it failed
		}
		if dropped > 0 {
			_, _ = fmt.Fprintf(l.w, "%s\twarn\tlog\t%d lines were lost: nobody read them in time\n", time.Now().UTC().Format(time.RFC3339), dropped)
		}
		if closed {
			return
		}
		<-l.signal
	}
}

// close writes what is queued and ends the goroutine, or leaves it to a reader who does not read for a second.
func (l *lines) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wake()
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-l.done:
	case <-t.C:
	}
}
