//go:build !linux

package storetest

import "errors"

// freeSpace: only Linux has a folder in memory whose name is known.
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
