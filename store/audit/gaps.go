package audit

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Subtree is a whole subtree of the tree: the 1<<Level records from First on, which is a multiple of that.
type Subtree struct {
	First uint64
	Level int
	Hash  tlog.Hash
}

// cover calls f with the largest whole subtrees that cover the records from first up to, but not with, until.
func cover(first, until uint64, f func(first uint64, level int) error) error {
	for first < until {
		level := min(bits.TrailingZeros64(first), bits.Len64(until-first)-1)
		if err := f(first, level); err != nil {
			return err
		}
		first += 1 << level
	}
	return nil
}

// climber computes a root out of leaves and whole subtrees that come in order, in memory for one hash a level.
type climber struct {
	size  uint64 // records so far
	stack []Subtree
}

// push adds what follows.
func (c *climber) push(level int, h tlog.Hash) error {
	if c.size&(1<<level-1) != 0 {
		return fmt.Errorf("%w: no subtree of %d records begins at record %d", ErrFormat, uint64(1)<<level, c.size)
	}
	top := Subtree{First: c.size, Level: level, Hash: h}
	c.size += 1 << level
	for len(c.stack) > 0 && c.stack[len(c.stack)-1].Level == top.Level {
		left := c.stack[len(c.stack)-1]
		c.stack = c.stack[:len(c.stack)-1]
		top = Subtree{First: left.First, Level: left.Level + 1, Hash: tlog.NodeHash(left.Hash, top.Hash)}
	}
	c.stack = append(c.stack, top)
	return nil
}

// root is the root of all that was pushed.
func (c *climber) root() tlog.Hash {
	if len(c.stack) == 0 {
		h, err := tlog.TreeHash(0, nil)
		if err != nil { // the empty tree needs no reader
			panic(err)
		}
		return h
	}
	h := c.stack[len(c.stack)-1].Hash
	for i := len(c.stack) - 2; i >= 0; i-- {
		h = tlog.NodeHash(c.stack[i].Hash, h)
	}
	return h
}
