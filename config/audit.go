package config

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

const exampleWitness = `"https://saksi.example.go.id/siaga112", "file:/media/usb" or {command: [mail, -s, checkpoint, auditor@example.go.id]}`

func (r *reader) audit(key string, n ast.Node) {
	r.mapping(key, n, []field{{"witness", func(k string, n ast.Node) {
		if s, ok := n.(*ast.SequenceNode); ok && len(s.Values) == 0 {
			return // none
		}
		r.list(k, n, "["+exampleWitness+"]", r.witness)
	}}})
}

// witness reads one place for checkpoints.
func (r *reader) witness(key string, n ast.Node) {
	var w Witness
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		r.mapping(key, n, []field{{"command", func(k string, n ast.Node) {
			r.list(k, n, "[mail, -s, checkpoint, auditor@example.go.id]", func(k string, n ast.Node) {
				if s, ok := r.text(k, n, "mail"); ok {
					w.Command = append(w.Command, s)
				}
			})
		}}})
		r.needs(key, n, "command", "[mail, -s, checkpoint, auditor@example.go.id]", "a group of keys is a witness by command")
		if len(w.Command) > 0 && w.Command[0] == "" {
			r.faultAt(n, key, "the name of the program is empty", "want "+exampleWitness)
			return
		}
	default:
		s, ok := r.text(key, n, exampleWitness)
		if !ok {
			return
		}
		if w, ok = r.place(key, n, s); !ok {
			return
		}
	}
	r.cfg.Audit.Witness = append(r.cfg.Audit.Witness, w)
}

// place reads a witness that is a path or an address.
func (r *reader) place(key string, n ast.Node, s string) (w Witness, ok bool) {
	if path, file := strings.CutPrefix(s, "file:"); file {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			r.faultAt(n, key, "has no path", "want as file:/media/usb")
			return w, false
		}
		return Witness{File: beside(r.cfg.File, path)}, true
	}
	u, err := url.Parse(s)
	switch {
	case err == nil && u.Scheme == "http":
		r.faultAt(n, key, s+" is not encrypted: who sits between could drop checkpoints unseen", "want https://"+strings.TrimPrefix(s, "http://"))
	case err != nil || u.Scheme != "https" || u.Host == "":
		r.faultAt(n, key, fmt.Sprintf("%q is no witness", s), "want "+exampleWitness)
	default:
		return Witness{URL: s}, true
	}
	return w, false
}
