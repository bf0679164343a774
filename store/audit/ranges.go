// Package audit is what an auditor needs to check the ledger: signed checkpoints of its tree, proofs against them, bundles
// of records that can be verified without the store, and the words in which the ledger tells what was erased.
//
// It knows the records of call and no store: a store uses it, and so does a verifier that has only a file and a key.
package audit

import (
	"slices"
	"strconv"
	"strings"
)

// What an act says that took records away. Its detail is what ErasedDetail writes.
const (
	ActErased  = "erased"  // on the order of somebody, with a number
	ActExpired = "expired" // the time for which they are kept is over
)

// Range is a run of records: First and Last belong to it.
type Range struct{ First, Last uint64 }

// Ranges are the runs in the records' numbers, in order, each as long as can be. The numbers may come in any order and
// several times.
func Ranges(seqs []uint64) []Range {
	sorted := slices.Compact(slices.Sorted(slices.Values(seqs)))
	var rs []Range
	for _, n := range sorted {
		if last := len(rs) - 1; last >= 0 && rs[last].Last+1 == n {
			rs[last].Last = n
			continue
		}
		rs = append(rs, Range{n, n})
	}
	return rs
}

// FormatRanges is the runs in words: "12 15-19".
func FormatRanges(rs []Range) string {
	var b []byte
	for i, r := range rs {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendUint(b, r.First, 10)
		if r.Last != r.First {
			b = strconv.AppendUint(append(b, '-'), r.Last, 10)
		}
	}
	return string(b)
}

// erasedPrefix begins the detail of an act that took records away.
const erasedPrefix = "records "

// ErasedDetail is the detail of an act that took records away: "records 12 15-19; reason; order". It must not hold what
// was erased: no caller's number belongs in reason or order. A semicolon or a line break in them becomes a comma or a space.
func ErasedDetail(seqs []uint64, reason, order string) string {
	clean := strings.NewReplacer(";", ",", "\n", " ", "\r", " ")
	return erasedPrefix + FormatRanges(Ranges(seqs)) + "; " + clean.Replace(reason) + "; " + clean.Replace(order)
}

// Erased reads which records an act took away, from its detail: ascending and apart. ok is false where the records do not
// stand there exactly as ErasedDetail writes them; what follows them is for people.
func Erased(detail string) (rs []Range, ok bool) {
	text, found := strings.CutPrefix(detail, erasedPrefix)
	if !found {
		return nil, false
	}
	text, _, found = strings.Cut(text, "; ")
	if !found {
		return nil, false
	}
	for word := range strings.SplitSeq(text, " ") {
		first, last, several := strings.Cut(word, "-")
		r, ok := Range{}, false
		if r.First, ok = number(first); !ok {
			return nil, false
		}
		r.Last = r.First
		if several {
			if r.Last, ok = number(last); !ok || r.Last <= r.First {
				return nil, false
			}
		}
		if n := len(rs); n > 0 && (r.First <= rs[n-1].Last || r.First == rs[n-1].Last+1) {
			return nil, false
		}
		rs = append(rs, r)
	}
	return rs, true
}

// number reads a number as strconv writes it: no sign and no leading zero.
func number(s string) (n uint64, ok bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return n, err == nil && strconv.FormatUint(n, 10) == s
}

// Holds tells whether a record is in one of the runs, which are in order.
func Holds(rs []Range, seq uint64) bool {
	i, found := slices.BinarySearchFunc(rs, seq, func(r Range, n uint64) int {
		switch {
		case r.Last < n:
			return -1
		case r.First > n:
			return 1
		}
		return 0
	})
	return found && i < len(rs)
}

// Union is all runs together, in order, each as long as can be.
func Union(rs []Range) []Range {
	sorted := slices.SortedFunc(slices.Values(rs), func(a, b Range) int {
		switch {
		case a.First < b.First:
			return -1
		case a.First > b.First:
			return 1
		}
		return 0
	})
	var out []Range
	for _, r := range sorted {
		if n := len(out) - 1; n >= 0 && r.First <= out[n].Last+1 {
			out[n].Last = max(out[n].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}
