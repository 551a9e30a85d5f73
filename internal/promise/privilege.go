package promise

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed31d4122e/reconciler/pkg/linux/attribute"
	"github.com/seed31d4122e/reconciler/pkg/linux/capability"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Sets are the words for those of capability.Sets that hold a capability.
func Sets(s capability.Sets, n int) string {
	var words []string
	for _, set := range []struct {
		set  capability.Set
		word string
	}{{s.Bounding, "bounding"}, {s.Permitted, "permitted"}, {s.Effective, "effective"}, {s.Inheritable, "inheritable"}, {s.Ambient, "ambient"}} {
		if set.set.Has(n) {
			words = append(words, set.word)
		}
	}
	return strings.Join(words, ", ")
}

// capabilities are the sets of the superuser and of another user.
func (p Promise) capabilities() Section {
	s := Section{
		Title: Capabilities,
		Text: "Those that are not listed are in no set. no_new_privs is set, so that set-uid programs and file capabilities give nothing. `security.capabilities` drops and " +
			"adds; what it adds, a user other than the superuser holds in every set.",
		Columns: []string{"capability", "the superuser's sets", "another user's sets"}, Facts: 3,
	}
	root, err := capability.NewSets(p.spec.Security.Capabilities, 0, p.node.Capability)
	must(err)
	user, err := capability.NewSets(p.spec.Security.Capabilities, 1000, p.node.Capability)
	must(err)
	for n, name := range spec.CapabilityNames {
		if a, b := Sets(root, n), Sets(user, n); a+b != "" {
			s.Rows = append(s.Rows, []string{name, a, b})
		}
	}
	return s
}

// limits are the resource limits.
func (p Promise) limits() Section {
	s := Section{
		Title: Limits,
		Text: "In bytes, seconds, microseconds (rttime) or numbers, as setrlimit(2) counts; a node whose keeper may not exceed its own hard limits (it lacks CAP_SYS_RESOURCE) bounds " +
			"them by those. No control group limit is set: `resources` says which.",
		Columns: []string{"limit", "soft", "hard"}, Facts: 3,
	}
	limits, err := attribute.Rlimits(p.spec.Rlimits, p.node.Ceilings)
	must(err)
	for _, l := range limits {
		s.Rows = append(s.Rows, []string{spec.RlimitNames[l.Resource], limit(l.Soft), limit(l.Hard)})
	}
	return s
}

func limit(n uint64) string {
	switch n {
	case unix.RLIM_INFINITY:
		return "unlimited"
	case perNode:
		return "the keeper's"
	}
	return strconv.FormatUint(n, 10)
}
