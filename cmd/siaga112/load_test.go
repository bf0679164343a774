package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/web"
)

// Each benchmark is one run: make load. Nothing here fails for its time; on a machine that does other work the ratio of two
// programs in the same run says more than either.

// BenchmarkLoad calls the bare program of testdata/bare and then the gateway, with SIPp as the trunk and as the phones, each
// call a second long and without sound, and compares the CPU time that a call costs.
func BenchmarkLoad(b *testing.B) {
	for _, l := range []load{{rate: 200, calls: 6000}, {rate: 500, calls: 10_000}} {
		b.Run(fmt.Sprintf("%d-a-second", l.rate), func(b *testing.B) {
			for b.Loop() {
				bare := l.bare(b)
				gateway := l.gateway(b)
				b.ReportMetric(bare, "bare-ms/call")
				b.ReportMetric(gateway, "gateway-ms/call")
				b.ReportMetric(gateway/bare, "gateway/bare")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkLoadMemory lets 500 callers talk and tells what each costs in resident memory, 40 s after the last has come.
func BenchmarkLoadMemory(b *testing.B) {
	for b.Loop() {
		const calls = 500
		g := loaded(b, 600)
		g.phones(b)
		time.Sleep(5 * time.Second)
		before := resident(b, g.pid())
		begin := time.Now()
		traffic := sipp(b, g.addr, "hangs_up", "+62811555", "-m", strconv.Itoa(calls), "-r", "50", "-d", "58000", "-aa")
		time.Sleep(time.Until(begin.Add(50 * time.Second)))
		b.ReportMetric((resident(b, g.pid())-before)/calls/1000, "kB/call")
		traffic.wait(b, time.Minute)
		g.ends(b, calls)
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLoadNext has always more callers than phones: a little more than ten phones can serve come each second, for SIPp spins
// at a limit of calls. How long after a phone has hung up does the next INVITE come?
func BenchmarkLoadNext(b *testing.B) {
	for b.Loop() {
		const calls = 1500
		g := loaded(b, 10)
		d := newDesk(b, netip.MustParseAddrPort(g.phone), netip.MustParseAddrPort(g.addr))
		traffic := sipp(b, g.addr, "is_hung_up_on", "+62811555", "-m", strconv.Itoa(calls), "-r", "80", "-l", "5000", "-aa")
		traffic.wait(b, 2*time.Minute)
		g.ends(b, calls)
		pauses := d.close()
		slices.Sort(pauses)
		if len(pauses) < calls/2 {
			b.Fatalf("%d pauses were seen", len(pauses))
		}
		b.ReportMetric(pauses[len(pauses)/2].Seconds()*1000, "p50-ms")
		b.ReportMetric(pauses[len(pauses)*99/100].Seconds()*1000, "p99-ms")
		b.ReportMetric(pauses[len(pauses)-1].Seconds()*1000, "max-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// load is one level of traffic.
type load struct{ rate, calls int }

// bare is what a call costs the bare program, in ms of CPU time.
func (l load) bare(b *testing.B) float64 {
	b.Helper()
	program := filepath.Join(b.TempDir(), "bare")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "./testdata/bare").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	listen, phone := freeAddress(b), freeAddress(b)
	p := start(b, exec.Command(program, listen, phone))
	phones := answering(b, phone, "answers")
	time.Sleep(time.Second) // both listen
	cost := l.drive(b, "bare", listen, p, phones)
	stop(b, p)
	return cost
}

// gateway is what a call costs the gateway, in ms of CPU time.
func (l load) gateway(b *testing.B) float64 {
	b.Helper()
	g := loaded(b, 3*l.rate/2)
	phones := g.phones(b)
	cost := l.drive(b, "gateway", g.addr, g.process, phones)
	g.ends(b, l.calls)
	return cost
}

// drive makes the calls and reports how many failed, and what a call costs SIPp at its two ends. It returns what it costs
// the program in the middle, in ms of CPU time.
func (l load) drive(b *testing.B, name, addr string, p, phones *process) float64 {
	b.Helper()
	before, rang, whole := cpu(b, p), cpu(b, phones), machine(b)
	trunk := sipp(b, addr, "hangs_up", "+62811555", "-m", strconv.Itoa(l.calls), "-r", strconv.Itoa(l.rate), "-l", "5000", "-d", "1000", "-aa",
		"-trace_stat", "-stf", "stat.csv", "-fd", "1")
	<-trunk.done
	if trunk.err != nil {
		b.Logf("%s: sipp: %v", name, trunk.err)
	}
	cost, rung := cpu(b, p)-before, cpu(b, phones)-rang
	called := trunk.cmd.ProcessState.UserTime() + trunk.cmd.ProcessState.SystemTime()
	per := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(l.calls) }
	stats := statistics(b, filepath.Join(trunk.cmd.Dir, "stat.csv"))
	b.ReportMetric(float64(l.calls-stats["SuccessfulCall(C)"]), name+"-failed")
	b.ReportMetric(float64(stats["Retransmissions(C)"]), name+"-again")
	b.ReportMetric(per(rung+called), name+"-sipp-ms/call")
	b.ReportMetric(per(machine(b)-whole-cost-rung-called), name+"-others-ms/call")
	return per(cost)
}

// statistics are the last line of SIPp's, by column.
func statistics(b *testing.B, file string) map[string]int {
	b.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.Comma, r.FieldsPerRecord = ';', -1
	lines, err := r.ReadAll()
	if err != nil || len(lines) < 2 {
		b.Fatalf("SIPp's statistics: %d lines, %v", len(lines), err)
	}
	out := map[string]int{}
	last := lines[len(lines)-1]
	for i, name := range lines[0][:min(len(lines[0]), len(last))] {
		if n, err := strconv.Atoi(last[i]); err == nil {
			out[name] = n
		}
	}
	return out
}

// under is a gateway under load: a process of its own, its records on the disk, and registered phones.
type under struct {
	*process
	program, file, addr, phone, log string
}

// loaded starts a gateway with so many phones, all registered from one address, where nobody listens yet.
func loaded(tb testing.TB, phones int) *under {
	tb.Helper()
	dir := tb.TempDir()
	g := &under{program: build(tb), file: filepath.Join(dir, config.FileName), addr: freeAddress(tb), phone: freeAddress(tb)}
	write(tb, g.file, fmt.Appendf(nil, `
node: load
data: ./data
sip: {listen: ["udp:%s"], answer: queue, max_calls: 2000}
trunks: [{name: telkom, from: ["%s/32"], numbers: ["112"]}]
takers: {from: ["%s/32"]}
queue: {wrap_up: 0s}
`, g.addr, trunkIP, gatewayIP))
	cfg, err := config.Read(g.file)
	if err != nil {
		tb.Fatal(err)
	}
	users := staff(tb, cfg, phones)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = log.Close() }) // the gateway has written to it, not we
	g.log = log.Name()
	cmd := exec.Command(g.program, "-c", g.file, "serve")
	cmd.Stderr = log
	g.process = start(tb, cmd)
	eventually(tb, "it serves", func() bool {
		text, err := os.ReadFile(log.Name())
		return err == nil && bytes.Contains(text, []byte("serving"))
	})
	at := netip.MustParseAddrPort(g.phone)
	sipp(tb, g.addr, "registers", "", "-i", at.Addr().String(), "-p", strconv.Itoa(int(at.Port())), "-inf", users,
		"-m", strconv.Itoa(phones), "-r", "100", "-aa").wait(tb, time.Minute)
	return g
}

// staff adds accounts to the store of a gateway that does not run yet, and writes them to a file for SIPp.
func staff(tb testing.TB, cfg *config.Config, phones int) string {
	tb.Helper()
	s, err := store.Open(cfg.Data, store.Options{Alarm: func(string, time.Time, string) {}, Log: zap.NewNop()})
	if err != nil {
		tb.Fatal(err)
	}
	csv := []byte("SEQUENTIAL\n")
	for i := range phones {
		name := fmt.Sprintf("t%d", i)
		if err := s.PutTaker(account(cfg.SIP.Realm, web.Account{Name: call.TakerID(name), Department: "PMI", Password: name + "-pw"})); err != nil {
			tb.Fatal(err)
		}
		csv = fmt.Appendf(csv, "%[1]s;[authentication username=%[1]s password=%[1]s-pw]\n", name)
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "users.csv")
	write(tb, file, csv)
	return file
}

// phones lets SIPp stand for all registered phones.
func (g *under) phones(tb testing.TB) *process {
	tb.Helper()
	p := answering(tb, g.phone, "stays")
	time.Sleep(time.Second) // it listens
	return p
}

// answering is SIPp as phones that answer every call at once.
func answering(tb testing.TB, addr, scenario string) *process {
	tb.Helper()
	file, err := filepath.Abs(filepath.Join("..", "..", "testdata", "sipp", scenario+".xml"))
	if err != nil {
		tb.Fatal(err)
	}
	at := netip.MustParseAddrPort(addr)
	cmd := exec.Command(tool(tb, "sipp", "sip-tester"), "-sf", file, "-aa", "-i", at.Addr().String(), "-p", strconv.Itoa(int(at.Port())), "-nostdin")
	cmd.Dir = tb.TempDir()
	return start(tb, cmd)
}

// ends stops the gateway: every call must be a record, and the ledger must verify.
func (g *under) ends(b *testing.B, calls int) {
	b.Helper()
	time.Sleep(5 * time.Second) // the last BYEs, and what phones answer late
	stop(b, g.process)
	report := run(b, g.program, "-c", g.file, "cdr", "verify")
	arrived := -1
	for f := range strings.Lines(report) {
		if n, _, ok := strings.Cut(f, " arrived"); ok {
			if i, err := strconv.Atoi(n[strings.LastIndex(n, " ")+1:]); err == nil {
				arrived = i
			}
		}
	}
	if arrived != calls || !strings.Contains(report, " 0 live, verified") {
		b.Errorf("%d calls were made, the ledger says: %s", calls, report)
	}
}

func stop(b *testing.B, p *process) {
	b.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Error(err)
	}
	p.wait(b, 10*time.Second)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func freeAddress(tb testing.TB) string {
	tb.Helper()
	return fmt.Sprintf("%s:%d", gatewayIP, freePort(tb, gatewayIP))
}

// tick is the unit of CPU times under /proc (USER_HZ).
const tick = 10 * time.Millisecond

// cpu is the user and system time that a running process has used.
func cpu(b *testing.B, p *process) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
	if err != nil {
		b.Skipf("CPU time can't be read here: %v", err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	return ticks(b, fields[11:13])
}

// machine is the time that all processors have worked, for anybody.
func machine(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		b.Skipf("CPU time can't be read here: %v", err)
	}
	return ticks(b, strings.Fields(string(text))[1:4])
}

func ticks(b *testing.B, fields []string) time.Duration {
	b.Helper()
	sum := time.Duration(0)
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

// resident is the resident memory of a process, in bytes.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skipf("memory can't be read here: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				b.Fatal(err)
			}
			return float64(n) * 1024
		}
	}
	b.Fatal("no VmRSS")
	return math.NaN()
}
