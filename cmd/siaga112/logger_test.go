package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga112/siaga112/config"
)

// stuck is a log reader who does not read until he is let go.
type stuck struct {
	free chan struct{}
	mu   sync.Mutex
	b    strings.Builder
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// Nobody reads the log: whoever logs goes on, and what was lost is said once somebody does.
func TestLogNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stuck{free: make(chan struct{})}
		log, flush := logger(config.Log{Level: "info", Format: "json"}, w)
		log.Info("line 0")
		synctest.Wait() // it is being written, and hangs there
		for i := range maxLines + 100 {
			log.Info(fmt.Sprint("line ", i+1))
		}
		close(w.free)
		synctest.Wait()
		log.Info("after")
		flush()
		text := w.b.String()
		if !strings.Contains(text, "\t100 lines were lost") || !strings.Contains(text, `"line 0"`) || !strings.Contains(text, `"after"`) {
			t.Errorf("the log:\n%s", tail(text, 500))
		}
		if n := strings.Count(text, "\n"); n != maxLines+3 {
			t.Errorf("%d lines", n)
		}
	})
}

// A reader who never reads again does not hold up the end, either.
func TestLogEndsWithoutItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &stuck{free: make(chan struct{})}
		log, flush := logger(config.Log{Level: "info"}, w)
		log.Info("x")
		begin := time.Now()
		flush()
		if took := time.Since(begin); took != time.Second {
			t.Errorf("it took %s", took)
		}
		close(w.free)
	})
}

func TestLogLevel(t *testing.T) {
	var b lockedBuffer
	log, flush := logger(config.Log{Level: "warn", Format: "console"}, &b)
	log.Info("quiet")
	log.Warn("loud")
	flush()
	if s := b.String(); strings.Contains(s, "quiet") || !strings.Contains(s, "loud") {
		t.Error(s)
	}
}
