package reconcile

import (
	"errors"
	"io"

	"github.com/goccy/go-yaml"
)

// Profile is a Format as people write it into a file for an operator that they know, in YAML.
type Profile struct {
	TimeColumn     string `yaml:"time-column"`
	NumberColumn   string `yaml:"number-column"`
	DurationColumn string `yaml:"duration-column"`
	CalledColumn   string `yaml:"called-column"`
	TimeFormat     string `yaml:"time-format"`
	Zone           string `yaml:"zone"`
	Separator      string `yaml:"separator"`
}

// ParseProfile reads a profile; a key that it does not know is an error, which shows the line.
func ParseProfile(b []byte) (p Profile, err error) {
	if err := yaml.UnmarshalWithOptions(b, &p, yaml.Strict()); err != nil && !errors.Is(err, io.EOF) {
		return Profile{}, err
	}
	return p, nil
}
