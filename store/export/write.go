package export

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The formats.
const (
	CSV        = "csv"
	JSONL      = "jsonl"
	XLSX       = "xlsx"
	Parquet    = "parquet"
	Asterisk   = "asterisk"
	FreeSWITCH = "freeswitch"
)

// Formats are all formats.
var Formats = []string{CSV, JSONL, XLSX, Parquet, Asterisk, FreeSWITCH}

// Resumable tells whether an export in that format can go on where it stopped. The others have a table of contents at
// their end and begin anew.
func Resumable(format string) bool {
	return slices.Contains([]string{CSV, JSONL, Asterisk, FreeSWITCH}, format)
}

// Check tells what is wrong with the options; the error wraps ErrOption.
func (o *Options) Check() error {
	wrong := func(what, got string, want []string) error {
		return fmt.Errorf("%w: %s %q: want one of %s", ErrOption, what, got, strings.Join(want, ", "))
	}
	switch {
	case !slices.Contains(Formats, o.Format):
		return wrong("format", o.Format, Formats)
	case o.Profile != "" && !slices.Contains(Profiles, o.Profile):
		return wrong("profile", o.Profile, Profiles)
	case o.Profile != "" && o.Format != CSV:
		return fmt.Errorf("%w: profile %q: only csv has profiles", ErrOption, o.Profile)
	case o.Locale != "" && !slices.Contains(Locales, o.Locale):
		return wrong("locale", o.Locale, Locales)
	case o.Locale != "" && o.Profile != Excel:
		return fmt.Errorf("%w: locale %q: only the profile %s has locales", ErrOption, o.Locale, Excel)
	case o.From > o.Size:
		return fmt.Errorf("%w: it begins at record %d, of %d", ErrOption, o.From, o.Size)
	case o.From > 0 && !Resumable(o.Format):
		return fmt.Errorf("%w: %s cannot begin at record %d: it begins anew", ErrOption, o.Format, o.From)
	}
	return nil
}

// form makes lines of rows, in any goroutine.
type form interface {
	head(b []byte) []byte
	row(b []byte, r *Row) []byte
}

// table takes the rows of a format that is not lines.
type table interface {
	prepare(j *job)     // in any goroutine: what can be done before their turn has come
	write(j *job) error // in order
	close() error       // what stands at the end
}

// Write writes the calls of a source, in the order of their first pieces' seq: the order in which they ended. It returns
// when all its goroutines have ended. After an error what is written is not the whole: in the text formats whole rows up
// to the first that could not be read.
//
// It reads the source in the order and the chunks in which it comes, parses and formats on all processors, and holds a
// bounded number of chunks whatever the size.
func Write(ctx context.Context, w io.Writer, src Source, o Options) (Progress, error) {
	if o.Size == 0 {
		size, err := src.Size()
		if err != nil {
			return Progress{}, fmt.Errorf("export: %w", err)
		}
		o.Size = size
	}
	if err := o.Check(); err != nil {
		return Progress{}, err
	}
	p := newPipe(w, o)
	err := p.run(ctx, latest(ctx, src, o.From, o.Size))
	if err != nil {
		err = fmt.Errorf("export: %w", err)
	}
	return p.done, err
}
