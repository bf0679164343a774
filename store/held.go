package store

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// holderFile names who has the store open. It is only believed while the file's lock is held: a crash leaves it behind.
const holderFile = "siaga112.holder"

func writeHolder(dir string, now time.Time) error {
	text := fmt.Sprintf("process %d since %s\n", os.Getpid(), now.Format(time.RFC3339))
	return os.WriteFile(filepath.Join(dir, holderFile), []byte(text), 0o600)
}

// readHolder says who holds the store, in words.
func readHolder(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, holderFile))
	if err != nil {
		return "another process"
	}
	var pid int
	var since string
	if _, err := fmt.Sscanf(string(b), "process %d since %s", &pid, &since); err != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d since %s", pid, since)
}

func removeHolder(dir string) error {
	err := os.Remove(filepath.Join(dir, holderFile))
	if os.IsNotExist(err) {
		return nil
	}
	return err
}
