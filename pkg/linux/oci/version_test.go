package oci_test

import (
	"encoding/json"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/hook"
)

// Hooks are told the version that everybody else is told.
func TestVersionThatHooksAreTold(t *testing.T) {
	text, err := hook.Subject{ID: "x"}.State(hook.Creating)
	if err != nil {
		t.Fatal(err)
	}
	var state specs.State
	if err := json.Unmarshal(text, &state); err != nil || state.Version != specs.Version {
		t.Errorf("%s: want %s, %v", text, specs.Version, err)
	}
}
