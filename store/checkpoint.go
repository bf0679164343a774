package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
)

// checkpointEvery is how often KeepCheckpoints looks for something new.
const checkpointEvery = time.Minute

// checkpointsFor is how long every checkpoint stays. Of older days the last stays, and those of exports.
const checkpointsFor = 24 * time.Hour

// metaKey is the secret key of the checkpoints in meta, in note's form.
const metaKey = "key"

// ErrNoCheckpoint: none has been made yet.
var ErrNoCheckpoint = errors.New("there is no checkpoint yet")

// Key is the public key of the checkpoints, in note's form. It is made with the first use and stays: whoever holds it can
// verify all that the ledger ever signs. That it was made is an act in the ledger.
func (s *Store) Key(ctx context.Context) (string, error) {
	var public string
	err := s.view(func(t *txn) (err error) {
		if b := t.meta.Get([]byte(metaKey)); b != nil {
			public, err = audit.PublicKey(string(b))
		}
		return err
	})
	if err == nil && public != "" {
		return public, nil
	}
	err = s.waitFor(ctx, func(t *txn, o *op) (err error) {
		secret, err := s.key(t, o)
		if err == nil {
			public, err = audit.PublicKey(secret)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("key: %w", err)
	}
	return public, nil
}

// waitFor runs f in the committer and waits until what it wrote is durable, or for ctx. An attempt that is repeated starts
// from nothing. An error of f is the op's own; after one f must have written nothing.
func (s *Store) waitFor(ctx context.Context, f func(t *txn, o *op) error) error {
	done := make(chan error, 1)
	o := &op{weight: 1, done: func(err error) { done <- err }}
	o.apply = func(t *txn) (refused, err error) {
		o.records = nil
		return f(t, o), nil
	}
	s.post(o)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// key is the secret key; where there is none it is made, with the act that says so.
func (s *Store) key(t *txn, o *op) (string, error) {
	if b := t.meta.Get([]byte(metaKey)); b != nil {
		return string(b), nil
	}
	secret, err := audit.NewKey(audit.OriginOf(s.o.Node))
	if err != nil {
		return "", err
	}
	public, err := audit.PublicKey(secret)
	if err != nil {
		return "", err
	}
	now := time.Now()
	a := appending{entries: []call.Entry{{
		Of: call.NewID(call.Act, now), N: 1, At: now, Event: call.Acted{What: "key-made", Detail: public},
	}}}
	records, refused, err := a.apply(t)
	if err := errors.Join(refused, err, t.meta.Put([]byte(metaKey), []byte(secret))); err != nil {
		return "", err
	}
	o.records = records
	return secret, nil
}

// Checkpoint signs the head of the tree. It returns once the checkpoint, and all that it covers, is durable: what a
// witness holds cannot be lost in a crash. Where nothing was sealed since the last one, it is that; but an export gets one of its
// own, which stays. why is one of audit's words. Options.Checkpointed hears of each that is made.
func (s *Store) Checkpoint(ctx context.Context, why string) (signed []byte, err error) {
	made := false
	err = s.waitFor(ctx, func(t *txn, o *op) (err error) {
		signed, made, err = s.checkpoint(t, o, why, time.Now())
		if err == nil && made {
			o.after = func() { s.o.Checkpointed(signed) }
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return signed, nil
}

func (s *Store) checkpoint(t *txn, o *op, why string, now time.Time) (signed []byte, made bool, err error) {
	secret, err := s.key(t, o)
	if err != nil {
		return nil, false, err
	}
	size := t.count(metaSize)
	lastSize, last := t.check.Cursor().Last()
	if bytes.Equal(lastSize, seqKey(size)) && (why != audit.WhyExport || isExports(last)) {
		return bytes.Clone(last), false, nil
	}
	key, err := note.NewSigner(secret)
	if err != nil {
		return nil, false, err
	}
	c := audit.Checkpoint{
		Origin: key.Name(), Size: size, Time: now.UTC().Truncate(time.Second),
		Arrived: t.count(metaArrived), Ended: t.count(metaEnded), Why: why,
	}
	if c.Root, err = tlog.TreeHash(int64(size), tlog.HashReaderFunc(t.readHashes)); err != nil {
		return nil, false, err
	}
	if signed, err = c.Sign(key); err != nil {
		return nil, false, err
	}
	if err := t.check.Put(seqKey(size), signed); err != nil {
		return nil, false, err
	}
	if before, err := audit.PeekCheckpoint(last); err == nil && before.Time.Truncate(24*time.Hour).Equal(c.Time.Truncate(24*time.Hour)) {
		return signed, true, nil
	}
	return signed, true, t.thin(c.Time.Add(-checkpointsFor))
}

// isExports tells whether a checkpoint is one of an export, which stays.
func isExports(signed []byte) bool {
	at, err := audit.PeekCheckpoint(signed)
	return err == nil && at.Why == audit.WhyExport
}

// thin drops the checkpoints of whole days before a time, but for the last of each day and those of exports.
func (t *txn) thin(before time.Time) error {
	var drop [][]byte
	var lastKey []byte // of a day that goes on
	var lastDay time.Time
	c := t.check.Cursor()
	for k, signed := c.First(); k != nil; k, signed = c.Next() {
		at, err := audit.PeekCheckpoint(signed)
		if err != nil {
			continue // Verify will say it
		}
		day := at.Time.Truncate(24 * time.Hour)
		if lastKey != nil && day.Equal(lastDay) {
			drop = append(drop, lastKey)
		}
		if day.Add(24 * time.Hour).After(before) {
			break
		}
		lastKey, lastDay = bytes.Clone(k), day
		if at.Why == audit.WhyExport {
			lastKey = nil
		}
	}
	for _, k := range drop {
		if err := t.check.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// LastCheckpoint is the latest that was made. The error wraps ErrNoCheckpoint.
func (s *Store) LastCheckpoint() (signed []byte, err error) {
	err = s.view(func(t *txn) error {
		_, last := t.check.Cursor().Last()
		signed = bytes.Clone(last)
		return nil
	})
	if err == nil && signed == nil {
		err = ErrNoCheckpoint
	}
	if err != nil {
		return nil, fmt.Errorf("last checkpoint: %w", err)
	}
	return signed, nil
}

// Checkpoints are the stored ones, the oldest first.
func (s *Store) Checkpoints() (all [][]byte, err error) {
	err = s.view(func(t *txn) error {
		c := t.check.Cursor()
		for k, signed := c.First(); k != nil; k, signed = c.Next() {
			all = append(all, bytes.Clone(signed))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("checkpoints: %w", err)
	}
	return all, nil
}

// ReadHashes reads hashes of the tree by their number: the store is a tlog.HashReader.
func (s *Store) ReadHashes(indexes []int64) (hs []tlog.Hash, err error) {
	err = s.view(func(t *txn) (err error) {
		hs, err = t.readHashes(indexes)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tree: %w", err)
	}
	return hs, nil
}

// KeepCheckpoints makes a checkpoint every minute in which something was sealed, until ctx is done. It first hands the
// latest one to Options.Checkpointed again: the run before may have ended on its way to a witness.
func (s *Store) KeepCheckpoints(ctx context.Context) {
	if last, err := s.LastCheckpoint(); err == nil {
		s.o.Checkpointed(last)
	}
	t := time.NewTicker(checkpointEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if !s.hasNews() {
			continue
		}
		if _, err := s.Checkpoint(ctx, audit.WhyMinute); err != nil && ctx.Err() == nil {
			s.o.Log.Error("store: no checkpoint", zap.Error(err))
		}
	}
}

// hasNews tells whether something was sealed since the last checkpoint.
func (s *Store) hasNews() (news bool) {
	err := s.view(func(t *txn) error {
		last, _ := t.check.Cursor().Last()
		size := t.count(metaSize)
		news = size > 0 && !bytes.Equal(last, seqKey(size))
		return nil
	})
	if err != nil {
		s.o.Log.Error("store: no checkpoint", zap.Error(err))
	}
	return news
}

// verifierKey is the public key of the checkpoints.
func (t *txn) verifierKey() (note.Verifier, error) {
	b := t.meta.Get([]byte(metaKey))
	if b == nil {
		return nil, errors.New("it is missing, and there are checkpoints")
	}
	public, err := audit.PublicKey(string(b))
	if err != nil {
		return nil, err
	}
	return audit.OpenKey(public)
}

// Sign makes a note of a text by the key of the checkpoints: what goes with the records to those who hold that key. The
// text must not be one that passes for a checkpoint.
func (s *Store) Sign(text string) (signed []byte, err error) {
	err = s.view(func(t *txn) error {
		key, err := note.NewSigner(string(t.meta.Get([]byte(metaKey))))
		if err != nil {
			return fmt.Errorf("the key of the checkpoints: %w", err)
		}
		signed, err = note.Sign(&note.Note{Text: text}, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signed, nil
}
