package main

import (
	"runtime"
	"testing"
)

// TestTurns: who works in the background brings its own turns, once for all, and leaves none.
func TestTurns(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	var all turns
	want := before + max(2, before) + 2
	workers, first := all.take()
	same, second := all.take()
	if n := runtime.GOMAXPROCS(0); n != want || workers != max(2, before) || same != workers {
		t.Errorf("%d turns, want %d; %d and %d workers", n, want, workers, same)
	}
	first()
	if n := runtime.GOMAXPROCS(0); n != want {
		t.Errorf("%d turns while one still works, want %d", n, want)
	}
	second()
	if n := runtime.GOMAXPROCS(0); n != before {
		t.Errorf("%d turns afterwards, want %d", n, before)
	}
}
