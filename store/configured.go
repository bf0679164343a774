package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/siaga112/siaga112/call"
)

// metaConfigured is what the gateway ran with last, in words.
const metaConfigured = "configured"

// Configured notes what the gateway runs with from now on: its configuration and its program, in words that differ when
// they do. Where they differ from the last ones that is an act in the ledger, in the same transaction. It returns once that is
// durable, or with the error of ctx: the note may then still be made.
func (s *Store) Configured(ctx context.Context, with string) error {
	err := s.waitFor(ctx, func(t *txn, o *op) error {
		if string(t.meta.Get([]byte(metaConfigured))) == with {
			return nil
		}
		now := time.Now()
		a := appending{entries: []call.Entry{{
			Of: call.NewID(call.Act, now), N: 1, At: now, Event: call.Acted{What: "configured", Detail: with},
		}}}
		records, refused, err := a.apply(t)
		o.records = records
		return errors.Join(refused, err, t.meta.Put([]byte(metaConfigured), []byte(with)))
	})
	if err != nil {
		return fmt.Errorf("configured: %w", err)
	}
	return nil
}
