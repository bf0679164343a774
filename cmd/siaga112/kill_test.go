package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

// build makes the program as a user has it, or with other flags.
func build(tb testing.TB, flags ...string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "siaga112")
	args := append(append([]string{"build"}, flags...), "-o", file, ".")
	if out, err := exec.CommandContext(tb.Context(), "go", args...).CombinedOutput(); err != nil {
		tb.Fatalf("build: %v\n%s", err, out)
	}
	return file
}

// run runs a command line of the program to its end.
func run(tb testing.TB, program string, args ...string) string {
	tb.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		tb.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// The machine dies twenty times while callers ring, wait and talk. Whoever was connected stays, every INVITE that was known ends
// as one record, and all of them verify. In the end Ctrl-C says goodbye to everybody.
func TestKillTwentyTimes(t *testing.T) {
	w := wire(t, build(t), "", "t1")
	startBaresip(t, w.addr, "t1", "t1-password", "udp", true, 440)
	const callers = 120
	traffic := sipp(t, w.addr, "lives_on", "+62811557", "-m", fmt.Sprint(callers), "-r", "10", "-l", "200", "-aa", "-key", "hears", "9")
	r := rand.New(rand.NewPCG(1, 12))
	for range 20 {
		time.Sleep(time.Duration(200+r.IntN(400)) * time.Millisecond)
		w.kill(t)
		report := run(t, w.program, "-c", w.file, "cdr", "verify")
		if !strings.Contains(report, " live, verified") {
			t.Fatalf("after a kill: %s", report)
		}
		w.start(t)
	}
	everybody := fmt.Sprintf("%d arrived, 0 ended, %[1]d live, verified", callers)
	report := ""
	eventually(t, "all callers are there", func() bool {
		report = run(t, w.program, "-c", w.file, "cdr", "verify")
		return strings.Contains(report, everybody)
	})
	t.Log(report)
	w.signal(t, os.Interrupt)
	traffic.wait(t, 10*time.Second)
	var all []time.Duration
	for _, es := range w.calls(t) {
		if last := call.Fold(slices.Values(es)); last.Outcome != call.WasRestart {
			t.Errorf("%s ended as %s", last.Of, last.Outcome)
		}
		all = append(all, gaps(es)...)
	}
	slices.Sort(all)
	t.Logf("%d times a call was taken up; nobody was there for %s in the median, %s at most", len(all), all[len(all)/2], all[len(all)-1])
}

// serving starts the program's gateway and waits until it serves.
func serving(t *testing.T, program, file string) *process {
	t.Helper()
	p := start(t, exec.Command(program, "-c", file, "serve"))
	eventually(t, "it serves", func() bool {
		select {
		case <-p.done:
			t.Fatalf("serve: %v\n%s", p.err, p.out.String())
		default:
		}
		return strings.Contains(p.out.String(), "serving")
	})
	return p
}

// ended tells whether the program has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
