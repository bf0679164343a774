package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/web"
)

type cdrCommand struct {
	List      cdrList      `cmd:"" help:"List ended calls, the latest first."`
	Show      cdrShow      `cmd:"" help:"Show everything about one call, as it is stored."`
	Classify  cdrClassify  `cmd:"" help:"Classify a call: emergency, complaint, information, prank, silent, wrong-number, disconnected, test."`
	Export    cdrExport    `cmd:"" help:"Export calls as CSV, JSON Lines, XLSX, Parquet, or as a bundle that can be verified elsewhere."`
	Reconcile cdrReconcile `cmd:"" help:"Name the calls that an operator's file has and we have not, and the reverse."`
	Erase     cdrErase     `cmd:"" help:"Erase the calls of a caller, or a call; their places in the ledger stay."`
	Hold      cdrHold      `cmd:"" help:"Keep a caller's calls, or a call, from being erased or expiring."`
	Release   cdrRelease   `cmd:"" help:"End a hold."`
	Verify    cdrVerify    `cmd:"" help:"Recompute the whole ledger, or a bundle without it, and name what does not fit."`

	Key        cdrKey        `cmd:"" help:"Print the public key with which bundles, checkpoints and proofs are verified."`
	Checkpoint cdrCheckpoint `cmd:"" help:"Print a signed checkpoint of all records."`
	Prove      cdrProve      `cmd:"" help:"Print the proof that a record is in the ledger, or that it was only added to since a checkpoint."`
}

// span is a span of arrival times on the command line.
type span struct {
	From string `placeholder:"DAY" help:"Calls that arrived from this day on (2026-11-24) or time (2026-11-24T07:00)."`
	To   string `placeholder:"DAY" help:"Calls that arrived before the end of this day, or before this time."`
}

// times reads the span in the configuration's zone. A day of To is meant whole.
func (s span) times(zone *time.Location) (from, to time.Time, err error) {
	if s.From != "" {
		if from, _, err = moment(s.From, zone); err != nil {
			return from, to, fmt.Errorf("--from: %w", err)
		}
	}
	if s.To != "" {
		var day bool
		if to, day, err = moment(s.To, zone); err != nil {
			return from, to, fmt.Errorf("--to: %w", err)
		}
		if day {
			to = to.AddDate(0, 0, 1)
		}
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, fmt.Errorf("--from %s is not before --to %s", s.From, s.To)
	}
	return from, to, nil
}

// moment reads a day or a time; day tells which it was.
func moment(text string, zone *time.Location) (at time.Time, day bool, err error) {
	if at, err = time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		return at, true, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if at, err = time.ParseInLocation(layout, text, zone); err == nil {
			return at, false, nil
		}
	}
	return at, false, fmt.Errorf("%q is no day (2026-11-24) and no time (2026-11-24T07:00)", text)
}

type cdrList struct {
	span
	Number string `help:"Only this caller's number."`
	Limit  int    `default:"50" help:"At most so many."`
}

// Run prints one line a call.
func (l cdrList) Run(ctx context.Context, c *commands, t terminal) error {
	return c.administer(ctx, func(cfg *config.Config, admin web.Admin) error {
		from, to, err := l.times(cfg.Zone)
		if err != nil {
			return err
		}
		calls, err := admin.Calls(ctx, web.Query{From: from, To: to, Number: l.Number, Limit: l.Limit})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ARRIVED\tCALLER\tTRUST\tOUTCOME\tWAIT\tTALK\tTAKER\tKIND\tPRANK\tID")
		for _, r := range calls {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.1fs\t%.1fs\t%s\t%s\t%s\t%s\n",
				r.FirstAt.In(cfg.Zone).Format("2006-01-02 15:04:05"), orDash(r.Caller.Number), r.Caller.Trust, r.Outcome,
				r.Wait.Seconds(), r.Talk.Seconds(), orDash(string(r.Taker)), orDash(string(r.Kind)), likelihood(r.Score), r.Of)
		}
		return w.Flush()
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// likelihood is a score as a natural frequency.
func likelihood(s *call.Scored) string {
	if s == nil {
		return "-"
	}
	n, ok := s.InTen()
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%d/10", n)
}

type cdrShow struct {
	ID string `arg:"" help:"The call's id, as cdr list prints it."`
}

// Run prints the stored lines of each piece with its leaf, or the lines of a call that has not ended.
func (s cdrShow) Run(ctx context.Context, c *commands, t terminal) error {
	id, err := call.ParseID(s.ID)
	if err != nil {
		return err
	}
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error {
		pieces, live, err := admin.Show(ctx, id)
		if err != nil {
			return err
		}
		for _, p := range pieces {
			if len(p.Body) == 0 {
				fmt.Fprintf(t.out, "# record %d, erased, leaf %s\n", p.Seq, hex.EncodeToString(p.Leaf[:]))
				continue
			}
			fmt.Fprintf(t.out, "# record %d, nonce %s, leaf %s\n%s", p.Seq, hex.EncodeToString(p.Nonce[:]), hex.EncodeToString(p.Leaf[:]), p.Body)
		}
		if len(live) == 0 {
			return nil
		}
		fmt.Fprintln(t.out, "# not ended: no record yet")
		var lines []byte
		for _, e := range live {
			if lines, err = call.AppendEntry(lines, e); err != nil {
				return err
			}
		}
		_, err = t.out.Write(lines)
		return err
	})
}

type cdrClassify struct {
	ID   string    `arg:""`
	Kind call.Kind `arg:""`
	Note string    `help:"A note for the record."`
	By   string    `help:"The call taker whose disposition it is."`
}

// Run stores the disposition: an amendment of the record.
func (k cdrClassify) Run(ctx context.Context, c *commands) error {
	id, err := call.ParseID(k.ID)
	if err != nil {
		return err
	}
	if err := web.CheckClassification(id, k.Kind, k.Note); err != nil {
		return err
	}
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error {
		return admin.Classify(ctx, id, call.TakerID(k.By), k.Kind, k.Note)
	})
}
