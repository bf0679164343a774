package main

// heapFloor is memory that the collector counts and nobody touches, so the machine never gives it: the collector runs when
// twice as much is in use, not each time a small heap has doubled, which at 200 calls a second is five times a second. What
// it costs is the garbage that lies around until then, as much again. It lasts as long as it is held.
func heapFloor() []byte { return make([]byte, 32<<20) }
