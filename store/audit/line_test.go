package audit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/call"
)

// FuzzRecordLine: the fast way reads what the other one reads, or leaves it to it.
func FuzzRecordLine(f *testing.F) {
	body := `{"of":"c01ARZ3NDEKTSV4RRFFQ69G5FAV"}` + "\n"
	for _, b := range []string{body, body + "<\u2028> \\ \" é \t"} {
		line, err := appendRecordLine(nil, call.Sealed{Seq: 7, Body: []byte(b)})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
		f.Add([]byte(strings.Replace(string(line), "7", "07", 1)))
		f.Add([]byte(strings.Replace(string(line), "{", `{"erased":true,`, 1)))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		fast, ok := cutRecordLine(line)
		if !ok {
			return
		}
		// A space makes it another line of the same meaning.
		slow, err := parseRecordLine(append([]byte(" "), line...))
		fast, bad := withSubject(fast)
		if (err == nil) != (bad == nil) {
			t.Fatalf("%q: %v, %v", line, bad, err)
		}
		if diff := cmp.Diff(slow, fast); err == nil && diff != "" {
			t.Error(diff)
		}
	})
}
