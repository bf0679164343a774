//go:build unix

package web

import "syscall"

// fchmod sets the mode of what will be a socket's file.
func fchmod(fd uintptr, mode uint32) { _ = syscall.Fchmod(int(fd), mode) }
