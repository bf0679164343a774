package prank

// Numbers is how many numbers have a history.
func (s *Scorer) Numbers() int { return len(s.numbers) }
