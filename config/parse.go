package config

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxSize bounds a file: a configuration is never this long, a file named by mistake may be.
const maxSize = 1 << 20

// lineBreaks are the line breaks of YAML (1.2, 5.4).
var lineBreaks = regexp.MustCompile("\r\n?|\n")

// Parse reads and checks a configuration that is already in memory; file names it in faults, and relative paths in it are
// relative to that file's folder. The error is Faults: all of them, or only the first where the YAML itself is broken.
// It opens nothing but the zone table.
func Parse(file string, data []byte) (*Config, error) {
	r := &reader{file: file, cfg: Default(file), at: map[string]int{}}
	r.cfg.Trunks = nil
	if root, ok := r.document(data); ok {
		if r.root(root) {
			r.check()
		}
	}
	if len(r.faults) > 0 {
		return nil, r.faults.sorted()
	}
	r.cfg.Sum = sha256.Sum256(data)
	return r.cfg, nil
}

// document is the one YAML document of the file; false where no key can be looked at.
func (r *reader) document(data []byte) (ast.Node, bool) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case len(data) > maxSize:
		r.fault(0, "", fmt.Sprintf("is %d bytes long", len(data)), fmt.Sprintf("want at most %d: is it a configuration?", maxSize))
		return nil, false
	case !utf8.Valid(data):
		r.fault(badLine(data), "", "has bytes that are not UTF-8", "save it as UTF-8 text")
		return nil, false
	}
	tree, err := syntax(lineBreaks.ReplaceAll(data, []byte("\n")))
	if err != nil {
		line, what := 0, err.Error()
		if broken, ok := errors.AsType[yaml.Error](err); ok {
			what = broken.GetMessage()
			if t := broken.GetToken(); t != nil && t.Position != nil {
				line = t.Position.Line
			}
		}
		r.fault(line, "", "YAML: "+strings.NewReplacer("\t", `\t`, "\n", " ").Replace(what), "")
		return nil, false
	}
	var root ast.Node
	for _, d := range tree.Docs {
		switch {
		case d.Body == nil:
		case root != nil:
			r.fault(lineOf(d.Body), "", "a second YAML document begins here", "one file is one document: delete --- and what follows")
			return root, true
		default:
			root = d.Body
		}
	}
	if root == nil {
		r.fault(0, "", "is empty", "siaga112 init DIR writes a file that runs as it is")
		return nil, false
	}
	return root, true
}

// syntax parses the YAML. The parser is known to panic on some garbage: that garbage is a fault like any other.
func syntax(data []byte) (tree *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			tree, err = nil, errors.New("cannot be read")
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

// badLine is the line of the first byte that is not UTF-8.
func badLine(data []byte) int {
	line := 1
	for len(data) > 0 {
		c, n := utf8.DecodeRune(data)
		if c == utf8.RuneError && n == 1 {
			break
		}
		if c == '\n' {
			line++
		}
		data = data[n:]
	}
	return line
}
