package config

import _ "embed"

//go:embed template.yaml
var template []byte

// Template is the commented file that siaga112 init writes. It runs as it is: read from a file, it is Default of it.
func Template() []byte { return append([]byte(nil), template...) }
