package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/siaga112/siaga112/call"
	"github.com/siaga112/siaga112/store/audit"
)

// exactly looks again at what the passes doubt, subject by subject, and says what is bad about it. Those that are listed
// without a record are among them.
func (v *verifier) exactly(ctx context.Context) error {
	if err := v.unseen(ctx); err != nil {
		return err
	}
	var checker audit.Checker
	for id := range v.doubt {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := v.s.view(func(t *txn) error {
			v.subjectExactly(t, &checker, id)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(v.doubt) == 0 {
		return nil
	}
	return v.unlisted(ctx)
}

// unseen doubts the subjects that list a record which is not there.
func (v *verifier) unseen(ctx context.Context) error {
	missing := false
	for no, page := range v.list.pages {
		for i := range page {
			seq := no*uint64(len(page)) + uint64(i)
			missing = missing || page[i].subject != 0 && !page[i].seen && seq < v.size
		}
	}
	var from []byte
	return v.s.views(ctx, func(t *txn) (bool, error) {
		last := lastKey(t.rec.Cursor().Last())
		c := t.id.Cursor()
		n := 0
		for k, _ := c.Seek(from); k != nil; k, _ = c.Next() {
			id, seq, ok := splitPieceKey(k)
			if ok && (bytes.Compare(seqKey(seq), last) > 0 || missing && seq < v.size && !v.list.at(seq, true).seen) {
				v.doubt[id] = true
			}
			if n++; n == 16*verifyRows {
				from = append(bytes.Clone(k), 0)
				return true, nil
			}
		}
		return false, nil
	}, func() bool { return true })
}

// subjectExactly checks a subject as it is listed now.
func (v *verifier) subjectExactly(t *txn, checker *audit.Checker, id call.ID) {
	var pieces []call.Sealed
	readable := true
	c := t.id.Cursor()
	for k, _ := c.Seek([]byte(id)); bytes.HasPrefix(k, []byte(id)); k, _ = c.Next() {
		_, seq, ok := splitPieceKey(k)
		if !ok {
			v.bad(NoSeq, id, "the list of pieces has a key %x", k)
			continue
		}
		row := t.rec.Get(k[idLen:])
		of, ok := rowSubject(row)
		switch {
		case row == nil:
			v.bad(seq, id, "it is listed, but there is no such record")
		case len(row) == leafLen:
			pieces = append(pieces, call.Sealed{Seq: seq, Of: id})
		case !ok:
			readable = false // said with the record
		case string(of) != string(id):
			v.bad(seq, id, "it is listed, but the record is of %s", of)
		default:
			pieces = append(pieces, call.Sealed{Seq: seq, Of: id, Body: bytes.Clone(row[headLen:])})
		}
	}
	if _, err := call.ParseID(string(id)); err != nil || !validID([]byte(id)) {
		v.bad(NoSeq, id, "it is listed, but it is no id")
	}
	if len(pieces) == 0 || !readable {
		return
	}
	got := checker.Check(id, pieces)
	v.report.Bad = append(v.report.Bad, got.Bad...)
	for _, a := range got.Acts {
		v.act(a)
	}
	whole := !slices.ContainsFunc(pieces, func(p call.Sealed) bool { return len(p.Body) == 0 })
	if text := string(t.todo.Get([]byte(id))); whole && len(got.Bad) == 0 && text != todoText(got.Last) {
		v.bad(pieces[0].Seq, id, "%q is noted as what is to do, it should be %q", text, todoText(got.Last))
	}
}

// unlisted names the records that are not listed under their subject.
func (v *verifier) unlisted(ctx context.Context) error {
	from := uint64(0)
	return v.s.views(ctx, func(t *txn) (bool, error) {
		c := t.rec.Cursor()
		n := 0
		for k, row := c.Seek(seqKey(from)); len(k) == seqLen; k, row = c.Next() {
			seq := binary.BigEndian.Uint64(k)
			if seq >= v.size {
				return false, nil
			}
			if id, ok := rowSubject(row); ok && v.doubt[call.ID(id)] && t.id.Get(pieceKey(call.ID(id), seq)) == nil {
				v.bad(seq, call.ID(id), "it is not listed under its subject")
			}
			if n++; n == verifyRows {
				from = seq + 1
				return true, nil
			}
		}
		return false, nil
	}, func() bool { return true })
}
