package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

type cdrExport struct {
	span
	Format     string         `default:"csv" enum:"csv,jsonl,xlsx,parquet,asterisk,freeswitch,bundle" help:"csv, jsonl, xlsx, parquet; asterisk or freeswitch: the CSV of their tools; bundle: records with all that is needed to verify them elsewhere."`
	Profile    string         `default:"" enum:",strict,excel" help:"Of csv: strict (RFC 4180), or excel (opens by a double click)."`
	Locale     string         `default:"" enum:",id,en" help:"Of the profile excel: id (semicolons, decimal comma) or en."`
	Out        string         `short:"o" type:"path" aliases:"output" placeholder:"FILE" help:"Write to this file instead of standard output. After an interruption the same command goes on (csv, jsonl, asterisk, freeswitch)."`
	Anew       bool           `help:"Forget what an interrupted export left, and begin again."`
	Outcome    []call.Outcome `placeholder:"OUTCOME" help:"Only calls that ended so: answered, abandoned, refused, rejected, restart, failed, test."`
	Department []string       `sep:"none" help:"Only calls that this department answered. May be repeated."`
	Kind       []call.Kind    `placeholder:"KIND" help:"Only calls that were classified so; none: those that were not."`
	Number     string         `help:"Only this caller's number."`
	Trunk      []string       `sep:"none" help:"Only calls from this trunk. May be repeated."`
	Mask       string         `default:"" enum:",numbers" help:"numbers: hide the callers' numbers, and what may tell them. It cannot be undone."`
	Reason     string         `placeholder:"WHY" help:"What it is for. Stands in the ledger. A bundle needs it."`
	By         string         `placeholder:"WHO" help:"Who asked for it (default: who is logged in). Stands in the ledger."`
	Bundle     string         `type:"path" placeholder:"FILE" help:"Export from this bundle instead of the store."`
}

// Run exports. A file appears under its name only when it is whole.
func (e cdrExport) Run(ctx context.Context, c *commands, t terminal) error {
	if e.Bundle != "" {
		return e.fromBundle(ctx, t)
	}
	return c.administer(ctx, func(cfg *config.Config, admin web.Admin) error {
		return e.export(t, cfg.Zone, func(w io.Writer, r web.Export) (export.Progress, error) { return admin.Export(ctx, w, r) })
	})
}

// exporting is an export from wherever it comes.
type exporting func(w io.Writer, r web.Export) (export.Progress, error)

// request is the export that the flags ask for.
func (e cdrExport) request(zone *time.Location) (r web.Export, err error) {
	r.Format, r.Profile, r.Locale, r.Mask, r.By, r.Why = e.Format, e.Profile, e.Locale, e.Mask != "", e.By, e.Reason
	r.Filter = export.Filter{Outcomes: e.Outcome, Departments: e.Department, Kinds: e.Kind, Number: e.Number, Trunks: e.Trunk}
	if r.Filter.From, r.Filter.To, err = e.times(zone); err != nil {
		return r, err
	}
	if r.By == "" {
		if u, err := user.Current(); err == nil {
			r.By = u.Username
		}
	}
	return r, web.CheckExport(r)
}

func (e cdrExport) export(t terminal, zone *time.Location, run exporting) error {
	r, err := e.request(zone)
	if err != nil {
		return err
	}
	if e.Out == "" {
		p, err := run(t.out, r)
		if err == nil && p.Erased > 0 {
			fmt.Fprintln(t.err, erasedText(p.Erased))
		}
		return err
	}
	f, err := openPart(e.Out, &r, zone, e.Anew)
	if err != nil {
		return err
	}
	if f.state.Next > 0 {
		fmt.Fprintf(t.err, "going on at record %d of %d: %d calls are in %s already\n", f.state.Next, f.state.Size, f.state.Rows, f.name)
	}
	bar := newBar(t.err)
	r.Progress = func(p export.Progress) { f.progress(p); bar(p) }
	_, err = run(f, r)
	if err = errors.Join(err, f.close(err)); err != nil {
		return err
	}
	fmt.Fprintf(t.err, "%s: %d calls\n", e.Out, f.state.Rows)
	if f.state.Erased > 0 {
		fmt.Fprintln(t.err, erasedText(f.state.Erased))
	}
	if e.Format == web.Bundle {
		fmt.Fprintf(t.err, "verify it anywhere: siaga112 cdr verify %s --key KEY, with the KEY that siaga112 cdr key prints\n", filepath.Base(e.Out))
	}
	return nil
}

func erasedText(n uint64) string {
	return fmt.Sprintf("%d records were erased and have no row", n)
}

// newBar draws how far an export is, on a terminal only.
func newBar(w io.Writer) func(export.Progress) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(export.Progress) {}
	}
	var bar *progressbar.ProgressBar
	return func(p export.Progress) {
		if bar == nil {
			bar = progressbar.NewOptions64(int64(p.Size), progressbar.OptionSetWriter(f), progressbar.OptionShowCount(),
				progressbar.OptionShowIts(), progressbar.OptionSetItsString("records"), progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
		}
		_ = bar.Set64(int64(p.Next)) // a bar that cannot be drawn stops nothing
	}
}

// partState is what is known of a file that is not whole: kept beside it, so that the same command goes on.
type partState struct {
	Export string `json:"export"` // what was asked for
	Next   uint64 `json:"next"`   // the first record that is not in it
	Size   uint64 `json:"size"`   // as of which it is
	Rows   uint64 `json:"rows"`
	Erased uint64 `json:"erased"`
	Bytes  int64  `json:"bytes"` // so many hold those rows; what is behind them is not whole
}

// saveEvery is how much of an export a crash loses at most, but for the one chunk that is under way. The first chunk is saved
// at once.
const saveEvery = time.Second

// part is FILE.part, which becomes FILE when it is whole. Beside it lies FILE.part.json, written after the rows that it
// speaks of are on the disk; after a crash the rows behind them are cut off.
type part struct {
	out, name string
	file      *os.File
	resumable bool
	base      partState // before this run
	state     partState
	written   int64
	saved     time.Time
	err       error // of a save
}

// asked is what must be the same to go on.
func asked(r *web.Export, zone *time.Location) (string, error) {
	b, err := json.Marshal(struct {
		Format, Profile, Locale, Zone string
		Filter                        export.Filter
		Mask                          bool
	}{r.Format, r.Profile, r.Locale, zone.String(), r.Filter, r.Mask})
	return string(b), err
}

// openPart opens the file that out will be. If an export of the same left one that can go on, r says from where.
func openPart(out string, r *web.Export, zone *time.Location, anew bool) (*part, error) {
	p := &part{out: out, name: out + ".part", resumable: export.Resumable(r.Format)}
	want, err := asked(r, zone)
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(p.name + ".json")
	switch {
	case errors.Is(err, fs.ErrNotExist), anew, !p.resumable:
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(old, &p.base); err != nil {
			return nil, fmt.Errorf("%s.json: %w; add --anew to begin again", p.name, err)
		}
		if p.base.Export != want {
			return nil, fmt.Errorf("%s is what another export has left, of %s: repeat that one, or add --anew to begin again", p.name, p.base.Export)
		}
	}
	if p.file, err = os.OpenFile(p.name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if i, err := p.file.Stat(); err != nil || i.Size() < p.base.Bytes {
		p.base = partState{} // it was lost: nothing to go on with
	}
	p.base.Export, p.written = want, p.base.Bytes
	p.state = p.base
	r.From, r.Size = p.base.Next, p.base.Size
	err = p.file.Truncate(p.written)
	if err == nil {
		_, err = p.file.Seek(p.written, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, p.file.Close())
	}
	return p, nil
}

func (p *part) Write(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.file.Write(b)
	p.written += int64(n)
	return n, err
}

// progress notes what has been written, and saves it now and then.
func (p *part) progress(d export.Progress) {
	p.state.Next, p.state.Size = d.Next, d.Size
	p.state.Rows, p.state.Erased, p.state.Bytes = p.base.Rows+d.Rows, p.base.Erased+d.Erased, p.written
	if p.resumable && p.err == nil && time.Since(p.saved) > saveEvery {
		p.err = p.save()
	}
}

func (p *part) save() error {
	p.saved = time.Now()
	if err := p.file.Sync(); err != nil {
		return err
	}
	b, err := json.Marshal(p.state)
	if err != nil {
		return err
	}
	return whole(p.name+".json", func(w io.Writer) error {
		_, err := w.Write(append(b, '\n'))
		return err
	})
}

// close ends the file: it gets its name if it is whole, else it is left to go on with, or removed.
func (p *part) close(failed error) error {
	failed = errors.Join(failed, p.err)
	switch {
	case failed == nil:
		err := errors.Join(p.file.Sync(), p.file.Close())
		if err == nil {
			err = os.Rename(p.name, p.out)
		}
		return errors.Join(err, p.forget())
	case p.resumable && p.state.Next > 0:
		err := errors.Join(p.save(), p.file.Close())
		return errors.Join(err, fmt.Errorf("%s has the first %d calls: repeat the command to go on", p.name, p.state.Rows))
	}
	return errors.Join(p.file.Close(), os.Remove(p.name), p.forget())
}

func (p *part) forget() error {
	err := os.Remove(p.name + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// whole writes a file under another name and gives it its own when all of it is on the disk.
func whole(file string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
