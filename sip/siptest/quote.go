package siptest

import "iter"

// quoted are the parts of a text that the byte divides; between double quotes it does not.
func quoted(text string, by byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		begin, open := 0, false
		for i := range len(text) {
			switch {
			case text[i] == '"':
				open = !open
			case text[i] == by && !open:
				if !yield(text[begin:i]) {
					return
				}
				begin = i + 1
			}
		}
		yield(text[begin:])
	}
}
