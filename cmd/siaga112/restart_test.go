package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/siptest"
)

// ear is a socket where a caller of SIPp, which opens none for sound, is told to hear: it notes when packets come.
type ear struct {
	conn net.PacketConn
	wg   sync.WaitGroup
	mu   sync.Mutex
	at   []time.Time
}

func listen(t *testing.T) *ear {
	t.Helper()
	e := &ear{}
	var err error
	if e.conn, err = net.ListenPacket("udp", fmt.Sprintf("%s:%d", trunkIP, freePort(t, trunkIP))); err != nil {
		t.Fatal(err)
	}
	e.wg.Go(func() {
		buf := make([]byte, 2048)
		for {
			if _, _, err := e.conn.ReadFrom(buf); err != nil {
				return
			}
			e.mu.Lock()
			e.at = append(e.at, time.Now())
			e.mu.Unlock()
		}
	})
	t.Cleanup(func() { _ = e.conn.Close(); e.wg.Wait() }) // the reader ends by that
	return e
}

func (e *ear) port() string { return strconv.Itoa(e.conn.LocalAddr().(*net.UDPAddr).Port) }

// hears waits until something is heard after the time, and tells when.
func (e *ear) hears(t *testing.T, what string, after time.Time) (at time.Time) {
	t.Helper()
	eventually(t, what, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		if n := len(e.at); n == 0 || !e.at[n-1].After(after) {
			return false
		}
		i, _ := slices.BinarySearchFunc(e.at, after.Add(1), time.Time.Compare)
		at = e.at[i]
		return true
	})
	return at
}

// wired is a program's own gateway with call takers, on its own ports.
type wired struct {
	program, file, addr string
	*process
}

// wire makes the configuration and the accounts; the password of each is the name and "-password".
func wire(t *testing.T, program string, keys string, takers ...string) *wired {
	t.Helper()
	port := freePort(t, gatewayIP)
	w := &wired{program: program, file: filepath.Join(t.TempDir(), config.FileName), addr: fmt.Sprintf("%s:%d", gatewayIP, port)}
	write(t, w.file, fmt.Appendf(nil, `
node: kill
data: ./data
sip: {listen: ["udp:%[1]s"]%[4]s}
trunks: [{name: telkom, from: ["%[2]s/32"], numbers: ["112"]}]
takers: {from: ["%[3]s/32"]}
queue: {wrap_up: 0s}
`, w.addr, trunkIP, gatewayIP, keys))
	for _, name := range takers {
		add := exec.Command(program, "-c", w.file, "taker", "add", name, "--department", "PMI", "--password-stdin")
		add.Stdin = strings.NewReader(name + "-password\n")
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("taker add: %v\n%s", err, out)
		}
	}
	w.process = serving(t, program, w.file)
	return w
}

// kill is kill -9.
func (w *wired) kill(t *testing.T) {
	t.Helper()
	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-w.done
}

// signal stops it in order.
func (w *wired) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	w.wait(t, 10*time.Second)
}

func (w *wired) start(t *testing.T) { t.Helper(); w.process = serving(t, w.program, w.file) }

// calls are the entries of every call, once the gateway has ended.
func (w *wired) calls(t *testing.T) [][]call.Entry {
	t.Helper()
	cfg, err := config.Read(w.file)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, cfg)
	s, err := quietStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	all, err := entriesOf(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

// gaps are how long nobody was there for a call, by its record.
func gaps(es []call.Entry) (out []time.Duration) {
	for _, e := range es {
		if r, ok := e.Event.(call.Restored); ok {
			out = append(out, r.Gap)
		}
	}
	return out
}

// Real peers over kill -9: one talks with a call taker and two wait. The same three hear sound again after the next start, the
// one talks on, and the others get the call taker when he has hung up.
func TestKillKeepsRealCalls(t *testing.T) {
	t.Parallel()
	w := wire(t, build(t), "", "t1")
	phone := startBaresip(t, w.addr, "t1", "t1-password", "udp", true, 440)
	eventually(t, "the phone is registered", func() bool { return strings.Contains(w.out.String(), `"t1"`) })
	ears, callers := make([]*ear, 3), make([]*process, 3)
	for i := range ears {
		ears[i] = listen(t)
		callers[i] = sipp(t, w.addr, "lives_on", fmt.Sprintf("+62811555%d", i), "-m", "1", "-aa", "-key", "hears", ears[i].port())
		ears[i].hears(t, fmt.Sprintf("caller %d hears something", i), time.Now())
	}
	phone.sees(t, "CALL_ESTABLISHED")
	time.Sleep(time.Second) // they talk, and wait

	died := time.Now()
	w.kill(t)
	began := time.Now()
	w.start(t)
	serves := time.Now()
	for i, e := range ears {
		at := e.hears(t, fmt.Sprintf("caller %d hears something after the restart", i), began)
		t.Logf("caller %d heard nothing for %s, %s of it after the program had been started again", i, at.Sub(died).Round(time.Millisecond), at.Sub(began).Round(time.Millisecond))
	}
	t.Logf("it served %s after it had been started", serves.Sub(began).Round(time.Millisecond))
	for i := range callers {
		if i > 0 {
			phone.sees(t, "CALL_ESTABLISHED")
		}
		time.Sleep(500 * time.Millisecond) // they talk
		phone.do(t, "hangup")
		eventually(t, "a caller is hung up on", func() bool { return slices.ContainsFunc(callers, (*process).ended) })
		callers = slices.DeleteFunc(callers, func(p *process) bool {
			if p.ended() {
				p.wait(t, time.Second)
			}
			return p.ended()
		})
	}
	w.signal(t, syscall.SIGTERM)
	all := w.calls(t)
	if len(all) != 3 {
		t.Fatalf("%d calls, want 3", len(all))
	}
	for _, es := range all {
		if r := call.Fold(slices.Values(es)); r.Outcome != call.WasAnswered || len(gaps(es)) != 1 {
			t.Errorf("%s, with gaps %v", r.Outcome, gaps(es))
		}
	}
}

// Fifty talk while the gateway is stopped by SIGTERM and another build of it is started: each is asked whether he is still
// there, talks on, and hangs up when he wants to.
func TestUpgradeUnderFiftyCalls(t *testing.T) {
	t.Parallel()
	const calls = 50
	g := loaded(t, calls)
	phones := g.phones(t)
	callers := sipp(t, g.addr, "talks_on", "+62811556", "-m", strconv.Itoa(calls), "-r", "50", "-d", "2000", "-aa")
	w := &wired{program: build(t, "-ldflags=-s -w"), file: g.file, addr: g.addr, process: g.process}
	eventually(t, "all talk", func() bool {
		log, err := os.ReadFile(g.log)
		return err == nil && strings.Count(string(log), `"leg": 0, "role": "talking"`) == calls
	})
	w.signal(t, syscall.SIGTERM)
	w.start(t)
	callers.wait(t, 60*time.Second)
	time.Sleep(time.Second) // the last BYEs
	w.signal(t, syscall.SIGTERM)
	_ = phones.cmd.Process.Kill() // it goes on for ever
	all := w.calls(t)
	if len(all) != calls {
		t.Errorf("%d calls, want %d", len(all), calls)
	}
	longest := time.Duration(0)
	for _, es := range all {
		r, gs := call.Fold(slices.Values(es)), gaps(es)
		if r.Outcome != call.WasAnswered || len(gs) != 1 || r.Talk < 2*time.Second {
			t.Errorf("%s after %s, with gaps %v", r.Outcome, r.Talk, gs)
		}
		longest = max(longest, slices.Max(append(gs, 0)))
	}
	t.Logf("nobody was there for %s", longest.Round(time.Millisecond))
}

// A drain is cut short by a second SIGTERM, and what waits is taken up by the next start; Ctrl-C says goodbye, whatever the
// configuration says.
func TestSecondSignalCutsADrain(t *testing.T) {
	t.Parallel()
	w := wire(t, build(t), ", on_stop: drain")
	ear := listen(t)
	caller := sipp(t, w.addr, "lives_on", "+628115580", "-m", "1", "-aa", "-key", "hears", ear.port())
	ear.hears(t, "the caller hears something", time.Now())
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it drains", func() bool { return strings.Contains(w.out.String(), "draining: new calls get 503") })
	ear.hears(t, "the caller still hears something", time.Now())
	w.signal(t, syscall.SIGTERM)
	w.start(t)
	ear.hears(t, "the caller hears something again", time.Now())
	w.signal(t, os.Interrupt)
	caller.wait(t, 10*time.Second)
	if all := w.calls(t); len(all) != 1 || len(gaps(all[0])) != 1 {
		t.Errorf("the journal: %v", all)
	}
}

// What the score knows is read while calls go on, all of it and each record once.
func TestHistoryIsReadWhileItServes(t *testing.T) {
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	s, err := quietStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now().Add(-time.Hour)
	const calls = 3 * learnChunk
	for i := range calls {
		at := begin.Add(time.Duration(i) * time.Second)
		c := siptest.PastCall{At: at, Caller: call.Caller{Number: fmt.Sprintf("+62811%d", i%7), Trust: call.Asserted}, Wait: time.Second, Talk: time.Second, Kind: call.Prank}
		s.Append(c.Entries(call.NewID(call.Call, at), "telkom", "112", call.Party{Taker: call.TakerID(fmt.Sprintf("t%d", i))}), func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var told lockedBuffer
	g, err := open(cfg, parts{Net: media.System(), Log: zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&told), zap.InfoLevel))})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is read", func() bool {
		return strings.Contains(told.String(), fmt.Sprintf(`"the history is read","records":%d,`, 2*calls))
	})
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRestart500 is kill -9 with 500 live calls, of which 250 talk and 250 wait: how long after the start of the next process
// the calls are taken up, and until it says that it serves. Run it with -benchtime=1x.
func BenchmarkRestart500(b *testing.B) {
	const calls, phones = 500, 250
	g := loaded(b, phones)
	g.phones(b)
	callers := sipp(b, g.addr, "lives_on", "+62811558", "-m", strconv.Itoa(calls), "-r", "100", "-l", "600", "-aa", "-key", "hears", "9")
	log := func() string {
		text, err := os.ReadFile(g.log)
		if err != nil {
			b.Fatal(err)
		}
		return string(text)
	}
	count := func(what string, n int) func() bool { return func() bool { return strings.Count(log(), what) == n } }
	eventually(b, "250 talk", count(`"leg": 0, "role": "talking"`, phones))
	eventually(b, "500 are answered", count("answered\t{\"of\": ", calls+phones))
	for b.Loop() {
		if err := g.cmd.Process.Kill(); err != nil {
			b.Fatal(err)
		}
		<-g.done
		began := time.Now()
		g.process = start(b, exec.Command(g.program, "-c", g.file, "serve"))
		for !strings.Contains(g.out.String(), "serving") {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-to-serving")
	}
	b.Log(g.out.String()[:min(2000, len(g.out.String()))])
	eventually(b, "all are there", func() bool {
		return strings.Contains(run(b, g.program, "-c", g.file, "cdr", "verify"), fmt.Sprintf("%d arrived, 0 ended, %[1]d live", calls))
	})
	time.Sleep(2 * time.Second) // all are asked whether they are still there
	if err := g.cmd.Process.Signal(os.Interrupt); err != nil {
		b.Fatal(err)
	}
	g.wait(b, 10*time.Second)
	callers.wait(b, 20*time.Second)
}
