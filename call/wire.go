package call

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// wire writes and reads the stored form of one type: the bytes that encoding/json makes of it without the escapes that
// only HTML needs. It follows the struct tags, and is worked out once a type; encoding/json stays the law. What wire does
// not know, a control character or white space between two keys, and what is wrong it leaves: encoding/json then does the
// whole line again and says so. It never writes or reads anything that encoding/json would write or read otherwise.
type wire struct {
	write func(b []byte, v reflect.Value) (_ []byte, ok bool)
	read  func(in string, v reflect.Value) (rest string) // "" if it leaves it; shares the memory of in
	empty func(v reflect.Value) bool                     // whether omitempty and omitzero leave it out
}

// wireOf panics on a kind that the stored format has no use for so far.
func wireOf(t reflect.Type) wire {
	switch t {
	case reflect.TypeFor[time.Time]():
		return wire{writeTime, readTime, func(v reflect.Value) bool { return timeIn(v).IsZero() }}
	case reflect.TypeFor[Role]():
		return wire{writeRole, readRole, reflect.Value.IsZero}
	}
	switch t.Kind() { //nolint:exhaustive // the default is the point
	case reflect.String:
		return wire{writeText, readText, reflect.Value.IsZero}
	case reflect.Bool:
		return wire{writeBool, readBool, reflect.Value.IsZero}
	case reflect.Int, reflect.Int64:
		return wire{writeInt, readInt, reflect.Value.IsZero}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return wire{writeUint, readUint, reflect.Value.IsZero}
	case reflect.Float64:
		return wire{writeFloat, readFloat, reflect.Value.IsZero}
	case reflect.Struct:
		return wireOfStruct(t)
	case reflect.Slice:
		return wireOfSlice(wireOf(t.Elem()))
	case reflect.Pointer:
		return wireOfPointer(wireOf(t.Elem()))
	}
	panic("call: a " + t.String() + " has no stored form")
}

// codec is the wire of a type, and memory for its values: reflection would move each to the heap.
type codec struct {
	wire

	of   reflect.Type
	pool sync.Pool // of pointers to zeros
}

func codecOf(t reflect.Type) *codec {
	return &codec{wire: wireOf(t), of: t, pool: sync.Pool{New: func() any { return reflect.New(t).Interface() }}}
}

// appendValue writes a value; ok is false if wire leaves it.
func appendValue[T any](c *codec, b []byte, x T) (_ []byte, ok bool) {
	p, ok := c.pool.Get().(*T)
	if !ok {
		return b, false
	}
	*p = x
	b, ok = c.write(b, reflect.ValueOf(p).Elem())
	reflect.ValueOf(p).Elem().SetZero()
	c.pool.Put(p)
	return b, ok
}

// cutValue reads a value; the rest is "" if wire leaves it.
func cutValue[T any](c *codec, in string) (x T, rest string) {
	p := c.pool.Get()
	v := reflect.ValueOf(p).Elem()
	if rest = c.read(in, v); rest != "" {
		x, _ = reflect.TypeAssert[T](v)
	}
	v.SetZero()
	c.pool.Put(p)
	return x, rest
}

// wireField is one key of an object.
type wireField struct {
	wire

	key   string // with its quotes and its colon
	index int
	omit  bool
}

func wireOfStruct(t reflect.Type) wire {
	var fields []wireField
	for i := range t.NumField() {
		f := t.Field(i)
		name, opt, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields = append(fields, wireField{wire: wireOf(f.Type), key: `"` + name + `":`, index: i, omit: opt != ""})
	}
	write := func(b []byte, v reflect.Value) ([]byte, bool) {
		b = append(b, '{')
		start := len(b)
		for i := range fields {
			f := &fields[i]
			v := v.Field(f.index)
			if f.omit && f.empty(v) {
				continue
			}
			if len(b) > start {
				b = append(b, ',')
			}
			var ok bool
			if b, ok = f.write(append(b, f.key...), v); !ok {
				return b, false
			}
		}
		return append(b, '}'), true
	}
	// A key that is not there is a zero, as it is to encoding/json; one that is not the next in order ends the reading.
	read := func(in string, v reflect.Value) string {
		in = cut(in, "{")
		for i, at := 0, 0; i < len(fields) && len(in) > 2; i++ { // at: behind the comma that all but the first begin with
			f := &fields[i]
			if in[at+1] == f.key[1] && strings.HasPrefix(in[at:], f.key) && (at == 0 || in[0] == ',') {
				in = f.read(in[at+len(f.key):], v.Field(f.index))
				at = 1
			}
		}
		return cut(in, "}")
	}
	return wire{write, read, reflect.Value.IsZero}
}

// wireOfSlice leaves an empty one to encoding/json, for there [] and null differ.
func wireOfSlice(elem wire) wire {
	write := func(b []byte, v reflect.Value) ([]byte, bool) {
		ok := v.Len() > 0
		for i := 0; ok && i < v.Len(); i++ {
			b, ok = elem.write(append(b, "[,"[min(i, 1)]), v.Index(i))
		}
		return append(b, ']'), ok
	}
	read := func(in string, v reflect.Value) string {
		in = cut(in, "[")
		for more := in != ""; more; {
			v.Grow(1)
			v.SetLen(v.Len() + 1)
			in, more = strings.CutPrefix(elem.read(in, v.Index(v.Len()-1)), ",")
		}
		return cut(in, "]")
	}
	return wire{write, read, func(v reflect.Value) bool { return v.Len() == 0 }}
}

func wireOfPointer(elem wire) wire {
	write := func(b []byte, v reflect.Value) ([]byte, bool) {
		if v.IsNil() {
			return b, false
		}
		return elem.write(b, v.Elem())
	}
	read := func(in string, v reflect.Value) string {
		v.Set(reflect.New(v.Type().Elem()))
		return elem.read(in, v.Elem())
	}
	return wire{write, read, reflect.Value.IsNil}
}

// cut takes the prefix off in; it is "" if in does not begin with it, so a reading that has gone wrong stays wrong.
func cut(in, prefix string) (rest string) {
	if !strings.HasPrefix(in, prefix) {
		return ""
	}
	return in[len(prefix):]
}

func writeText(b []byte, v reflect.Value) ([]byte, bool) { return appendText(b, v.String()) }

func appendText(b []byte, s string) ([]byte, bool) {
	b = append(b, '"')
	for n := plain(s); ; n = plain(s) {
		if b = append(b, s[:n]...); n == len(s) {
			return append(b, '"'), true
		}
		s = s[n:]
		switch r, size := utf8.DecodeRuneInString(s); {
		case r == '"' || r == '\\':
			b, s = append(b, '\\', s[0]), s[1:]
		case r >= utf8.RuneSelf && size > 1 && r != '\u2028' && r != '\u2029':
			b, s = append(b, s[:size]...), s[size:]
		default:
			return b, false
		}
	}
}

func readText(in string, v reflect.Value) string {
	s, rest := cutText(in)
	v.SetString(s)
	return rest
}

func cutText(in string) (s, rest string) {
	if in == "" || in[0] != '"' {
		return "", ""
	}
	in = in[1:]
	n := plain(in)
	if n == len(in) {
		return "", ""
	}
	if in[n] == '"' {
		return in[:n], in[n+1:]
	}
	return cutEscaped(in)
}

// cutEscaped is cutText behind the first quote, for more than plain text.
func cutEscaped(in string) (s, rest string) {
	b := make([]byte, 0, 64)
	for n := plain(in); n < len(in); n = plain(in) {
		b, in = append(b, in[:n]...), in[n:]
		r, size := utf8.DecodeRuneInString(in)
		switch {
		case r == '"':
			return string(b), in[1:]
		case r == '\\' && len(in) > 1 && (in[1] == '"' || in[1] == '\\'):
			b, in = append(b, in[1]), in[2:]
		case r >= utf8.RuneSelf && size > 1:
			b, in = append(b, in[:size]...), in[size:]
		default:
			return "", ""
		}
	}
	return "", ""
}

// plain is the length of what s begins with that stands in a JSON string as it is, and is ASCII.
func plain(s string) int {
	for i := range len(s) {
		if notPlain[s[i]] {
			return i
		}
	}
	return len(s)
}

var notPlain = func() (t [256]bool) {
	for c := range t {
		t[c] = c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf
	}
	return t
}()

func writeBool(b []byte, v reflect.Value) ([]byte, bool) {
	return strconv.AppendBool(b, v.Bool()), true
}

func readBool(in string, v reflect.Value) string {
	v.SetBool(true)
	return cut(in, "true")
}

func writeInt(b []byte, v reflect.Value) ([]byte, bool) {
	return strconv.AppendInt(b, v.Int(), 10), true
}

func readInt(in string, v reflect.Value) string {
	digits, minus := strings.CutPrefix(in, "-")
	n, rest := cutUint(digits)
	x := int64(n) // below 10^18
	if minus {
		x = -x
	}
	if v.SetInt(x); v.OverflowInt(x) {
		return ""
	}
	return rest
}

func writeUint(b []byte, v reflect.Value) ([]byte, bool) {
	return strconv.AppendUint(b, v.Uint(), 10), true
}

func readUint(in string, v reflect.Value) string {
	n, rest := cutUint(in)
	if v.SetUint(n); v.OverflowUint(n) {
		return ""
	}
	return rest
}

// cutUint takes a number of at most 18 digits off in, without a leading zero.
func cutUint(in string) (n uint64, rest string) {
	i := 0
	for i < len(in) && '0' <= in[i] && in[i] <= '9' {
		n = n*10 + uint64(in[i]-'0')
		i++
	}
	if i == 0 || i > 18 || in[0] == '0' && i > 1 {
		return 0, ""
	}
	return n, in[i:]
}

func writeFloat(b []byte, v reflect.Value) ([]byte, bool) {
	f := v.Float()
	if a := math.Abs(f); f != 0 && (!(a >= 1e-6) || a >= 1e21) { // with an exponent, or not a number
		return b, false
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64), true
}

func readFloat(in string, v reflect.Value) string {
	_, rest := cutUint(strings.TrimPrefix(in, "-"))
	if frac, point := strings.CutPrefix(rest, "."); point {
		if rest = strings.TrimLeft(frac, "0123456789"); len(rest) == len(frac) {
			return ""
		}
	}
	f, err := strconv.ParseFloat(in[:len(in)-len(rest)], 64)
	if v.SetFloat(f); err != nil {
		return ""
	}
	return rest
}

func writeRole(b []byte, v reflect.Value) ([]byte, bool) {
	r := v.Uint()
	if r >= uint64(len(roleNames)) {
		return b, false
	}
	return append(append(append(b, '"'), roleNames[r]...), '"'), true
}

func readRole(in string, v reflect.Value) string {
	s, rest := cutText(in)
	for i, n := range roleNames {
		if n == s {
			v.SetUint(uint64(i))
			return rest
		}
	}
	return ""
}

func timeIn(v reflect.Value) time.Time {
	t, _ := reflect.TypeAssert[time.Time](v)
	return t
}

func writeTime(b []byte, v reflect.Value) ([]byte, bool) {
	b, err := timeIn(v).AppendText(append(b, '"'))
	return append(b, '"'), err == nil
}

func readTime(in string, v reflect.Value) string {
	s, rest := cutText(in)
	if t, ok := reflect.TypeAssert[*time.Time](v.Addr()); !ok || t.UnmarshalText([]byte(s)) != nil {
		return ""
	}
	return rest
}
