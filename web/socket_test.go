package web_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siaga112/siaga112/web"
)

func TestListenMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	ln, err := web.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != fs.ModeSocket|0o600 {
		t.Errorf("mode %v", got)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

// TestListenAfterACrash: a socket that nobody serves is in nobody's way.
func TestListenAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	ln, err := web.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	ln, err := web.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := web.Listen(path); !errors.Is(err, web.ErrHeld) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the first one's socket: %v", err)
	}
}

func TestListenSparesFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.sock")
	if err := os.WriteFile(path, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.sock")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link, dir} {
		if _, err := web.Listen(p); err == nil || !strings.Contains(err.Error(), "a file that is no socket stands there") {
			t.Errorf("%s: %v", p, err)
		}
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "mine" {
		t.Errorf("got %q and %v", b, err)
	}
}

func TestListenPathLength(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // a relative path can have any length whatever the test's folder
	ln, err := web.Listen(strings.Repeat("a", 107))
	if err != nil {
		t.Fatalf("107 bytes: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	long := strings.Repeat("a", 108)
	if _, err := web.Listen(long); err == nil || !strings.Contains(err.Error(), long+": the path has 108 bytes, a socket's has at most 107") {
		t.Errorf("108 bytes: %v", err)
	}
	if _, err := web.Listen(filepath.Join(dir, "none", "s.sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
