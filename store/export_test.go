package store

import (
	bolt "go.etcd.io/bbolt"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
)

// WithUpdate replaces how a transaction is committed.
func (o Options) WithUpdate(f func(*bolt.DB, func(*bolt.Tx) error) error) Options {
	o.update = f
	return o
}

// WithFree replaces how free space is measured.
func (o Options) WithFree(f func(dir string) (uint64, error)) Options {
	o.free = f
	return o
}

// CheckBody is what Verify does with the only piece of a subject, but for the hashes and what is stored beside it.
func CheckBody(body []byte) (call.ID, []Bad) {
	p, err := readRec(0, recValue(call.Sealed{Body: body}))
	if err != nil {
		return "", []Bad{{What: err.Error()}}
	}
	var c audit.Checker
	return p.Of, c.Check(p.Of, []call.Sealed{p}).Bad
}
