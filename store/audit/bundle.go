package audit

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// The files of a bundle, in the order in which they are written. docs/audit.md says what stands in each.
const (
	fileRecords     = "records.jsonl"
	fileCalls       = "calls.csv"
	fileProof       = "proof"
	fileConsistency = "consistency"
	fileCheckpoint  = "checkpoint"
	fileReadme      = "README.txt"
	fileManifest    = "manifest.json"
	fileSignature   = "manifest.note"
)

// bundleFiles are those that the manifest lists.
var bundleFiles = []string{fileRecords, fileCalls, fileProof, fileConsistency, fileCheckpoint, fileReadme}

// BundleFormat is the version of all that a bundle holds.
const BundleFormat = "siaga112-bundle-1"

// manifestHead is the first line of what is signed over a manifest.
const manifestHead = "siaga112 manifest v1"

// proofHead is the first line of the proof file.
const proofHead = "siaga112 gaps v1"

// Manifest says what a bundle is.
type Manifest struct {
	Format string    `json:"format"` // BundleFormat
	Origin string    `json:"origin"` // which ledger
	Made   time.Time `json:"made"`   // UTC, whole seconds
	By     string    `json:"by"`     // who asked for it
	Why    string    `json:"why"`
	Filter string    `json:"filter"` // in words; "": everything
	Zone   string    `json:"zone"`   // IANA name, of the times in calls.csv
	Size   uint64    `json:"size"`   // records in the tree of the checkpoint
	Root   string    `json:"root"`   // of it, base64
	Counts Counts    `json:"counts"`
	Files  []File    `json:"files"`
}

// Counts are how much is in a bundle.
type Counts struct {
	Records uint64 `json:"records"` // lines of records.jsonl
	Erased  uint64 `json:"erased"`  // of them: only the leaf is left
	Calls   uint64 `json:"calls"`
	Shifts  uint64 `json:"shifts"`
	Acts    uint64 `json:"acts"`
	Rows    uint64 `json:"rows"` // of calls.csv, without its header
}

// File is a file of a bundle.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hex
}

// text is the manifest as it is written: indented JSON with a newline.
func (m Manifest) text() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

// manifestText is what is signed over a manifest.
func manifestText(origin string, manifest []byte) string {
	return fmt.Sprintf("%s\n%s\nsha256 %x\n", manifestHead, origin, sha256.Sum256(manifest))
}

// openManifest reads a manifest whose signature is right.
func openManifest(manifest, signature []byte, key note.Verifier) (Manifest, error) {
	var m Manifest
	text, err := open(signature, key)
	if err != nil {
		return m, fmt.Errorf("%s: %w", fileSignature, err)
	}
	if text != manifestText(key.Name(), manifest) {
		return m, fmt.Errorf("%s: it is not the file that %s was signed over", fileManifest, fileSignature)
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return m, fmt.Errorf("%s: %w: %w", fileManifest, ErrFormat, err)
	}
	if m.Format != BundleFormat {
		return m, fmt.Errorf("%s: %w: it is %q, this program reads %s: get a newer one", fileManifest, ErrFormat, m.Format, BundleFormat)
	}
	return m, nil
}
