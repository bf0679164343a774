// Command callgen makes calls to a gateway, as an operator's trunk would, and prints what became of them: load and soak
// tests. It calls loopback addresses only.
package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/sip/siptest"
)

type flags struct {
	Gateway    netip.AddrPort `arg:"" help:"The gateway, address and port."`
	Callers    netip.Addr     `default:"127.0.0.2" help:"The trunk's address: where the calls come from."`
	Taker      []string       `placeholder:"NAME:PASSWORD" help:"A call taker whose phone registers and answers; may be repeated."`
	Calls      int            `default:"100" help:"How many calls; 0: until Ctrl-C."`
	Rate       float64        `default:"5" help:"Calls a second."`
	PrankShare float64        `default:"0.6" help:"Share of the calls that pranksters make."`
	Seed       uint64         `default:"112" help:"The same seed makes the same callers."`
	Talk       time.Duration  `default:"20s" help:"Mean talk time."`
}

// Validate keeps the traffic on this machine (kong calls it).
func (f flags) Validate() error {
	if !f.Gateway.Addr().IsLoopback() || !f.Callers.IsLoopback() {
		return fmt.Errorf("%s, %s: only loopback addresses are called", f.Gateway, f.Callers)
	}
	return nil
}

func main() {
	var f flags
	k := kong.Parse(&f, kong.Description("Calls for a Siaga112 gateway on this machine."))
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	traffic := siptest.Traffic{
		Gateway: f.Gateway, Callers: f.Callers, Calls: f.Calls, Rate: f.Rate, PrankShare: f.PrankShare, Seed: f.Seed, Talk: f.Talk,
	}
	for _, t := range f.Taker {
		taker, err := parseTaker(t)
		k.FatalIfErrorf(err)
		traffic.Takers = append(traffic.Takers, taker)
	}
	sum, err := traffic.Run(ctx)
	fmt.Fprintf(k.Stdout, "attempted %d, redialed %d, connected %d, answered %d, abandoned %d, refused %v, lost %d\n",
		sum.Attempted, sum.Redialed, sum.Connected, sum.Answered, sum.Abandoned, sum.Refused, sum.Lost)
	k.FatalIfErrorf(err)
}

// parseTaker reads NAME:PASSWORD.
func parseTaker(s string) (siptest.Taker, error) {
	name, password, ok := strings.Cut(s, ":")
	if !ok || name == "" || password == "" {
		return siptest.Taker{}, fmt.Errorf("taker %q: want NAME:PASSWORD", s)
	}
	return siptest.Taker{ID: call.TakerID(name), Password: password, Addr: netip.MustParseAddr("127.0.0.1")}, nil
}
