package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/web"
)

// whose is a number or a call on the command line.
type whose struct {
	Number string `help:"All calls of this caller's number, as cdr list prints it."`
	Call   string `placeholder:"ID" help:"This call."`
}

// one reads it; exactly one of the two must be given.
func (w whose) one() (number string, id call.ID, err error) {
	if (w.Number == "") == (w.Call == "") {
		return "", "", errors.New("give --number or --call")
	}
	if w.Call != "" {
		id, err = call.ParseID(w.Call)
	}
	return w.Number, id, err
}

type cdrErase struct {
	whose
	Reason string `required:"" help:"Why, for the ledger. It must not name the caller."`
	Order  string `required:"" help:"The number of the written order, for the ledger."`
	DryRun bool   `help:"Only say what would be erased."`
}

// Run erases and then compacts, so that the bytes are gone when it returns.
func (e cdrErase) Run(ctx context.Context, c *commands, t terminal) error {
	number, id, err := e.one()
	if err != nil {
		return err
	}
	erasure := web.Erasure{Number: number, Reason: e.Reason, Order: e.Order, DryRun: e.DryRun}
	if id != "" {
		erasure.Calls = []call.ID{id}
	}
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error {
		done, err := admin.Erase(ctx, erasure)
		if err != nil {
			return err
		}
		verb := "erased"
		if e.DryRun {
			verb = "would be erased"
		}
		fmt.Fprintf(t.out, "%s: %d call(s), %d record(s)", verb, done.Calls, done.Records)
		if done.Acts > 0 {
			fmt.Fprintf(t.out, ", among them %d act(s) that named the number", done.Acts)
		}
		fmt.Fprintln(t.out)
		for _, id := range done.Mentions {
			fmt.Fprintf(t.out, "left: %s names the number in its text; siaga112 cdr show %s, and erase it with --call if it must go\n", id, id)
		}
		for _, n := range done.Others {
			fmt.Fprintf(t.out, "left: calls of %s, which is the same number in Indonesia: erase it too if it must go\n", n)
		}
		for _, a := range done.Asides {
			fmt.Fprintf(t.out, "not reached: %s holds records too; remove it when it is no longer needed\n", a)
		}
		if e.DryRun {
			return nil
		}
		fmt.Fprintln(t.out, "not reached: backups, exports and log files that were made before; nor does the number stay erased "+
			"if such a backup is restored")
		err = compact(ctx, admin, t)
		if done.Left != "" {
			err = errors.Join(fmt.Errorf("not all was erased: %s", done.Left), err)
		}
		return err
	})
}

type cdrHold struct {
	whose
	Reason string `help:"Why, for the ledger. It must not name the caller."`
	List   bool   `help:"List all holds instead."`
}

// Run holds, or lists what is held.
func (h cdrHold) Run(ctx context.Context, c *commands, t terminal) error {
	if h.List {
		return c.administer(ctx, func(cfg *config.Config, admin web.Admin) error { return listHolds(ctx, cfg, admin, t) })
	}
	number, id, err := h.one()
	if err != nil {
		return err
	}
	if h.Reason == "" {
		return errors.New("give --reason")
	}
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error {
		if err := admin.SetHold(ctx, web.Hold{Number: number, Call: id, Reason: h.Reason}, true); err != nil {
			return err
		}
		_, err := fmt.Fprintf(t.out, "held: %s is neither erased nor expires until siaga112 cdr release\n", number+string(id))
		return err
	})
}

func listHolds(ctx context.Context, cfg *config.Config, admin web.Admin, t terminal) error {
	hs, err := admin.Holds(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HELD\tSINCE\tREASON\tACT")
	for _, h := range hs {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", h.Number+string(h.Call), h.Since.In(cfg.Zone).Format("2006-01-02 15:04"), h.Reason, h.Act)
	}
	return w.Flush()
}

type cdrRelease struct {
	whose
	Reason string `help:"Why, for the ledger. It must not name the caller."`
}

// Run ends a hold.
func (r cdrRelease) Run(ctx context.Context, c *commands, t terminal) error {
	number, id, err := r.one()
	if err != nil {
		return err
	}
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error {
		if err := admin.SetHold(ctx, web.Hold{Number: number, Call: id, Reason: r.Reason}, false); err != nil {
			return err
		}
		_, err := fmt.Fprintf(t.out, "released: %s can be erased, and expires as other calls do\n", number+string(id))
		return err
	})
}

// compact compacts and says so.
func compact(ctx context.Context, admin web.Admin, t terminal) error {
	done, err := admin.Compact(ctx)
	if err != nil {
		return fmt.Errorf("the bytes are still in the file until siaga112 store compact, or the next night: %w", err)
	}
	fmt.Fprintf(t.out, "compacted in %s: %s, before %s; records waited %s\n", done.Took.Round(time.Millisecond),
		megabytes(done.After), megabytes(done.Before), done.Pause.Round(time.Millisecond))
	return nil
}
