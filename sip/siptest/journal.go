package siptest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/siaga112/siaga112/call"
)

const (
	// rest is how long a story must stay quiet after its last line.
	rest = time.Second
	// farewell is how long the gateway may then take to let go of all that it holds: longer than any transaction.
	farewell = 40 * time.Second
)

// finish is what comes after the last line: quiet, then the journal and the counts. It returns both as a story writes
// them.
func (r *runner) finish(update bool) (journal, end []byte) {
	last := &r.s.lines[len(r.s.lines)-1]
	r.until(last.at + rest)
	for _, p := range r.order {
		if err := p.unwritten(longest + farewell); err != nil {
			r.fail(last, "after the last line: %v", err)
		}
	}
	if err := r.stopped(); err != nil {
		r.fail(last, "gateway stop: %v", err)
	}
	counts := r.settle(last)
	all, err := r.gateway.Calls(r.t.Context())
	if err != nil {
		r.fail(last, "calls: %v", err)
	}
	var got []golden
	var waited, talked time.Duration
	for _, c := range r.calls {
		g, record := r.outcome(all, c)
		got = append(got, g)
		waited += record.Wait
		talked += record.Talk
	}
	values := map[string]string{
		"invites": strconv.Itoa(counts.Arrived - r.base.Arrived), "ended": strconv.Itoa(counts.Ended - r.base.Ended),
		"leaves": strconv.Itoa(counts.Leaves - r.base.Leaves), "live": strconv.Itoa(counts.Live),
		"legs": strconv.Itoa(counts.Legs), "ports": strconv.Itoa(counts.Ports),
		"waited": fmt.Sprintf("%.1fs", waited.Seconds()), "talked": fmt.Sprintf("%.1fs", talked.Seconds()),
	}
	if !update {
		r.compare(got, values)
	}
	if r.running {
		ctx, cancel := context.WithTimeout(r.t.Context(), stopTime)
		defer cancel()
		r.running = false
		if err := r.gateway.Stop(ctx); err != nil {
			r.fail(last, "gateway stop after the story: %v", err)
		}
	}
	return formatJournal(got), formatEnd(values)
}

// settle waits until the gateway holds nothing any more, as long as that may take.
func (r *runner) settle(last *line) Counts {
	for deadline := r.now() + farewell; ; r.sleep(r.now() + time.Second) {
		counts, err := r.gateway.Check(r.t.Context())
		if err != nil {
			r.fail(last, "check: %v", err)
		}
		if counts.Live == 0 && counts.Legs == 0 && counts.Ports == 0 || r.now() >= deadline {
			return counts
		}
	}
}

// compare holds journal and counts against what is written; what is not written is not compared.
func (r *runner) compare(got []golden, values map[string]string) {
	for _, want := range r.s.journal {
		i := 0
		if want.name != "" {
			i = slices.IndexFunc(got, func(g golden) bool { return g.name == want.name })
		}
		if i < 0 || i >= len(got) || want.name == "" && len(got) > 1 {
			r.t.Errorf("%s:%d: the story has no call %q", r.s.File, want.no, want.name)
			continue
		}
		if diff := compareJournal(want, got[i]); diff != "" {
			r.t.Errorf("%s:%d: %s", r.s.File, want.no, diff)
		}
	}
	if n := len(r.s.journal); n > 0 && n < len(got) {
		r.t.Errorf("%s:%d: the story has %d calls, its journal %d", r.s.File, r.s.journal[0].no, len(got), n)
	}
	for _, want := range r.s.end {
		if got := values[want.key]; got != want.value {
			r.t.Errorf("%s:%d: end: want %s=%s, got %s", r.s.File, want.no, want.key, want.value, got)
		}
	}
}

func formatEnd(values map[string]string) []byte {
	var b bytes.Buffer
	for i, k := range endKeys {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(k + "=" + values[k])
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// widest is the length up to which the entries of a journal share a line.
const widest = 100

// compact is an entry as a story writes it: its number and a word or two, without what differs from run to run.
func compact(e call.Entry) string { return fmt.Sprintf("%d %s", e.N, compactEvent(e.Event)) }

func compactEvent(ev call.Event) string {
	switch ev := ev.(type) {
	case call.Arrived:
		return compactArrived(ev)
	case call.Scored:
		return compactScored(ev)
	case call.Queued:
		return "queued " + ev.Queue + optional(ev.Passed > 0, " passed=%d", ev.Passed)
	case call.Offered:
		return fmt.Sprintf("offered %d %s", ev.Leg, partyName(ev.To)) + optional(ev.For != "answer", " for %s", ev.For)
	case call.Rang:
		return fmt.Sprintf("rang %d", ev.Leg)
	case call.Answered:
		return fmt.Sprintf("answered %d", ev.Leg)
	case call.RoleSet:
		return fmt.Sprintf("role %d %s", ev.Leg, ev.Role)
	case call.Heard:
		return fmt.Sprintf("heard %d %s", ev.Leg, ev.What)
	case call.Left: // 487 and 2xx say no more than who left
		return fmt.Sprintf("left %d %s", ev.Leg, ev.By) + optional(ev.Code >= 300 && ev.Code != 487, " %d", ev.Code) +
			optional(ev.Reason != "", " %s", strings.ReplaceAll(ev.Reason, "|", "/"))
	case call.Restored:
		return "restored"
	case call.Ended:
		return "ended " + string(ev.Outcome)
	case call.Classified:
		return "classified " + string(ev.Kind)
	case call.TakerChanged:
		return fmt.Sprintf("taker %s %s", ev.Taker, ev.State)
	case call.Acted:
		return "acted " + ev.What
	}
	return fmt.Sprintf("%T", ev)
}

func compactArrived(ev call.Arrived) string {
	number := ev.Caller.Number
	if number == "" {
		number = "withheld"
	}
	return fmt.Sprintf("arrived 0 %s %s", number, ev.Caller.Trust) +
		optional(ev.Called != "112", " called=%s", ev.Called) +
		optional(ev.Priority != "", " priority=%s", ev.Priority) +
		optional(ev.Test, " test") +
		optional(ev.Reject != 0, " reject=%d", ev.Reject)
}

func compactScored(ev call.Scored) string {
	if ev.P < 0 {
		return "scored unknown"
	}
	return fmt.Sprintf("scored %.2f", ev.P) + optional(ev.Delay > 0, " delay=%s", ev.Delay.Round(time.Second))
}

func partyName(p call.Party) string {
	if p.Taker != "" {
		return string(p.Taker)
	}
	return p.URI
}

func optional(say bool, format string, args ...any) string {
	if !say {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

// compactAll are a call's entries as a story writes them.
func compactAll(es []call.Entry) []string {
	all := make([]string, 0, len(es))
	for _, e := range es {
		all = append(all, compact(e))
	}
	return all
}

// formatJournal is the journal section of the calls; one call alone needs no name.
func formatJournal(all []golden) []byte {
	var b bytes.Buffer
	for _, g := range all {
		if len(all) > 1 {
			fmt.Fprintf(&b, "call %s\n", g.name)
		}
		width := 0
		for i, e := range g.entries {
			switch {
			case i == 0:
			case width+3+len(e) > widest:
				b.WriteByte('\n')
				width = 0
			default:
				b.WriteString(" | ")
				width += 3
			}
			b.WriteString(e)
			width += len(e)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// compareJournal tells how got differs from want; "" when it does not.
func compareJournal(want, got golden) string {
	if slices.Equal(want.entries, got.entries) {
		return ""
	}
	i := 0
	for i < min(len(want.entries), len(got.entries)) && want.entries[i] == got.entries[i] {
		i++
	}
	at := func(all []string) string {
		if i < len(all) {
			return all[i]
		}
		return "no more entries"
	}
	return fmt.Sprintf("journal of call %s: want %q, got %q; all of it:\n%s",
		got.name, at(want.entries), at(got.entries), strings.TrimRight(string(formatJournal([]golden{got})), "\n"))
}

// rewrite is the story's file with other sections journal and end.
func (s *Story) rewrite(journal, end []byte) []byte {
	a := &txtar.Archive{Comment: s.archive.Comment}
	for _, f := range s.archive.Files {
		if f.Name != "journal" && f.Name != "end" {
			a.Files = append(a.Files, f)
		}
	}
	a.Files = append(a.Files, txtar.File{Name: "journal", Data: journal}, txtar.File{Name: "end", Data: end})
	return txtar.Format(a)
}
