package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The addresses of the real peers: all on loopback.
const (
	gatewayIP = "127.0.0.1"
	trunkIP   = "127.0.0.2"
)

// tool finds a program of a real peer. Without it the test is skipped, in CI it fails.
func tool(tb testing.TB, name, pkg string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		tb.Fatalf("%s is missing: apt-get install %s", name, pkg)
	}
	tb.Skipf("%s is missing: apt-get install %s", name, pkg)
	return ""
}

// process runs a program until the test ends; its output is shown when the test fails. Stderr may go elsewhere.
type process struct {
	cmd  *exec.Cmd
	out  lockedBuffer
	done chan struct{}
	err  error // of Wait, once done is closed
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(tb testing.TB, cmd *exec.Cmd) *process {
	tb.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout = &p.out
	if cmd.Stderr == nil {
		cmd.Stderr = &p.out
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() { p.err = cmd.Wait(); close(p.done) }()
	tb.Cleanup(func() {
		select {
		case <-p.done:
		default:
			_ = cmd.Process.Kill() // it may end by itself in between
			<-p.done
		}
		if tb.Failed() {
			tb.Logf("%s:\n%s", filepath.Base(cmd.Path), tail(p.out.String(), 6000))
		}
	})
	return p
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// wait fails the test when the program does not end well in time.
func (p *process) wait(tb testing.TB, d time.Duration) {
	tb.Helper()
	select {
	case <-p.done:
		if p.err != nil {
			tb.Errorf("%s: %v", filepath.Base(p.cmd.Path), p.err)
		}
	case <-time.After(d):
		tb.Fatalf("%s did not end in %s", filepath.Base(p.cmd.Path), d)
	}
}

// sipp starts SIPp as the trunk with a scenario of testdata/sipp.
func sipp(tb testing.TB, gateway, scenario, caller string, more ...string) *process {
	tb.Helper()
	file, err := filepath.Abs(filepath.Join("..", "..", "testdata", "sipp", scenario+".xml"))
	if err != nil {
		tb.Fatal(err)
	}
	args := append([]string{
		gateway, "-sf", file, "-s", "112", "-key", "caller", caller, "-i", trunkIP, "-mi", trunkIP,
		"-p", strconv.Itoa(freePort(tb, trunkIP)), "-mp", strconv.Itoa(freePort(tb, trunkIP)), "-nostdin", "-timeout", "120s", "-trace_err", "-trace_screen",
	}, more...)
	cmd := exec.Command(tool(tb, "sipp", "sip-tester"), args...)
	cmd.Dir = tb.TempDir()
	tb.Cleanup(func() {
		logs, _ := filepath.Glob(filepath.Join(cmd.Dir, "*_errors.log"))
		for _, l := range logs {
			if b, err := os.ReadFile(l); err == nil && tb.Failed() {
				tb.Logf("sipp's errors:\n%s", tail(string(b), 4000))
			}
		}
	})
	return start(tb, cmd)
}

// The ports of real peers lie below those that the system gives away by itself, and below the gateway's own for sound: who
// is to listen on one later finds it free.
const firstPort, lastPort = 10000, 19999

// given counts the ports that were given to peers; another run of these tests begins elsewhere.
var given atomic.Int64

func init() { given.Store(int64(os.Getpid()*832) % (lastPort - firstPort)) }

// freePort is an even port that nobody has, and the next three are free too.
func freePort(tb testing.TB, ip string) int { tb.Helper(); return freePorts(tb, ip, 4) }

// freePorts is the first of n ports that nobody has, over UDP and TCP; it is even. No port is given twice.
func freePorts(tb testing.TB, ip string, n int) int {
	tb.Helper()
	n += n % 2
	for range 100 {
		end := given.Add(int64(n)) % (lastPort - firstPort)
		if first := firstPort + int(end)&^1; first+n <= lastPort && free(ip, first, n) {
			return first
		}
	}
	tb.Fatalf("no %d ports are free from %d to %d", n, firstPort, lastPort)
	return 0
}

func free(ip string, first, n int) bool {
	for port := first; port < first+n; port++ {
		at := net.JoinHostPort(ip, strconv.Itoa(port))
		udp, err := net.ListenPacket("udp", at)
		if err != nil {
			return false
		}
		tcp, err := net.Listen("tcp", at)
		if err := errors.Join(err, udp.Close()); err != nil {
			return false
		}
		if err := tcp.Close(); err != nil {
			return false
		}
	}
	return true
}

// baresip is one softphone and its control connection.
type baresip struct {
	*process
	dir    string
	conn   net.Conn
	events chan baresipEvent
}

type baresipEvent struct {
	Event    bool   `json:"event"`
	Response bool   `json:"response"`
	OK       bool   `json:"ok"`
	Type     string `json:"type"`
	Data     string `json:"data"`
}

// startBaresip registers a softphone that says a tone of the given frequency. It answers by itself if auto.
func startBaresip(t *testing.T, gateway, user, password, transport string, auto bool, tone float64) *baresip {
	t.Helper()
	program := tool(t, "baresip", "baresip-core")
	modules := baresipModules(t)
	dir := t.TempDir()
	control := freePort(t, gatewayIP)
	rtp := freePorts(t, gatewayIP, 100)
	wav := filepath.Join(dir, "tone.wav")
	write(t, wav, toneWAV(tone, 90*time.Second))
	write(t, filepath.Join(dir, "config"), fmt.Appendf(nil, `
poll_method epoll
sip_listen %[1]s:%[2]d
net_interface %[1]s
call_local_timeout 120
call_max_calls 4
audio_path %[3]s
audio_source aufile,%[4]s
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
audio_buffer 20-160
jitter_buffer_delay 1-5
rtp_ports %[5]d-%[6]d
module_path %[7]s
module g711.so
module aufile.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:%[8]d
snd_path %[3]s
`, gatewayIP, freePort(t, gatewayIP), dir, wav, rtp, rtp+99, modules, control))
	mode := "manual"
	if auto {
		mode = "auto"
	}
	write(t, filepath.Join(dir, "accounts"), fmt.Appendf(nil,
		"<sip:%s@%s;transport=%s>;auth_user=%[1]s;auth_pass=%[4]s;answermode=%[5]s;audio_codecs=pcma,pcmu;regint=60\n", user, gateway, transport, password, mode))
	write(t, filepath.Join(dir, "contacts"), nil)
	b := &baresip{dir: dir, events: make(chan baresipEvent, 256)}
	b.process = start(t, exec.Command(program, "-f", dir, "-s", "-v"))
	b.conn = connect(t, fmt.Sprintf("127.0.0.1:%d", control))
	t.Cleanup(func() { _ = b.conn.Close() })
	go b.read()
	return b
}

// baresipModules is the folder of its modules: with or without the machine's architecture in its path.
func baresipModules(tb testing.TB) string {
	tb.Helper()
	for _, pattern := range []string{"/usr/lib/baresip/modules", "/usr/lib/*/baresip/modules", "/usr/local/lib/baresip/modules"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[0]
		}
	}
	tb.Fatal("baresip's modules are not where Debian puts them")
	return ""
}

func connect(tb testing.TB, addr string) net.Conn {
	tb.Helper()
	for range 100 {
		if c, err := net.Dial("tcp", addr); err == nil {
			return c
		}
		time.Sleep(50 * time.Millisecond)
	}
	tb.Fatalf("nobody listens on %s", addr)
	return nil
}

// read takes baresip's netstrings of JSON.
func (b *baresip) read() {
	defer close(b.events)
	r := bufio.NewReader(b.conn)
	for {
		head, err := r.ReadString(':')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSuffix(head, ":"))
		if err != nil {
			return
		}
		body := make([]byte, n+1)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		var e baresipEvent
		if json.Unmarshal(body[:n], &e) == nil {
			b.events <- e
		}
	}
}

// do sends a command.
func (b *baresip) do(t *testing.T, command string) {
	t.Helper()
	name, params, _ := strings.Cut(command, " ")
	m, err := json.Marshal(map[string]string{"command": name, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(b.conn, "%d:%s,", len(m), m); err != nil {
		t.Fatal(err)
	}
}

// sees waits for an event of that type.
func (b *baresip) sees(t *testing.T, kind string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case e, ok := <-b.events:
			if !ok {
				t.Fatalf("baresip has ended before %s", kind)
			}
			if e.Type == kind {
				return
			}
		case <-deadline:
			t.Fatalf("baresip saw no %s", kind)
		}
	}
}

// heard is how much of what the softphone heard was the tone: the share of 20 ms frames in which it is by far the
// loudest part.
func (b *baresip) heard(t *testing.T, tone float64) float64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.dir, "dump-*-dec.wav"))
	if err != nil || len(files) == 0 {
		t.Fatalf("baresip recorded nothing: %v", err)
	}
	slices.Sort(files)
	raw, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	pcm := raw[min(44, len(raw)):]
	samples := make([]float64, len(pcm)/2)
	for i := range samples {
		samples[i] = float64(int16(binary.LittleEndian.Uint16(pcm[2*i:])))
	}
	frames, good := 0, 0
	for f := range slices.Chunk(samples, 160) {
		if len(f) < 160 {
			continue
		}
		frames++
		if purity(f, tone) > 0.8 {
			good++
		}
	}
	if frames == 0 {
		return 0
	}
	t.Logf("%s: %d of %d frames are %.0f Hz", filepath.Base(files[len(files)-1]), good, frames, tone)
	return float64(good) / float64(frames)
}

// purity is the share of a frame's energy that lies at the frequency (Goertzel).
func purity(f []float64, hz float64) float64 {
	c := 2 * math.Cos(2*math.Pi*hz/8000)
	var s1, s2, energy float64
	for _, x := range f {
		s1, s2 = x+c*s1-s2, s1
		energy += x * x
	}
	if energy < 160*100*100 {
		return 0
	}
	return (s1*s1 + s2*s2 - c*s1*s2) / (energy * float64(len(f)) / 2)
}

// toneWAV is a tone as a WAV file: 8 kHz, mono, 16 bit.
func toneWAV(hz float64, d time.Duration) []byte {
	n := int(d.Seconds() * 8000)
	var b bytes.Buffer
	b.WriteString("RIFF")
	_ = binary.Write(&b, binary.LittleEndian, uint32(36+2*n)) // a bytes.Buffer takes everything
	b.WriteString("WAVEfmt ")
	for _, v := range []any{uint32(16), uint16(1), uint16(1), uint32(8000), uint32(16000), uint16(2), uint16(16)} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("data")
	_ = binary.Write(&b, binary.LittleEndian, uint32(2*n))
	for i := range n {
		_ = binary.Write(&b, binary.LittleEndian, int16(12000*math.Sin(2*math.Pi*hz*float64(i)/8000)))
	}
	return b.Bytes()
}

func write(tb testing.TB, file string, b []byte) {
	tb.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// eventually waits until ok, at most 20 seconds.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for range 400 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	buf := make([]byte, 1<<16)
	tb.Fatalf("not within 20 s: %s\n%s", what, buf[:runtime.Stack(buf, true)])
}
