package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/queue"
)

// shownCalls is how many waiting calls a live view has room for.
const shownCalls = 12

// watch shows the desk until the context is done: a screen on a terminal, else one line a second when something changed.
func watch(ctx context.Context, out io.Writer, desk *queue.Queue) {
	file, ok := out.(*os.File)
	screen := ok && term.IsTerminal(int(file.Fd()))
	every := time.Second
	if screen {
		every = 250 * time.Millisecond
	}
	t := time.NewTicker(every)
	defer t.Stop()
	last := ""
	for {
		v := desk.View()
		if screen {
			fmt.Fprint(out, "\x1b[H\x1b[2J"+picture(v, time.Now()))
		} else if now := summary(v, time.Now()); now != last {
			fmt.Fprintln(out, now)
			last = now
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// summary is the desk in one line.
func summary(v queue.View, now time.Time) string {
	var ready, busy int
	for _, t := range v.Takers {
		switch {
		case t.Call != "":
			busy++
		case t.State == call.Ready:
			ready++
		}
	}
	var oldest time.Duration
	for _, w := range v.Waiting {
		oldest = max(oldest, now.Sub(w.Since))
	}
	return fmt.Sprintf("waiting %d (oldest %s)  takers %d ready, %d in a call  arrived %d  ended %d %s",
		len(v.Waiting), clock(oldest), ready, busy, v.Arrived, v.Ended, outcomes(v.Outcomes))
}

// picture is the desk as a screen: who waits, the call takers, the totals.
func picture(v queue.View, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Siaga112 demo   arrived %d   ended %d   live %d   %s\r\n\r\n", v.Arrived, v.Ended, v.Live, outcomes(v.Outcomes))
	fmt.Fprintf(&b, "WAITING (%d)\r\n", len(v.Waiting))
	for i, w := range v.Waiting {
		if i == shownCalls {
			fmt.Fprintf(&b, "  … and %d more\r\n", len(v.Waiting)-i)
			break
		}
		fmt.Fprintf(&b, "  %s  %-16s %-8s %s\r\n", clock(now.Sub(w.Since)), orDash(w.Caller.Number), w.Caller.Trust, circumstances(w))
	}
	if len(v.Waiting) == 0 {
		b.WriteString("  nobody\r\n")
	}
	b.WriteString("\r\nCALL TAKERS\r\n")
	for _, t := range v.Takers {
		doing := string(t.State)
		switch {
		case t.Talking:
			doing = "talking"
		case t.Call != "":
			doing = "ringing"
		}
		fmt.Fprintf(&b, "  %-12s %-12s %-8s %s\r\n", t.ID, t.Department, doing, clock(now.Sub(t.Since)))
	}
	b.WriteString("\r\nCtrl-C ends it.\r\n")
	return b.String()
}

// circumstances say what the queue knows of a waiting call.
func circumstances(w queue.Waiting) string {
	parts := []string{"no history"}
	if n, ok := (call.Scored{P: w.P}).InTen(); ok && w.HasP {
		parts[0] = fmt.Sprintf("prank %d/10", n)
	}
	if w.Delay > 0 {
		parts = append(parts, fmt.Sprintf("gives way %s", w.Delay.Round(time.Second)))
	}
	if w.Passed > 0 {
		parts = append(parts, fmt.Sprintf("overtaken %d×", w.Passed))
	}
	if len(w.Ringing) > 0 {
		parts = append(parts, fmt.Sprintf("ringing at %s", w.Ringing[0]))
	}
	return strings.Join(parts, ", ")
}

// outcomes are the ended calls by outcome, in a fixed order.
func outcomes(n map[call.Outcome]uint64) string {
	var parts []string
	for o, k := range n {
		if k > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", o, k))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// clock is a span as minutes and seconds.
func clock(d time.Duration) string {
	s := int(max(0, d).Seconds())
	return fmt.Sprintf("%02d.%02d", s/60, s%60)
}
