package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/web"
)

type storeCommand struct {
	Check   storeCheck   `cmd:"" help:"Verify a file: a backup, or one that a restore put aside."`
	Compact storeCompact `cmd:"" help:"Remove erased bytes and free pages from the database, while calls go on."`
}

type storeCheck struct {
	Path string `arg:"" name:"file" type:"path" help:"The file."`
}

// Run verifies a file where it lies.
func (s storeCheck) Run(ctx context.Context, t terminal) error {
	r, err := store.CheckFile(ctx, s.Path)
	for _, b := range r.Bad {
		fmt.Fprintln(t.out, b)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "%s: %d records, %d calls, verified\n", s.Path, r.Records, r.Arrived)
	return err
}

type storeCompact struct{}

// Run compacts.
func (storeCompact) Run(ctx context.Context, c *commands, t terminal) error {
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error { return compact(ctx, admin, t) })
}

type backupCommand struct {
	Path string `arg:"" name:"file" type:"path" help:"The file; one that is there is replaced once the backup is verified."`
}

// Run writes a backup and verifies it before it gets its name.
func (b backupCommand) Run(ctx context.Context, c *commands, t terminal) error {
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error {
		r, size, err := backup(ctx, admin, b.Path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(t.out, "%s: %s, %d records, %d calls, verified\n", b.Path, megabytes(size), r.Records, r.Arrived)
		return err
	})
}

// megabytes says how large something is.
func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/(1<<20)) }

func backup(ctx context.Context, admin web.Admin, file string) (r store.Report, size int64, err error) {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return r, 0, fmt.Errorf("%s is no file: name a file for the backup", file)
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return r, 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = errors.Join(admin.Backup(ctx, f, filepath.Base(file)), f.Sync(), f.Close())
	if err != nil {
		return r, 0, err
	}
	info, err := os.Stat(f.Name())
	if err != nil {
		return r, 0, err
	}
	if r, err = store.CheckFile(ctx, f.Name()); err != nil {
		return r, 0, err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return r, 0, err
	}
	return r, info.Size(), syncFolder(filepath.Dir(file))
}

// syncFolder makes what was renamed in it durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type restoreCommand struct {
	Path  string `arg:"" name:"file" type:"existingfile" help:"The backup."`
	Force bool   `help:"Also where the backup lacks records that are there now, or is of another gateway."`
}

// Run puts a backup in the place of the database; no gateway may run.
func (r restoreCommand) Run(ctx context.Context, c *commands, t terminal) error {
	cfg, err := config.Read(c.File)
	if err != nil {
		return err
	}
	client := web.Dial(filepath.Join(cfg.Data, config.SocketName))
	running := client.Ping(ctx) == nil
	client.Close()
	if running {
		return errors.New("the gateway is running: stop it first")
	}
	done, err := store.Restore(ctx, cfg.Data, r.Path, r.Force, "")
	if errors.Is(err, store.ErrOlder) || errors.Is(err, store.ErrOther) || errors.Is(err, store.ErrIncomparable) {
		return fmt.Errorf("%w. Nothing was changed; --force restores it all the same and keeps the present file", err)
	}
	if errors.Is(err, store.ErrUnverified) || errors.Is(err, store.ErrNewer) || errors.Is(err, store.ErrDamaged) {
		return fmt.Errorf("%w. Nothing was changed: take another backup", err)
	}
	if err != nil {
		return err
	}
	if done.Damage != nil {
		fmt.Fprintf(t.out, "what was there could not be compared: %v\n", done.Damage)
	}
	fmt.Fprintf(t.out, "restored: %d records, %d calls, verified, on %s\n", done.Report.Records, done.Report.Arrived,
		time.Now().In(cfg.Zone).Format("2006-01-02 15:04"))
	if done.Lost > 0 {
		fmt.Fprintf(t.out, "%d record(s) that were there are not in it\n", done.Lost)
	}
	for _, a := range done.Undone {
		fmt.Fprintf(t.out, "undone, do it again: %s %s\n", a.What, a.Detail)
	}
	if done.Aside != "" {
		fmt.Fprintf(t.out, "what was there is %s now; it holds records: remove it when it is no longer needed\n", done.Aside)
	}
	fmt.Fprintln(t.out, "The gateway can be started now. Who was erased after the backup was made is in it again: erase again")
	return nil
}
