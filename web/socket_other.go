//go:build !unix

package web

// fchmod does nothing: there the mode of a socket's file says nothing.
func fchmod(uintptr, uint32) {}
