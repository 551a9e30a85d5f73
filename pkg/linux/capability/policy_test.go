package capability_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// A policy that allows no capability allows those of the default list, and no other.
func TestPolicyKnowsTheDefaultList(t *testing.T) {
	p, problems := spec.DecodePolicy("p", []byte("apiVersion: reconciler/v1alpha1\nkind: NodePolicy\nspec: {capabilities: {allowed: []}}\n"))
	if problems != nil {
		t.Fatal(problems)
	}
	defaults := strings.Split(capability.Default.String(), ",")
	for _, name := range spec.CapabilityNames {
		_, problems := p.Decode("m", fmt.Appendf(nil,
			"apiVersion: reconciler/v1alpha1\nkind: Container\nmetadata: {name: x}\nspec: {rootfs: {path: /srv}, command: [x], security: {capabilities: {add: [%s]}}}\n", name))
		if allowed := len(problems) == 0; allowed != slices.Contains(defaults, name) {
			t.Errorf("%s: allowed is %v", name, allowed)
		}
	}
}
