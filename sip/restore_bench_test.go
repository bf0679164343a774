package sip_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/sip"
	"github.com/siaga112/siaga112/sip/media"
	"github.com/siaga112/siaga112/sip/sdp"
)

// crashed is a desk and a store with the dialogs of an earlier run.
type crashed struct {
	*lively
	kept map[keptKey][]byte
}

func (c *crashed) Kept() iter.Seq2[call.LegID, []byte] {
	return func(yield func(call.LegID, []byte) bool) {
		for key, dialog := range maps.All(c.kept) {
			if !yield(call.LegID{Of: key.id, Leg: key.n}, dialog) {
				return
			}
		}
	}
}

// answering is a UDP socket that answers each INVITE as a peer in its dialog would, again until its ACK; it tells of each
// first ACK.
func answering(tb testing.TB, at string, rtp int) (netip.AddrPort, <-chan struct{}) {
	tb.Helper()
	conn, err := net.ListenPacket("udp", at)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	local := netip.MustParseAddrPort(conn.LocalAddr().String())
	acks := make(chan struct{}, 100_000)
	go func() {
		type sent struct {
			text string
			to   net.Addr
		}
		open, buf := map[string]sent{}, make([]byte, 1<<16)
		for {
			_ = conn.SetReadDeadline(time.Now().Add(t1))
			n, from, err := conn.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				for _, s := range open {
					_, _ = conn.WriteTo([]byte(s.text), s.to)
				}
				continue
			}
			if err != nil {
				return
			}
			m := message{text: string(buf[:n])}
			id := m.header("Call-ID")
			switch {
			case strings.HasPrefix(m.text, "INVITE"):
				text := response(m, "200 OK", "", session(local.Addr().String(), rtp), "Contact: <sip:x@"+local.String()+">")
				open[id] = sent{strings.ReplaceAll(text, "\n", "\r\n"), from}
				_, _ = conn.WriteTo([]byte(open[id].text), from)
			case strings.HasPrefix(m.text, "ACK"):
				if _, first := open[id]; first {
					acks <- struct{}{}
				}
				delete(open, id)
			}
		}
	}()
	return local, acks
}

// What 500 calls of two legs cost to take up, on real sockets of this machine: until Restore returns, until the first packet
// of each caller's leg has come after that, and until every peer has acknowledged that it is there.
func BenchmarkRestore(b *testing.B) {
	const number = 500
	rtp, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		b.Fatal(err)
	}
	_ = rtp.(*net.UDPConn).SetReadBuffer(4 << 20)
	defer func() { _ = rtp.Close() }()
	at := netip.MustParseAddrPort(rtp.LocalAddr().String())
	trunkAt, trunkAcks := answering(b, "127.0.0.2:0", int(at.Port()))
	phoneAt, phoneAcks := answering(b, "127.0.0.1:0", int(at.Port()))
	cfg := configuration()
	cfg.SIP.Listen = cfg.SIP.Listen[:1]
	cfg.SIP.Listen[0].Addr = netip.MustParseAddrPort("127.0.0.1:42998")
	cfg.RTP = config.RTP{First: 43000, Last: 45999}
	cfg.Trunks[0].From = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
	cfg.Takers.From = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	var restored, sounding, sure time.Duration
	for b.Loop() {
		world := &crashed{lively: &lively{facts: make(chan call.Event, 10_000)}, kept: map[keptKey][]byte{}}
		live := map[call.ID][]call.Leg{}
		for i := range number {
			id := call.NewID(call.Call, time.Now())
			live[id] = []call.Leg{0, 1}
			for n, peer := range []netip.AddrPort{trunkAt, phoneAt} {
				world.kept[keptKey{id, call.Leg(n)}] = dialogOf(id, call.Leg(n), peer, at, uint16(43000+4*i+2*n)).Encode()
			}
		}
		began := time.Now()
		line, err := sip.Open(sip.Options{
			Config: cfg, Net: media.System(), Prompts: media.NewLibrary(nil, nil), Intake: world, Keeper: world, Accounts: world,
			Alarm: func(name string, _ time.Time, text string) { b.Error(name, text) }, Log: zap.NewNop(),
		})
		if err != nil {
			b.Fatal(err)
		}
		line.Restore(live, time.Second)
		restored += time.Since(began)
		for id := range live {
			line.Play(id, 0, "waiting")
		}
		heard, buf := map[uint32]bool{}, make([]byte, 2000)
		_ = rtp.SetReadDeadline(time.Now().Add(20 * time.Second))
		for len(heard) < number {
			n, _, err := rtp.ReadFrom(buf)
			if err != nil || n < 12 {
				b.Fatal(len(heard), n, err)
			}
			heard[binary.BigEndian.Uint32(buf[8:])] = true
		}
		sounding += time.Since(began)
		limit := time.After(20 * time.Second)
		for _, acks := range []<-chan struct{}{trunkAcks, phoneAcks} {
			for i := range number {
				select {
				case <-acks:
				case <-limit:
					b.Fatalf("%d of %d peers have acknowledged, %d facts", i, number, len(world.facts))
				}
			}
		}
		sure += time.Since(began)
		line.Kill()
		if n := len(world.facts); n != 0 {
			b.Fatalf("%d legs were lost", n)
		}
	}
	b.ReportMetric(0, "ns/op")
	for unit, d := range map[string]time.Duration{"ms/restored": restored, "ms/sound": sounding, "ms/acknowledged": sure} {
		b.ReportMetric(float64(d.Microseconds())/1000/float64(b.N), unit)
	}
}

// dialogOf is the dialog of a leg that talks, as it was kept.
func dialogOf(id call.ID, n call.Leg, peer, rtp netip.AddrPort, port uint16) sip.Dialog {
	s := sdp.New(netip.MustParseAddr("127.0.0.1"), port, 1)
	s.Offer(sdp.SendRecv)
	m, err := s.Accept([]byte(strings.ReplaceAll(session(rtp.Addr().String(), int(rtp.Port())), "\n", "\r\n")))
	if err != nil {
		panic(err)
	}
	d := sip.Dialog{
		Leg: n, CallID: fmt.Sprint(id, ".", n), LocalTag: fmt.Sprint(id, ".", n), RemoteTag: "p",
		LocalURI: "<sip:112@127.0.0.1>", RemoteURI: "<sip:x@" + peer.String() + ">", Target: "sip:x@" + peer.String(),
		Net: "UDP", Local: netip.MustParseAddrPort("127.0.0.1:42998"), Peer: peer, LocalSeq: 1, Answered: true, Session: s, Media: m,
		Ports: [2]uint16{port, port + 1}, Stream: media.Mark{SSRC: uint32(port), At: time.Now()}, Fresh: time.Now(),
	}
	if n == 1 {
		d.Who = call.TakerID(fmt.Sprint("t", port))
	}
	return d
}
