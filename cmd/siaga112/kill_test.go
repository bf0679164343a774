package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build makes the program as a user has it.
func build(tb testing.TB) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "siaga112")
	if out, err := exec.CommandContext(tb.Context(), "go", "build", "-o", file, ".").CombinedOutput(); err != nil {
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

// The machine dies twenty times while callers ring, wait and talk. Whoever was connected is told goodbye by the next
// run, every INVITE that was known ends as one record, and all of them verify.
func TestKillTwentyTimes(t *testing.T) {
	program, dir := build(t), t.TempDir()
	port := freePort(t, gatewayIP)
	file := filepath.Join(dir, "siaga112.yaml")
	write(t, file, fmt.Appendf(nil, `
node: kill
data: ./data
sip: {listen: ["udp:%[1]s:%[3]d"]}
trunks: [{name: telkom, from: ["%[2]s/32"], numbers: ["112"]}]
takers: {from: ["%[1]s/32"]}
queue: {wrap_up: 0s}
`, gatewayIP, trunkIP, port))
	addr := fmt.Sprintf("%s:%d", gatewayIP, port)

	add := exec.Command(program, "-c", file, "taker", "add", "t1", "--department", "PMI", "--password-stdin")
	add.Stdin = strings.NewReader("t1-password\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("taker add: %v\n%s", err, out)
	}
	gateway := serving(t, program, file)
	startBaresip(t, addr, "t1", "t1-password", "udp", true, 440)
	const callers = 120
	traffic := sipp(t, addr, "is_hung_up_on", "+628115550006", "-m", fmt.Sprint(callers), "-r", "10", "-recv_timeout", "60000")
	r := rand.New(rand.NewPCG(1, 12))
	for range 20 {
		time.Sleep(time.Duration(200+r.IntN(400)) * time.Millisecond)
		if err := gateway.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-gateway.done
		report := run(t, program, "-c", file, "cdr", "verify")
		if !strings.Contains(report, " live, verified") {
			t.Fatalf("after a kill: %s", report)
		}
		gateway = serving(t, program, file)
	}
	// The rest of the callers come; each stop says goodbye to those who are there.
	for !traffic.ended() {
		time.Sleep(2 * time.Second)
		if err := gateway.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		gateway.wait(t, 10*time.Second)
		gateway = serving(t, program, file)
	}
	if err := gateway.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	gateway.wait(t, 10*time.Second)
	traffic.wait(t, time.Second)
	report := run(t, program, "-c", file, "cdr", "verify")
	t.Log(report)
	if !strings.Contains(report, " 0 live, verified") {
		t.Errorf("at the end: %s", report)
	}
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
