package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga112/siaga112/call"
)

// linphone is a softphone with several calls that it can hold, transfer to one another (REFER with Replaces) and bring
// together; baresip has only the first.
type linphone struct {
	*process
	stdin io.Writer
	seen  int // of its output
}

// startLinphone registers a softphone that answers by itself and says a tone of the given frequency.
func startLinphone(t *testing.T, gateway, user, password, transport string, tone float64) *linphone {
	t.Helper()
	dir := t.TempDir()
	wav, rc := filepath.Join(dir, "tone.wav"), filepath.Join(dir, "linphonerc")
	rtp := freePorts(t, gatewayIP, 40)
	port := map[string]int{"udp": 0, "tcp": 0}
	port[transport] = freePort(t, gatewayIP)
	write(t, wav, toneWAV(tone, 90*time.Second))
	write(t, rc, fmt.Appendf(nil, `
[sip]
sip_port=%[1]d
sip_tcp_port=%[2]d
sip_tls_port=0
bind_address=%[3]s
use_ipv6=0
default_proxy=0
media_encryption=none
[rtp]
audio_rtp_port=%[4]d-%[5]d
[auth_info_0]
username=%[6]s
passwd=%[7]s
[proxy_0]
reg_proxy=<sip:%[8]s;transport=%[9]s>
reg_identity=<sip:%[6]s@%[8]s>
reg_expires=60
reg_sendregister=1
publish=0
`, port["udp"], port["tcp"], gatewayIP, rtp, rtp+39, user, password, gateway, transport))
	// Without a place for its database it starts, but never listens.
	if err := os.MkdirAll(filepath.Join(dir, ".local", "share", "linphone"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool(t, "linphonec", "linphone-cli"), "-c", rc, "-a", "-d", "0")
	cmd.Env = append(os.Environ(), "HOME="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	l := &linphone{process: start(t, cmd), stdin: stdin}
	l.do(t, "soundcard use files")
	l.do(t, "play "+wav)
	return l
}

// do types a command.
func (l *linphone) do(t *testing.T, command string) {
	t.Helper()
	if _, err := fmt.Fprintln(l.stdin, command); err != nil {
		t.Fatal(err)
	}
}

// sees waits until linphone has said so behind what it was last seen to say.
func (l *linphone) sees(t *testing.T, text string) {
	t.Helper()
	eventually(t, "linphone says "+text, func() bool {
		said := l.out.String()[l.seen:]
		i := strings.Index(said, text)
		if i < 0 {
			return false
		}
		l.seen += i + len(text)
		return true
	})
}

// consulting is a caller whose taker t1, with a linphone, has asked t2, with a baresip: the caller hears music, and the two talk.
func consulting(t *testing.T, transport, network string) (g *gateway, first *linphone, second *baresip, caller *process) {
	t.Helper()
	cfg := settings(t, t.TempDir(), "queue", "longest-idle")
	enroll(t, cfg, "t1", "t2")
	g = running(t, cfg)
	first = startLinphone(t, g.address(network), "t1", "t1-pw", transport, 440)
	g.ready(t, "t1")
	caller = sipp(t, g.address("UDP"), "is_hung_up_on", "+628115550002", "-m", "1", "-rtp_echo")
	g.role(t, 0, call.Talking)
	second = startBaresip(t, g.address(network), "t2", "t2-pw", transport, true, 880)
	g.ready(t, "t2")
	first.do(t, "pause")
	g.role(t, 0, call.Waiting)
	first.do(t, "call sip:t2@"+g.address(network))
	second.sees(t, "CALL_ESTABLISHED")
	g.role(t, 2, call.Talking)
	return g, first, second, caller
}

// consulted checks that the two takers have heard each other, and the second one the caller, who says back what he hears.
func consulted(t *testing.T, g *gateway, second *baresip) {
	t.Helper()
	g.live(t, 0)
	if share := second.heard(t, 440); share < 0.1 {
		t.Errorf("only %.0f %% of what the second softphone heard was the first", 100*share)
	}
	if share := second.heard(t, 880); share < 0.2 {
		t.Errorf("only %.0f %% of what the second softphone heard was its own tone, from the caller", 100*share)
	}
	rs := g.records(t)
	if len(rs) != 1 || rs[0].Outcome != call.WasAnswered || rs[0].Taker != "t1" || !slices.Equal(rs[0].Takers, []call.TakerID{"t2"}) {
		t.Errorf("records: %+v", rs)
	}
}

// A taker asks a colleague and gives the caller to him (REFER with Replaces): her phone is told so and hung up on twice.
func TestSoftphoneTransfersAttended(t *testing.T) {
	for transport, network := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			g, first, second, caller := consulting(t, transport, network)
			time.Sleep(time.Second) // they talk
			first.do(t, "transfer 1 --to-call 2")
			first.sees(t, "of call 1 has been transfer") // linphonec has a spelling of its own
			first.sees(t, "ended (No error)")
			first.sees(t, "ended (No error)") // both of her calls
			g.role(t, 0, call.Talking)
			time.Sleep(2 * time.Second) // caller and colleague talk
			second.do(t, "hangup")
			caller.wait(t, 20*time.Second)
			consulted(t, g, second)
		})
	}
}

// A taker asks a colleague and takes the caller in, by her phone's conference; the colleague leaves, and caller and taker talk on.
// Without a sound card linphone puts no voice of its own into a conference: what she says is heard in the story three-way.
func TestSoftphoneBringsThreeTogether(t *testing.T) {
	for transport, network := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			g, first, second, caller := consulting(t, transport, network)
			time.Sleep(time.Second) // they talk
			first.do(t, "conference add 1")
			first.do(t, "conference add 2")
			g.role(t, 0, call.Talking)
			g.role(t, 1, call.Talking)
			g.role(t, 2, call.Talking)
			time.Sleep(2 * time.Second) // the three talk
			second.do(t, "hangup")
			g.event(t, "the colleague's end", func(e call.Event) bool { return e == call.Left{Leg: 2, By: "taker", Why: "hung up"} })
			g.event(t, "the end of the taker's second call", func(e call.Event) bool { return e == call.Left{Leg: 65535, By: "desk"} })
			g.role(t, 0, call.Talking)
			g.live(t, 1)
			first.do(t, "terminate all")
			caller.wait(t, 20*time.Second)
			consulted(t, g, second)
		})
	}
}
