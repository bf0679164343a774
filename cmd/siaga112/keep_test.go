package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/config"
	"github.com/siaga112/siaga112/store"
	"github.com/siaga112/siaga112/store/storetest"
)

// Each night what is too old is erased and its bytes are gone, and the records are verified; where one is bad the alarm
// sounds until a night in which none is.
func TestNights(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(dir, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		old, young := time.Now().AddDate(0, 0, -89), time.Now().AddDate(0, 0, -1)
		for i, at := range []time.Time{old, young} {
			id := storetest.ID(call.Call, i, at)
			if err := storetest.Append(s, storetest.Abandoned(id, at, "+62811555000"+string(rune('1'+i)))...); err != nil {
				t.Fatal(err)
			}
		}
		cfg := config.Default(filepath.Join(dir, config.FileName))
		cfg.Zone, cfg.Store.Retention.Records = time.UTC, config.Age{Days: 90}
		var heard []string
		alarm := func(name string, since time.Time, text string) {
			if name != "ledger" || !since.IsZero() {
				heard = append(heard, name+": "+text)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			nights(ctx, s, cfg, alarm, zap.NewNop())
		}()
		calls := func() (n int) {
			for _, err := range s.Find(ctx, store.Query{}) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			return n
		}
		time.Sleep(23 * time.Hour) // one night: nothing is older than 90 days
		synctest.Wait()
		if n := calls(); n != 2 {
			t.Errorf("after one night there are %d calls", n)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := calls(); n != 1 {
			t.Errorf("after two nights there are %d calls", n)
		}
		b, err := os.ReadFile(filepath.Join(dir, store.File))
		if err != nil || strings.Contains(string(b), "+628115550001") || !strings.Contains(string(b), "+628115550002") {
			t.Errorf("the file has not what it should have, %v", err)
		}
		if len(heard) > 0 {
			t.Errorf("heard %q", heard)
		}
		cancel()
		<-over
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		night(t.Context(), s, config.Age{}, alarm, zap.NewNop())
		if len(heard) != 1 || !strings.Contains(heard[0], "cannot be verified") {
			t.Errorf("heard %q", heard)
		}
	})
}
