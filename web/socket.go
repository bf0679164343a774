package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// maxSocketPath is the longest path of a unix socket, in bytes: sockaddr_un holds 108 with the final zero.
const maxSocketPath = 107

// socketMode is that of the socket: who may connect may do everything.
const socketMode = 0o600

// ErrHeld: another process serves the socket.
var ErrHeld = errors.New("another process serves it")

// Listen opens the administration socket. Of a gateway that died, its socket is removed first; a file that is no socket
// is left alone and is an error, and so is a socket that somebody serves (ErrHeld) and a path that is too long. Whoever
// calls it holds the store of that folder, so that no two do it at a time. Closing the listener removes the socket.
func Listen(path string) (net.Listener, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("administration socket %s: %w", path, err)
	}
	// On Linux the file gets the mode that the socket has when it is bound: there is no moment at which others could
	// connect, and the process's umask, which is everybody's, need not be touched.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			fchmod(fd, socketMode) // where it can't: the Chmod below
		})
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("administration socket: %w", err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("administration socket: %w", err), ln.Close())
	}
	return ln, nil
}

// checkPath refuses by name a path that the system would cut or refuse with EINVAL.
func checkPath(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("administration socket %s: the path has %d bytes, a socket's has at most %d; choose a shorter data folder",
			path, len(path), maxSocketPath)
	}
	return nil
}

// removeStale removes a socket that nobody serves.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("a file that is no socket stands there; move it away")
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(ErrHeld, c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
