package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong in a file.
type Fault struct {
	File  string // as it was given to Read or Parse
	Line  int    // from 1; 0: the file as a whole
	Key   string // as sip.listen[1], counted from 0; empty: the file as a whole
	Wrong string // what is wrong
	Right string // what would be right; empty where only the author knows
}

// String is the fault in one line: FILE:LINE: KEY: WRONG; RIGHT.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	b.WriteString(": ")
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Wrong)
	if f.Right != "" {
		b.WriteString("; " + f.Right)
	}
	return b.String()
}

// Faults are all faults of a file, in the order of their lines: the error of Parse, and of Read where the file could be
// read. It is never empty.
type Faults []Fault

// Error is one line a fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// sorted puts the faults in the order of their lines; those of one line keep theirs.
func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return f
}

// nearest is the candidate that a mistyped word most likely meant, or "": at most a third of its letters differ.
func nearest(word string, candidates []string) string {
	best, least := "", len(word)/3+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), c); d <= least && (best == "" || d < distance(strings.ToLower(word), best)) {
			best = c
		}
	}
	return best
}

// distance is the number of bytes to insert, delete or replace that makes b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
