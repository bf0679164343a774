package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/store/reconcile"
	"github.com/siaga112/siaga112/web"
)

type cdrReconcile struct {
	span
	File    string `arg:"" type:"existingfile" help:"The operator's CSV file."`
	Profile string `type:"existingfile" placeholder:"FILE" help:"YAML file with the columns below, by the names of their flags; flags go first."`
	reconcileColumns
	Trunk  []string       `sep:"none" help:"Compare only our calls from this trunk. May be repeated."`
	Window time.Duration  `default:"10s" help:"How far apart the two times of a call may be, once the clocks are set right."`
	Offset *time.Duration `placeholder:"DURATION" help:"The operator's clock minus ours, where it is known (default: it is found)."`
	Format string         `default:"text" enum:"text,csv" help:"text for people, or csv: one line for each call that one side misses."`
}

// reconcileColumns say where in the operator's file what stands.
type reconcileColumns struct {
	TimeColumn     string `placeholder:"COLUMN" help:"When the call began, by name or number; DATE+TIME joins two columns."`
	NumberColumn   string `placeholder:"COLUMN" help:"The caller's number."`
	DurationColumn string `placeholder:"COLUMN" help:"Its duration: seconds, h:mm:ss or mm:ss."`
	CalledColumn   string `placeholder:"COLUMN" help:"The number that was called."`
	TimeFormat     string `placeholder:"FORMAT" help:"As in %d/%m/%Y %H:%M:%S; unix; unix-ms (default: it is found)."`
	Zone           string `help:"The time zone of its times, as Asia/Jakarta (default: ours)."`
	Separator      string `help:"Between the columns (default: it is found)."`
}

// format is what the flags and the profile say.
func (r *cdrReconcile) format(zone *time.Location) (f reconcile.Format, err error) {
	var from reconcileColumns
	if r.Profile != "" {
		b, err := os.ReadFile(r.Profile)
		if err != nil {
			return f, err
		}
		p, err := reconcile.ParseProfile(b)
		if err != nil {
			return f, fmt.Errorf("%s: %w", r.Profile, err)
		}
		from = reconcileColumns(p)
	}
	first := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	f = reconcile.Format{
		Time: first(r.TimeColumn, from.TimeColumn), Number: first(r.NumberColumn, from.NumberColumn),
		Duration: first(r.DurationColumn, from.DurationColumn), Called: first(r.CalledColumn, from.CalledColumn),
		Layout: first(r.TimeFormat, from.TimeFormat), Zone: zone,
	}
	if name := first(r.Zone, from.Zone); name != "" {
		if f.Zone, err = time.LoadLocation(name); err != nil {
			return f, fmt.Errorf("--zone: %w", err)
		}
	}
	switch sep := []rune(first(r.Separator, from.Separator)); {
	case len(sep) == 1 && sep[0] != '"' && sep[0] != '\n' && sep[0] != '\r' && sep[0] != '\ufffd':
		f.Separator = sep[0]
	case string(sep) == "tab", string(sep) == `\t`:
		f.Separator = '\t'
	case len(sep) > 0:
		return f, fmt.Errorf("--separator %q: want one character, or tab", string(sep))
	}
	return f, nil
}

// Run compares and prints. It fails when either side misses a call, or when a line of the file could not be read.
func (r cdrReconcile) Run(ctx context.Context, c *commands, t terminal) error {
	return c.administer(ctx, func(cfg *config.Config, admin web.Admin) error {
		from, to, err := r.times(cfg.Zone)
		if err != nil {
			return err
		}
		format, err := r.format(cfg.Zone)
		if err != nil {
			return err
		}
		file, err := os.ReadFile(r.File)
		if err != nil {
			return err
		}
		operator, bad, err := reconcile.Read(bytes.NewReader(file), format)
		if err != nil {
			return fmt.Errorf("%s: %w", r.File, err)
		}
		ours, err := r.ours(ctx, admin, operator, from, to)
		if err != nil {
			return err
		}
		report := reconcile.Calls(operator, ours, reconcile.Options{Window: r.Window, Offset: r.Offset, From: from, To: to})
		return r.print(t, &report, bad, cfg.Zone)
	})
}

// ours are our calls in the time of the operator's, or of the span, and as much around as clocks can differ.
func (r *cdrReconcile) ours(ctx context.Context, admin web.Admin, operator []reconcile.Call, from, to time.Time) ([]reconcile.Call, error) {
	var e web.Export
	e.Format, e.Filter.Trunks, e.Why = export.JSONL, r.Trunk, "reconcile "+filepath.Base(r.File)
	if len(operator) > 0 {
		byTime := func(a, b reconcile.Call) int { return a.At.Compare(b.At) }
		const around = reconcile.MaxOffset + time.Hour
		e.Filter.From, e.Filter.To = slices.MinFunc(operator, byTime).At.Add(-around), slices.MaxFunc(operator, byTime).At.Add(around)
	}
	if !from.IsZero() && (e.Filter.From.IsZero() || from.Before(e.Filter.From)) {
		e.Filter.From = from.Add(-time.Hour)
	}
	if !to.IsZero() && (e.Filter.To.IsZero() || to.After(e.Filter.To)) {
		e.Filter.To = to.Add(time.Hour)
	}
	if err := web.CheckExport(e); err != nil {
		return nil, err
	}
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := admin.Export(ctx, out, e)
		_ = out.CloseWithError(err) // it never fails
		done <- err
	}()
	calls, err := decoded(in)
	_ = in.CloseWithError(err) // it never fails
	return calls, errors.Join(<-done, err)
}

// decoded reads what an export of JSON Lines wrote.
func decoded(r io.Reader) (calls []reconcile.Call, err error) {
	d := json.NewDecoder(r)
	for {
		var row struct {
			ID      call.ID      `json:"call_id"`
			At      time.Time    `json:"arrived_at"`
			Caller  string       `json:"caller"`
			Called  string       `json:"called"`
			Outcome call.Outcome `json:"outcome"`
			Wait    float64      `json:"wait_s"`
			Talk    float64      `json:"talk_s"`
		}
		if err := d.Decode(&row); errors.Is(err, io.EOF) {
			return calls, nil
		} else if err != nil {
			return nil, err
		}
		seconds := func(s float64) time.Duration { return time.Duration(s*1000+0.5) * time.Millisecond }
		calls = append(calls, reconcile.Call{
			At: row.At, Number: row.Caller, Called: row.Called, Duration: seconds(row.Wait + row.Talk), Talk: seconds(row.Talk),
			Name: string(row.ID), Outcome: string(row.Outcome),
		})
	}
}

func (r *cdrReconcile) print(t terminal, report *reconcile.Report, bad []reconcile.Bad, zone *time.Location) error {
	var err error
	if r.Format == "csv" {
		err = printMissing(t.out, report, zone)
	} else {
		err = r.printText(t.out, report, zone)
	}
	if err != nil {
		return err
	}
	const most = 20
	for i, b := range bad {
		if i == most {
			fmt.Fprintf(t.err, "… and %d lines more\n", len(bad)-most)
			break
		}
		fmt.Fprintf(t.err, "%s:%d: %s\n", r.File, b.Line, b.Why)
	}
	if !report.Complete() || len(bad) > 0 {
		return fmt.Errorf("not the same: we have no record of %d calls, the operator tells nothing of %d, and %d lines could not be read",
			len(report.Unseen), len(report.Undelivered), len(bad))
	}
	return nil
}

// printText is the report for people.
func (r *cdrReconcile) printText(out io.Writer, report *reconcile.Report, zone *time.Location) error {
	const stamp = "2006-01-02 15:04:05"
	fmt.Fprintf(out, "compared: %s to %s, by our clock\n", report.From.In(zone).Format(stamp), report.To.In(zone).Format(stamp))
	switch {
	case r.Offset != nil:
		fmt.Fprintf(out, "clocks: the operator's is %s from ours, as given\n", signed(report.Offset))
	case report.Sure:
		fmt.Fprintf(out, "clocks: the operator's is %s from ours\n", signed(report.Offset))
	default:
		fmt.Fprintf(out, "clocks: the operator's is perhaps %s from ours: too few calls stand at the same distance; --offset says it\n", signed(report.Offset))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tattempts\tminutes\tof them in talk\t")
	fmt.Fprintf(w, "operator\t%d\t%.1f\t\t\n", report.Operator.Attempts, report.Operator.Duration.Minutes())
	fmt.Fprintf(w, "ours\t%d\t%.1f\t%.1f\t\n", report.Ours.Attempts, report.Ours.Duration.Minutes(), report.Ours.Talk.Minutes())
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "the same: %d, of them %d by their time alone (a withheld number)\n", report.Matched, report.NumberDiffers)
	for _, s := range sections(report) {
		fmt.Fprintf(out, "%s: %d\n", s.title, len(s.calls))
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, c := range s.calls {
			fmt.Fprintf(w, "  %s\t%s\t%.0fs\t%s\t%s\n", c.At.In(zone).Format(stamp), orDash(c.Number), c.Duration.Seconds(), c.Name, c.Outcome)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func signed(d time.Duration) string {
	if d = d.Round(time.Millisecond); d >= 0 {
		return "+" + d.String()
	}
	return d.String()
}

// section is one list of a report.
type section struct {
	title, word string
	calls       []reconcile.Call
}

func sections(r *reconcile.Report) []section {
	return []section{
		{"delivered by the operator, and we have no record", "unseen", r.Unseen},
		{"on our record, and the operator tells nothing of it", "undelivered", r.Undelivered},
		{"told twice by the operator", "repeated", r.Repeated},
	}
}

// printMissing is the report for programs: what one side misses, and lines that repeat another.
func printMissing(out io.Writer, report *reconcile.Report, zone *time.Location) error {
	w := csv.NewWriter(out)
	w.UseCRLF = true
	rows := [][]string{{"what", "at", "number", "called", "duration_s", "name", "outcome"}}
	for _, s := range sections(report) {
		for _, c := range s.calls {
			rows = append(rows, []string{
				s.word, c.At.In(zone).Format(time.RFC3339), export.Safe(c.Number), export.Safe(c.Called),
				strconv.FormatFloat(c.Duration.Seconds(), 'f', 3, 64), c.Name, c.Outcome,
			})
		}
	}
	return w.WriteAll(rows)
}
