//go:build !linux

package main

// background would lower the calling goroutine's priority; here a thread has none of its own.
func background() {}
