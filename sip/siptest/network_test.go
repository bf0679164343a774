package siptest_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga112/siaga112/sip/siptest"
)

var (
	hostA = netip.MustParseAddr("10.0.0.1")
	hostB = netip.MustParseAddr("10.0.0.2")
)

func listen(t *testing.T, n *siptest.Network, addr string) net.PacketConn {
	t.Helper()
	ip := netip.MustParseAddrPort(addr).Addr()
	c, err := n.Host(ip).Net().ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// receive reads until nothing has come for a second.
func receive(t *testing.T, c net.PacketConn) []string {
	t.Helper()
	var got []string
	buf := make([]byte, 4096)
	for {
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("ReadFrom: %v", err)
			}
			return got
		}
		got = append(got, string(buf[:n]))
	}
}

func TestDatagramsArriveInOrderAfterTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		a, b := listen(t, n, "10.0.0.1:5060"), listen(t, n, "10.0.0.2:5060")
		begin := time.Now()
		for _, s := range []string{"1", "2", "3"} {
			if _, err := a.WriteTo([]byte(s), b.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		buf := make([]byte, 10)
		k, from, err := b.ReadFrom(buf)
		if err != nil || string(buf[:k]) != "1" {
			t.Fatalf("ReadFrom = %q, %v", buf[:k], err)
		}
		if d := time.Since(begin); d != siptest.Delay+siptest.Skew {
			t.Errorf("arrived after %s, want %s", d, siptest.Delay+siptest.Skew)
		}
		if u, ok := from.(*net.UDPAddr); !ok || u.String() != "10.0.0.1:5060" {
			t.Errorf("from %T %v, want the *net.UDPAddr of a", from, from)
		}
		if diff := cmp.Diff([]string{"2", "3"}, receive(t, b)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFateOfALink(t *testing.T) {
	for name, c := range map[string]struct {
		fate siptest.Fate
		want []string
	}{
		"lost":    {siptest.Lost, nil},
		"doubled": {siptest.Doubled, []string{"1", "1", "2", "2", "3", "3"}},
		"every 2": {siptest.Every(2), []string{"1", "3"}},
		"whole":   {nil, []string{"1", "2", "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := siptest.NewNetwork()
				a, b := listen(t, n, "10.0.0.1:1000"), listen(t, n, "10.0.0.2:1000")
				n.Link(hostA, hostB, siptest.Lost)
				n.Link(hostA, hostB, c.fate)
				for _, s := range []string{"1", "2", "3"} {
					_, _ = a.WriteTo([]byte(s), b.LocalAddr())
				}
				if diff := cmp.Diff(c.want, receive(t, b)); diff != "" {
					t.Error(diff)
				}
				_, _ = b.WriteTo([]byte("back"), a.LocalAddr())
				if diff := cmp.Diff([]string{"back"}, receive(t, a)); diff != "" {
					t.Errorf("the other direction: %s", diff)
				}
			})
		})
	}
}

func TestDropTakesAllSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		a, b := listen(t, n, "10.0.0.1:5060"), listen(t, n, "10.0.0.2:5060")
		result := make(chan error, 1)
		go func() {
			_, _, err := b.ReadFrom(make([]byte, 10))
			result <- err
		}()
		synctest.Wait()
		_, _ = b.WriteTo([]byte("last words"), a.LocalAddr())
		n.Drop(hostB)
		if err := <-result; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadFrom of a dropped host: %v, want net.ErrClosed", err)
		}
		if _, err := b.WriteTo([]byte("x"), a.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteTo of a dropped host: %v, want net.ErrClosed", err)
		}
		if _, err := a.WriteTo([]byte("into the void"), b.LocalAddr()); err != nil {
			t.Errorf("WriteTo to a dropped host: %v", err)
		}
		if diff := cmp.Diff([]string{"last words"}, receive(t, a)); diff != "" {
			t.Error(diff)
		}
		if got := n.Host(hostB).Open(); got != 0 {
			t.Errorf("%d sockets are open", got)
		}
		again := listen(t, n, "10.0.0.2:5060")
		if got := receive(t, again); got != nil {
			t.Errorf("a new socket received %q", got)
		}
	})
}

func TestListenErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		listen(t, n, "10.0.0.1:5060")
		h := n.Host(hostA).Net()
		for _, c := range []struct {
			network, addr string
			want          error
		}{
			{"udp", "10.0.0.1:5060", syscall.EADDRINUSE},
			{"udp", "10.0.0.2:5060", syscall.EADDRNOTAVAIL},
			{"unix", "10.0.0.1:1", net.UnknownNetworkError("unix")},
		} {
			if _, err := h.ListenPacket(c.network, c.addr); !errors.Is(err, c.want) {
				t.Errorf("ListenPacket(%s, %s): %v, want %v", c.network, c.addr, err, c.want)
			}
		}
		if _, err := h.Dial(t.Context(), "tcp", "10.0.0.2:5060"); !errors.Is(err, syscall.EHOSTUNREACH) {
			t.Errorf("Dial to nobody: %v", err)
		}
		n.Host(hostB)
		all := n.Net()
		if c, err := all.ListenPacket("udp", "10.0.0.9:7"); err != nil || c.LocalAddr().String() != "10.0.0.9:7" {
			t.Errorf("ListenPacket of the network: %v, %v", c, err)
		}
		if l, err := all.Listen("tcp", "10.0.0.9:7"); err != nil || l.Addr().String() != "10.0.0.9:7" {
			t.Errorf("Listen of the network: %v, %v", l, err)
		}
		if _, err := all.ListenPacket("udp", ":7"); err == nil {
			t.Error("the network listened nowhere")
		}
		if _, err := all.Dial(t.Context(), "tcp", "10.0.0.9:7"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Dial of the network: %v", err)
		}
		if _, err := h.Dial(t.Context(), "tcp", "10.0.0.2:5060"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial to a closed port: %v", err)
		}
		free, err := h.ListenPacket("udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		if err := free.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := free.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second Close: %v, want net.ErrClosed", err)
		}
	})
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		l, err := n.Host(hostA).Net().Listen("tcp", "10.0.0.1:5060")
		if err != nil {
			t.Fatal(err)
		}
		near, err := n.Host(hostB).Net().Dial(t.Context(), "tcp", "10.0.0.1:5060")
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if near.LocalAddr().String() != far.RemoteAddr().String() || far.LocalAddr().String() != "10.0.0.1:5060" {
			t.Errorf("near %v-%v, far %v-%v", near.LocalAddr(), near.RemoteAddr(), far.LocalAddr(), far.RemoteAddr())
		}
		_, _ = near.Write([]byte("hello "))
		_, _ = near.Write([]byte("world"))
		one := make([]byte, 2)
		if k, err := far.Read(one); err != nil || string(one[:k]) != "he" {
			t.Errorf("Read = %q, %v", one[:k], err)
		}
		_ = near.Close()
		rest, err := io.ReadAll(far)
		if err != nil || string(rest) != "llo world" {
			t.Errorf("ReadAll = %q, %v", rest, err)
		}
		if _, err := far.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write to a closed peer: %v", err)
		}
		_ = far.SetReadDeadline(time.Now())
		_ = far.Close()
		done := make(chan error, 1)
		go func() { _, err := l.Accept(); done <- err }()
		synctest.Wait()
		n.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after the drop: %v", err)
		}
	})
}

// TestAtOnceArrivesInTheOrderOfTheHosts: two hosts that send in the same instant are never read in another order.
func TestAtOnceArrivesInTheOrderOfTheHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := siptest.NewNetwork()
		to := listen(t, n, "10.0.0.1:1")
		first, second := listen(t, n, "10.0.0.2:1"), listen(t, n, "10.0.0.3:1")
		_, _ = second.WriteTo([]byte("second"), to.LocalAddr())
		_, _ = first.WriteTo([]byte("first"), to.LocalAddr())
		if diff := cmp.Diff([]string{"first", "second"}, receive(t, to)); diff != "" {
			t.Error(diff)
		}
	})
}
