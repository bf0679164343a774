package main

import (
	"runtime"
	"syscall"
)

// exportNice is the priority of an export's threads: calls go first (nice(2), 0 is usual, 19 the last).
const exportNice = 10

// background gives the calling goroutine a thread of its own with a low priority, for as long as it runs: the thread ends
// with it. Where the priority cannot be changed it stays as it is.
func background() {
	runtime.LockOSThread()
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), exportNice)
}
