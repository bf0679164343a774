//go:build !linux

package store

import "os"

// allocate takes room for the file.
func allocate(f *os.File, size int64) error { return writeZeros(f, size) }
