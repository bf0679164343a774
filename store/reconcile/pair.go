package reconcile

// pair matches one to one what is at most window apart: as many as possible, and of those ways the one with the least
// distance in all. Both are by time. It returns how many.
//
// On a line there is always a best way in which no two matches cross, so the first i of a are matched with the first j of
// b: what is best for (i, j) follows from its three predecessors. For each i only the j within the window can be matched;
// the work is the number of pairs that are possible.
func pair(a, b []*event, window int64) (n int) {
	// What is further from its neighbors than the window stands alone: each stretch is paired by itself.
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if a[i].at-b[j].at > window {
			j++
			continue
		}
		if b[j].at-a[i].at > window {
			i++
			continue
		}
		i0, j0, last := i, j, min(a[i].at, b[j].at)
		for {
			switch {
			case i < len(a) && a[i].at-last <= window && (j == len(b) || a[i].at <= b[j].at):
				last = a[i].at
				i++
				continue
			case j < len(b) && b[j].at-last <= window:
				last = b[j].at
				j++
				continue
			}
			break
		}
		n += stretch(a[i0:i], b[j0:j], window)
	}
	return n
}

// The steps of a best way.
const (
	stepA    = iota // a's call stays alone
	stepB           // b's call stays alone
	stepPair        // they are matched
)

// score is how good a way is: more matches, then less distance.
type score struct {
	n    int32
	cost int64
}

func (s score) better(t score) bool { return s.n > t.n || s.n == t.n && s.cost < t.cost }

// band is one line of the table: what is best for the first i of a and the first from, from+1, … of b.
type band struct {
	from  int
	best  []score
	steps []uint8
}

// at is the best for the first j of b: beyond the band nothing more can be won.
func (d *band) at(j int) score { return d.best[max(0, min(j-d.from, len(d.best)-1))] }

func stretch(a, b []*event, window int64) (n int) {
	rows := make([]band, len(a)+1)
	lo, hi := 0, 0
	rows[0] = band{best: []score{{}}, steps: []uint8{stepB}}
	for i, e := range a {
		for lo < len(b) && e.at-b[lo].at > window {
			lo++
		}
		hi = max(hi, lo)
		for hi < len(b) && b[hi].at-e.at <= window {
			hi++
		}
		row := band{from: lo, best: make([]score, hi-lo+1), steps: make([]uint8, hi-lo+1)}
		for j := lo; j <= hi; j++ {
			best, step := rows[i].at(j), uint8(stepA)
			if j > lo {
				if s := row.best[j-1-lo]; s.better(best) {
					best, step = s, stepB
				}
				s := rows[i].at(j - 1)
				s.n++
				if s.cost += distance(e, b[j-1]); s.better(best) {
					best, step = s, stepPair
				}
			}
			row.best[j-lo], row.steps[j-lo] = best, step
		}
		rows[i+1] = row
	}
	for i, j := len(a), len(b); i > 0; {
		row := &rows[i]
		j = min(j, row.from+len(row.best)-1)
		step := uint8(stepA)
		if j >= row.from {
			step = row.steps[j-row.from]
		}
		switch step {
		case stepA:
			i--
		case stepB:
			j--
		case stepPair:
			i, j, n = i-1, j-1, n+1
			a[i].with, b[j].with = b[j], a[i]
		}
	}
	return n
}

func distance(a, b *event) int64 {
	if a.at < b.at {
		return b.at - a.at
	}
	return a.at - b.at
}
