package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/web"
)

type takerCommand struct {
	Add    takerAdd    `cmd:"" help:"Add a call taker; prints the password once."`
	List   takerList   `cmd:"" help:"List the call takers, what each is doing, and when the phone registered, answered OPTIONS, rang and was answered."`
	Remove takerRemove `cmd:"" help:"Remove a call taker's account; records keep the name."`
	Pause  takerPause  `cmd:"" help:"Ring this call taker no more until ready."`
	Ready  takerReady  `cmd:"" help:"Ring this call taker again."`
}

// administer reads the configuration and does something with the administration.
func (c *commands) administer(ctx context.Context, do func(*config.Config, web.Admin) error) error {
	cfg, err := config.Read(c.File)
	if err != nil {
		return err
	}
	admin, closed, err := administration(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(cfg, admin), closed())
}

type takerAdd struct {
	Name       call.TakerID `arg:"" help:"User name of the phone."`
	Department string       `short:"d" help:"The department (OPD) that lends the call taker."`
	Digest     string       `enum:"MD5,SHA-256" default:"MD5" help:"How the phone proves its password (RFC 7616): MD5, or SHA-256 where the phone knows it."`
	Stdin      bool         `name:"password-stdin" help:"Read the password from standard input instead of making one."`
}

// Run adds the account. A password that was made here is printed once and stored nowhere.
func (a takerAdd) Run(ctx context.Context, c *commands, t terminal) error {
	password := rand.Text()[:16]
	if a.Stdin {
		line, err := bufio.NewReader(t.in).ReadString('\n')
		if password = strings.TrimRight(line, "\r\n"); password == "" {
			return fmt.Errorf("no password on standard input: %w", err)
		}
	}
	return c.administer(ctx, func(cfg *config.Config, admin web.Admin) error {
		account := web.Account{Name: a.Name, Department: a.Department, Password: password, Digest: a.Digest}
		if err := admin.AddTaker(ctx, account); err != nil {
			return err
		}
		if a.Stdin {
			return nil
		}
		_, err := fmt.Fprintf(t.out, "user      %s\npassword  %s\nrealm     %s\ndigest    %s\nThe password is shown this once.\n", a.Name, password, cfg.SIP.Realm, a.Digest)
		return err
	})
}

type takerList struct{}

// Run prints one line a taker.
func (takerList) Run(ctx context.Context, c *commands, t terminal) error {
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error {
		takers, err := admin.Takers(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NAME\tDEPARTMENT\tSTATE\tFOR\tREGISTERED\tOPTIONS\tRANG\tANSWERED\tCALL")
		now := time.Now()
		for _, k := range takers {
			state, since := string(k.State), ""
			if state == "" {
				state = "gateway not running"
			}
			if !k.Since.IsZero() {
				since = now.Sub(k.Since).Round(time.Second).String()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.Name, k.Department, state, since,
				age(k.Registered, now), age(k.Reachable, now), age(k.Rang, now), age(k.Answered, now), k.Call)
		}
		return w.Flush()
	})
}

// age is how long ago that was, in whole seconds; "-" for never.
func age(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return max(0, now.Sub(at)).Round(time.Second).String() + " ago"
}

type takerRemove struct {
	Name call.TakerID `arg:""`
}

// Run removes the account.
func (r takerRemove) Run(ctx context.Context, c *commands) error {
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error { return admin.RemoveTaker(ctx, r.Name) })
}

type takerPause struct {
	Name call.TakerID `arg:""`
}

// Run pauses the taker.
func (p takerPause) Run(ctx context.Context, c *commands) error {
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error { return admin.Pause(ctx, p.Name) })
}

type takerReady struct {
	Name call.TakerID `arg:""`
}

// Run makes the taker ready.
func (r takerReady) Run(ctx context.Context, c *commands) error {
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error { return admin.Ready(ctx, r.Name) })
}
