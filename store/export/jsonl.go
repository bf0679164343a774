package export

import (
	"strconv"
	"time"
)

// jsonForm writes rows as JSON Lines: an object a line, with all of Columns in their order. What is unknown is null, but
// for texts: those are empty.
type jsonForm struct {
	zone *time.Location
	keys [len(columns)][]byte // with what stands before and behind
}

func newJSON(o *Options) *jsonForm {
	f := &jsonForm{zone: o.Zone}
	for i := range columns {
		open := `,"`
		if i == 0 {
			open = `{"`
		}
		f.keys[i] = []byte(open + columns[i].Name + `":`)
	}
	return f
}

func (*jsonForm) head(b []byte) []byte { return b }

func (f *jsonForm) row(b []byte, r *Row) []byte {
	for i := range columns {
		b = append(b, f.keys[i]...)
		if columns[i].raw != nil {
			b = append(columns[i].raw(append(b, '"'), r), '"')
			continue
		}
		v := columns[i].of(r, f.zone)
		if v.null {
			b = append(b, "null"...)
			continue
		}
		b = f.value(b, columns[i].Type, &v)
	}
	return append(b, "}\n"...)
}

func (f *jsonForm) value(b []byte, typ string, v *value) []byte {
	switch typ {
	case typeText:
		return appendJSON(b, v.text)
	case typeList:
		b = append(b, '[')
		for i, s := range v.list {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, s)
		}
		return append(b, ']')
	case typeInteger:
		return strconv.AppendInt(b, v.n, 10)
	case typeNumber:
		return appendNumber(b, v.n)
	case typeFlag:
		return strconv.AppendBool(b, v.n != 0)
	case typeTime:
		b = append(b, '"')
		b = appendTime(b, v.at, f.zone)
		return append(b, '"')
	}
	return append(b, "null"...)
}
