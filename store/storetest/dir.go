package storetest

import (
	"os"
	"strconv"
	"testing"
)

// MoreEnv is the environment's name of a factor: how many times as often as in make test what is done at random is done.
const MoreEnv = "SIAGA112_MORE"

// Times is n, or a multiple of it where the environment asks for more.
func Times(tb testing.TB, n int) int {
	tb.Helper()
	more := os.Getenv(MoreEnv)
	if more == "" {
		return n
	}
	factor, err := strconv.Atoi(more)
	if err != nil || factor < 1 {
		tb.Fatalf("%s is %q, want a whole number", MoreEnv, more)
	}
	return n * factor
}

// Dir is an empty folder until the test ends, in memory where the system has room there. It is for tests of what a file
// says or what the end of a process leaves: what they sync need not reach a disk, and waits for none.
func Dir(tb testing.TB) string {
	tb.Helper()
	const memory = "/dev/shm"
	if free, err := freeSpace(memory); err != nil || free < 1<<30 {
		return tb.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "siaga112-") //nolint:usetesting // tb.TempDir lies on a disk
	if err != nil {
		return tb.TempDir()
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}
