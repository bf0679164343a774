package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/store/audit"
	"github.com/siaga112/siaga112/store/export"
	"github.com/siaga112/siaga112/web"
)

// errLinux: what a command needs is not there on other systems.
var errLinux = errors.New("this command needs Linux. Here there are: siaga112 cdr verify FILE --key KEY, and siaga112 cdr export --bundle FILE")

// portable tells whether a command, in kong's words, works on a system.
func portable(goos, command string) bool {
	return goos == "linux" || goos == "darwin" || command == "version" || strings.HasPrefix(command, "cdr verify <") ||
		command == "cdr export"
}

// auditing does a task with the running gateway, or with the store.
func (c *commands) auditing(ctx context.Context, do func(*config.Config, web.Auditor) error) error {
	return c.administer(ctx, func(cfg *config.Config, admin web.Admin) error {
		a, ok := admin.(web.Auditor)
		if !ok {
			return web.ErrNoAuditor
		}
		return do(cfg, a)
	})
}

type cdrKey struct{}

// Run prints the public key.
func (cdrKey) Run(ctx context.Context, c *commands, t terminal) error {
	return c.auditing(ctx, func(_ *config.Config, a web.Auditor) error {
		key, err := a.Key(ctx)
		if err == nil {
			_, err = fmt.Fprintln(t.out, key)
		}
		return err
	})
}

type cdrCheckpoint struct{}

// Run prints a checkpoint of all that is sealed now.
func (cdrCheckpoint) Run(ctx context.Context, c *commands, t terminal) error {
	return c.auditing(ctx, func(_ *config.Config, a web.Auditor) error {
		text, err := a.Checkpoint(ctx)
		if err == nil {
			_, err = io.WriteString(t.out, text)
		}
		return err
	})
}

type cdrProve struct {
	What  string `arg:"" optional:"" placeholder:"ID|SEQ" help:"A call's id, or a record's number."`
	Since string `type:"existingfile" placeholder:"FILE" help:"A checkpoint that a witness kept: prove that all since was only added."`
}

// Run prints the proofs.
func (p cdrProve) Run(ctx context.Context, c *commands, t terminal) error {
	if (p.What == "") == (p.Since == "") {
		return errors.New("want a call's id or a record's number, or --since with the file of an older checkpoint")
	}
	return c.auditing(ctx, func(_ *config.Config, a web.Auditor) error {
		var texts []string
		if p.Since != "" {
			old, err := os.ReadFile(p.Since)
			if err != nil {
				return err
			}
			text, err := a.ProveSince(ctx, string(old))
			if err != nil {
				return err
			}
			texts = []string{text}
		} else {
			var err error
			if texts, err = a.Prove(ctx, p.What); err != nil {
				return err
			}
		}
		_, err := io.WriteString(t.out, strings.Join(texts, "\n"))
		return err
	})
}

type cdrVerify struct {
	File       string `arg:"" optional:"" placeholder:"FILE" help:"A bundle or a proof, which is verified without the store and the configuration."`
	Key        string `placeholder:"KEY" help:"The public key that siaga112 cdr key prints, or a file with it."`
	Checkpoint string `placeholder:"FILE" help:"An older checkpoint that a witness kept: verify that it was continued, not rewritten."`
}

// Run prints what does not fit, and a last line; it fails when anything is bad.
func (v cdrVerify) Run(ctx context.Context, c *commands, t terminal) error {
	var old []byte
	if v.Checkpoint != "" {
		var err error
		if old, err = os.ReadFile(v.Checkpoint); err != nil {
			return err
		}
	}
	if v.File == "" {
		return v.store(ctx, c, t, old)
	}
	key, err := v.key()
	if err != nil {
		return err
	}
	zipped, err := isZip(v.File)
	switch {
	case err != nil:
		return err
	case zipped:
		return v.bundle(ctx, t, key, old)
	}
	text, err := os.ReadFile(v.File)
	if err != nil {
		return err
	}
	return v.proof(t, text, key, old)
}

// isZip tells whether a file begins as a zip file does.
func isZip(file string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	head := make([]byte, 2)
	_, err = io.ReadFull(f, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return string(head) == "PK", errors.Join(err, f.Close())
}

// key is the public key, or that in the file.
func (v cdrVerify) key() (note.Verifier, error) {
	if v.Key == "" {
		return nil, errors.New("--key is missing: the line that siaga112 cdr key prints, from somebody whom you trust and not from the bundle")
	}
	text := v.Key
	if b, err := os.ReadFile(v.Key); err == nil {
		text = string(b)
	}
	return audit.OpenKey(text)
}

// store verifies the whole store.
func (v cdrVerify) store(ctx context.Context, c *commands, t terminal, old []byte) error {
	return c.administer(ctx, func(_ *config.Config, admin web.Admin) error {
		r, err := admin.Verify(ctx)
		if err != nil {
			return err
		}
		if old != nil {
			if err := continued(ctx, v, admin, t, old); err != nil {
				r.Bad = append(r.Bad, err.Error())
			}
		}
		for _, b := range r.Bad {
			fmt.Fprintln(t.out, b)
		}
		if r.Erased+r.Expired > 0 {
			fmt.Fprintf(t.out, "erased on an order: %d records, after their time: %d\n", r.Erased, r.Expired)
		}
		fmt.Fprintf(t.out, "records: %d, tree %s, checkpoints: %d\n%s\n", r.Records, r.Root, r.Checkpoints, r)
		if !r.OK() {
			return fmt.Errorf("the ledger does not verify: %d finding(s) above, the first is %s", len(r.Bad), r.Bad[0])
		}
		return nil
	})
}

// continued checks that the ledger continues an older checkpoint.
func continued(ctx context.Context, v cdrVerify, admin web.Admin, t terminal, old []byte) error {
	a, ok := admin.(web.Auditor)
	if !ok {
		return web.ErrNoAuditor
	}
	if v.Key == "" {
		var err error
		if v.Key, err = a.Key(ctx); err != nil {
			return err
		}
	}
	key, err := v.key()
	if err != nil {
		return err
	}
	from, err := audit.OpenCheckpoint(old, key)
	if err != nil {
		return fmt.Errorf("%s: %w", v.Checkpoint, err)
	}
	text, err := a.ProveSince(ctx, string(old))
	if err != nil {
		return err
	}
	p, err := audit.ParseConsistency([]byte(text))
	if err != nil {
		return err
	}
	at, err := audit.OpenCheckpoint(p.Checkpoint, key)
	if err == nil {
		err = p.Verify(at)
	}
	if err == nil && (p.OldSize != from.Size || p.OldRoot != from.Root) {
		err = fmt.Errorf("%s: the proof is from another checkpoint", v.Checkpoint)
	}
	if err == nil {
		fmt.Fprintf(t.out, "checkpoint of %s: its %d records are the first of %d\n", from.Time.Format(time.RFC3339), from.Size, at.Size)
	}
	return err
}

// bundle verifies a bundle.
func (v cdrVerify) bundle(ctx context.Context, t terminal, key note.Verifier, old []byte) (err error) {
	b, err := audit.OpenBundle(v.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r, err := b.Verify(ctx, audit.Check{Key: key, Table: callsTable, Old: old})
	if err != nil {
		return err
	}
	for _, bad := range r.Bad {
		fmt.Fprintln(t.out, bad)
	}
	m, n := r.Manifest, r.Counts
	if m.Format != "" {
		fmt.Fprintf(t.out, "bundle of %s, made %s for %s: %s\nof: %s\n", m.Origin, m.Made.Format(time.RFC3339), m.By, m.Why, everything(m.Filter))
	}
	if r.Old != "" {
		fmt.Fprintln(t.out, r.Old)
	}
	verdict := "verified"
	if !r.OK() {
		verdict = "NOT verified"
	}
	fmt.Fprintf(t.out, "records: %d of %d in the tree %s\nbundle: %d calls, %d shifts, %d acts, %d erased, %s\n",
		n.Records, r.Checkpoint.Size, r.Checkpoint.Root, n.Calls, n.Shifts, n.Acts, n.Erased, verdict)
	if !r.OK() {
		return fmt.Errorf("%s does not verify: %d finding(s) above, the first is %s", v.File, len(r.Bad), r.Bad[0])
	}
	return nil
}

func everything(filter string) string {
	if filter == "" {
		return "everything"
	}
	return filter
}

// proof verifies what cdr prove printed.
func (v cdrVerify) proof(t terminal, text []byte, key note.Verifier, old []byte) error {
	if p, err := audit.ParseConsistency(text); err == nil {
		return v.since(t, p, key, old)
	}
	p, err := audit.ParseInclusion(text)
	if err != nil {
		return fmt.Errorf("%s is no bundle and no proof: %w", v.File, err)
	}
	at, err := p.Verify(key)
	if err != nil {
		return fmt.Errorf("%s: %w", v.File, err)
	}
	_, err = fmt.Fprintf(t.out, "record %d with the leaf %x is in the tree of %d records of %s: verified\n", p.Seq, p.Leaf, at.Size, at.Time.Format(time.RFC3339))
	return err
}

func (v cdrVerify) since(t terminal, p audit.Consistency, key note.Verifier, old []byte) error {
	at, err := audit.OpenCheckpoint(p.Checkpoint, key)
	if err == nil {
		err = p.Verify(at)
	}
	if err == nil && old != nil {
		var from audit.Checkpoint
		if from, err = audit.OpenCheckpoint(bytes.TrimPrefix(old, []byte("\ufeff")), key); err == nil && (from.Size != p.OldSize || from.Root != p.OldRoot) {
			err = fmt.Errorf("it is from another checkpoint than %s", v.Checkpoint)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", v.File, err)
	}
	_, err = fmt.Fprintf(t.out, "the %d records with the root %s are the first of the %d of %s: verified\n", p.OldSize, p.OldRoot, at.Size, at.Time.Format(time.RFC3339))
	return err
}

// fromBundle exports what is in a bundle, without a store and a configuration.
func (e cdrExport) fromBundle(ctx context.Context, t terminal) (err error) {
	if e.Format == web.Bundle {
		return errors.New("a bundle is made from the store, not from a bundle: leave out --bundle, or choose another format")
	}
	b, err := audit.OpenBundle(e.Bundle)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	fmt.Fprintf(t.err, "%s is taken as it is: siaga112 cdr verify %s --key KEY tells whether it was changed\n", e.Bundle, e.Bundle)
	zone := b.Zone()
	return e.export(t, zone, func(w io.Writer, r web.Export) (export.Progress, error) {
		r.Zone = zone
		return export.Write(ctx, w, b, r.Options)
	})
}
