package record

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Schema is the version of the files written here. An older agent leaves names with a newer one alone.
const Schema = 1

// maxFile bounds a record in bytes: a manifest is at most 1 MiB, and JSON escapes grow it.
const maxFile = 8 << 20

// ErrNewer tells that a record was written by a newer version of the agent.
var ErrNewer = errors.New("written by a newer version")

// envelope is a record's file: the sum covers the record's bytes as they stand in the file.
type envelope struct {
	Schema int             `json:"schema"`
	Sum    string          `json:"sum"` // sha256 in hexadecimal
	Record json.RawMessage `json:"record"`
}

// Sum tells records apart that are not kept the same.
type Sum [sha256.Size]byte

// Sum is a hash of a record: who remembers what was kept need not remember all of it. Manifests are most of it, and their generations stand for them.
func (r Record) Sum() Sum {
	generations := make([]int64, len(r.History))
	for i, revision := range r.History {
		generations[i] = revision.Generation
	}
	body, _ := json.Marshal(struct { // Encode says why it cannot be
		Record
		Container struct{} `json:"container"`
		History   []int64  `json:"history"`
	}{Record: r, History: generations})
	return sha256.Sum256(body)
}

// Encode is the file of a record.
func Encode(r Record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the record of %q: %w", r.Name, err)
	}
	data, err := json.Marshal(envelope{Schema, sum(body), body})
	return append(data, '\n'), err
}

// Decode reads the file of a name's record. A torn, altered or foreign one is an error; one of a newer schema is ErrNewer.
func Decode(name string, data []byte) (Record, error) {
	var e envelope
	if len(data) > maxFile {
		return Record{}, fmt.Errorf("%d bytes are too many", len(data))
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return Record{}, fmt.Errorf("torn: %v", err)
	}
	switch {
	case e.Schema > Schema:
		return Record{}, fmt.Errorf("schema %d: %w", e.Schema, ErrNewer)
	case e.Schema != Schema:
		return Record{}, fmt.Errorf("unknown schema %d", e.Schema)
	case e.Sum != sum(e.Record):
		return Record{}, errors.New("its checksum does not match")
	}
	var r Record
	if err := json.Unmarshal(e.Record, &r); err != nil {
		return Record{}, fmt.Errorf("not a record: %v", err)
	}
	return r, check(name, r)
}

// check holds a record with a true checksum to what the agent relies on.
func check(name string, r Record) error {
	manifest := r.Container.Metadata.Name
	switch {
	case r.Name != name:
		return fmt.Errorf("it speaks of %q", r.Name)
	case spec.ValidName(name) != nil:
		return spec.ValidName(name)
	case manifest != "" && manifest != name:
		return fmt.Errorf("its manifest speaks of %q", manifest)
	case r.Generation < 0 || r.Runs.Starts < 0 || r.Runs.Restarts < 0 || r.Runs.Streak < 0 || r.Drift.Count < 0, r.Drift.Failures < 0, r.Images.Failures < 0:
		return errors.New("a count is negative")
	}
	return nil
}

func sum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}
