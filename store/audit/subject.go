package audit

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/siaga112/siaga112/call"
)

// NoSeq is the Seq of a Bad that is about no record.
const NoSeq = math.MaxUint64

// Bad is one thing that is not as it was written.
type Bad struct {
	Seq  uint64  // NoSeq: of no record
	Of   call.ID // "": of no subject, or it cannot be read
	What string
}

// String is the finding in one line.
func (b Bad) String() string {
	switch {
	case b.Seq != NoSeq:
		return fmt.Sprintf("record %d %s: %s", b.Seq, b.Of, b.What)
	case b.Of != "":
		return fmt.Sprintf("%s: %s", b.Of, b.What)
	}
	return b.What
}

// bodyStart is how every body begins: AppendRecord writes the subject first.
const (
	bodyStart = `{"of":"`
	idLen     = 27 // a letter and a ULID
)

// BodyOf reads the subject of a body from its first line; ok is false where none stands there.
func BodyOf(body []byte) (id []byte, ok bool) {
	if len(body) < len(bodyStart)+idLen || string(body[:len(bodyStart)]) != bodyStart {
		return nil, false
	}
	return body[len(bodyStart) : len(bodyStart)+idLen], true
}

// Checker checks subjects, one after the other. It keeps memory between them: one for each goroutine.
type Checker struct {
	all  []call.Entry
	line []byte
	acts []call.Acted
	bad  []Bad
	id   call.ID
}

// Subject is what Check found of a subject.
type Subject struct {
	First, Last call.Record  // of its first piece and of its last; zero where a body cannot be read
	Acts        []call.Acted // valid until the next Check
	Bad         []Bad
}

// Check holds the records of a subject against the folds of its entries. pieces are all of its pieces, in order; one with
// an empty body is erased, and what an erased piece would have to fit is not checked. It is pure and keeps nothing of
// the bodies.
func (c *Checker) Check(id call.ID, pieces []call.Sealed) Subject {
	c.all, c.acts, c.bad, c.id = c.all[:0], c.acts[:0], nil, id
	var out Subject
	ended, whole := 0, true
	for i, p := range pieces {
		if len(p.Body) == 0 {
			whole = false
			continue
		}
		first, lines, _ := bytes.Cut(p.Body, []byte{'\n'})
		has := len(c.all)
		if err := c.entries(p.Seq, lines, whole); err != nil {
			c.add(p.Seq, "%v", err)
			whole = false
			break
		}
		mine := c.all[has:]
		c.ends(p.Seq, whole && i == 0, mine)
		ended += count(mine)
		if !whole {
			continue
		}
		out.Last = call.Fold(slices.Values(c.all))
		if i == 0 {
			out.First = out.Last
		}
		var err error
		c.line, err = call.AppendRecord(c.line[:0], out.Last)
		if err != nil || len(c.line) != len(first)+1 || !bytes.Equal(c.line[:len(first)], first) {
			c.add(p.Seq, "its first line is not the fold of its entries")
		}
	}
	if id.Kind() == call.Call && ended != 1 && whole && len(pieces) > 0 {
		c.add(pieces[0].Seq, "it has %d entries that end it", ended)
	}
	out.Acts, out.Bad = c.acts, c.bad
	return out
}

func (c *Checker) add(seq uint64, format string, args ...any) {
	c.bad = append(c.bad, Bad{Seq: seq, Of: c.id, What: fmt.Sprintf(format, args...)})
}

// entries reads a piece's lines. dense tells that the pieces before it are there, so that their numbers must follow.
func (c *Checker) entries(seq uint64, lines []byte, dense bool) error {
	if len(lines) == 0 {
		return fmt.Errorf("%w: it has no entry", call.ErrFormat)
	}
	for len(lines) > 0 {
		line, rest, cut := bytes.Cut(lines, []byte{'\n'})
		if !cut {
			return fmt.Errorf("%w: its last line is cut off", call.ErrFormat)
		}
		lines = rest
		e, err := call.ParseEntry(line)
		if err != nil {
			return err
		}
		if want := uint32(len(c.all) + 1); dense && e.N != want || e.Of != c.id {
			c.add(seq, "entry %d is %s %d", want, e.Of, e.N)
		}
		if a, ok := e.Event.(call.Acted); ok {
			c.acts = append(c.acts, a)
		}
		c.all = append(c.all, e)
	}
	return nil
}

// ends: a subject's first piece ends with what seals it.
func (c *Checker) ends(seq uint64, first bool, es []call.Entry) {
	if first && !es[0].Begins() {
		c.add(seq, "its entry 1 does not begin it")
	}
	if last := es[len(es)-1]; first && !last.Seals() {
		c.add(seq, "its last entry does not end it")
	}
}

// count is how many of the entries end a call.
func count(es []call.Entry) (n int) {
	for i := range es {
		if _, ok := es[i].Event.(call.Ended); ok {
			n++
		}
	}
	return n
}
