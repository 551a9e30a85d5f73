package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed31d4122e/reconciler/pkg/api"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// maxState bounds a state file: 10,000 containers take a tenth of it.
const maxState = 256 << 20

// readState reads what `reconciler get -o json` wrote on a node; "-" is in.
func readState(path string, in io.Reader) ([]spec.Object, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read state %s: %w", path, errors.Unwrap(err))
		}
		defer f.Close()
		in = f
	}
	var list api.List
	err := json.NewDecoder(io.LimitReader(in, maxState)).Decode(&list)
	switch {
	case err != nil:
		err = fmt.Errorf("cannot understand state %s: %w", path, err)
	case list.Kind != api.KindList || list.APIVersion != spec.APIVersion:
		err = fmt.Errorf("state %s is of kind %q, apiVersion %q: want %s of %s", path, list.Kind, list.APIVersion, api.KindList, spec.APIVersion)
	default:
		return list.Items, nil
	}
	return nil, withHint(err, "write it on the node with `reconciler get -o json`, without names and selector")
}
