package main

import (
	"runtime"
	"sync"
)

// turns are the process's: how many goroutines run at a time (GOMAXPROCS). A goroutine of low priority that the system lets
// wait keeps its turn meanwhile, and the others, of calls and of commits, wait for it: so an export brings its own turns.
type turns struct {
	mu     sync.Mutex // held while the world stops, which is short
	users  int
	before int
}

var extra turns

// take tells how many workers an export should have, and gives turns to them and to those who read and write, until end is
// called. Who comes later shares them.
func (t *turns) take() (workers int, end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users++; t.users == 1 {
		t.before = runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(t.before + max(2, t.before) + 2)
	}
	return max(2, t.before), func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.users--; t.users == 0 {
			runtime.GOMAXPROCS(t.before)
		}
	}
}
