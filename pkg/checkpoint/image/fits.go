package image

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Here is what an image would be restored with.
type Here struct {
	CRIU   string     // its version, "" if it is not known
	Memory spec.Bytes // the container's limit, 0 for none
	// CPU and Arch are the node's; the zero values stand for this one.
	CPU  CPU
	Arch string
}

// Fits tells whether an image can be restored here: another kind of processor, one with fewer features, an older criu or a limit below its memory is fs.ErrInvalid. Another
// kernel is no reason: whether it matters shows when it is tried.
func (r *Reader) Fits(h Here) error {
	if err := r.record.fits(h); err != nil {
		return fmt.Errorf("the image %s does not fit: %w: %w", r.Ref(), err, fs.ErrInvalid)
	}
	return nil
}

// maxNamed is how many features are named.
const maxNamed = 5

func (r *record) fits(h Here) error {
	h.Arch = cmp.Or(h.Arch, arch())
	if h.CPU.Features == nil {
		h.CPU = thisCPU()
	}
	i := r.Image
	switch {
	case i.Arch != h.Arch:
		return fmt.Errorf("it was taken on %s, and this is %s", i.Arch, h.Arch)
	case h.CRIU != "" && i.CRIU != "" && olderVersion(h.CRIU, i.CRIU):
		return fmt.Errorf("it was taken with criu %s, and this is %s", i.CRIU, h.CRIU)
	case h.Memory != 0 && i.Memory > h.Memory:
		return fmt.Errorf("its memory is %d bytes, and the limit %d", i.Memory, h.Memory)
	}
	var missing []string
	for _, f := range r.CPU.Features {
		if _, ok := slices.BinarySearch(h.CPU.Features, f); !ok && !slices.Contains(unimportant, f) {
			missing = append(missing, f)
		}
	}
	if len(missing) > maxNamed {
		missing = append(missing[:maxNamed], "...")
	}
	if len(missing) > 0 {
		return fmt.Errorf("the processor here has not %s", strings.Join(missing, " "))
	}
	return nil
}

// unimportant are words of /proc/cpuinfo that are of the machine and its kernel, and nothing that a program could use.
var unimportant = strings.Fields(`aperfmperf arat arch_capabilities arch_perfmon bts constant_tsc cpuid dtherm dts epb ept ept_ad extd_apicid extapic flexpriority hwp
	hypervisor ibpb ibrs ibrs_enhanced ibrsb ida intel_pt invpcid_single l1tf lbrv md_clear nonstop_tsc nopl nrip_save npt pausefilter pebs pfthreshold pln pti pts rep_good
	ssbd stibp svm svm_lock tsc_adjust tsc_deadline_timer tsc_known_freq tsc_reliable tsc_scale tpr_shadow vmcb_clean vmx vnmi vpid xtopology flush_l1d arch_lbr acc_power
	cat_l2 cat_l3 cdp_l2 cdp_l3 cqm cqm_llc cqm_mbm_local cqm_mbm_total cqm_occup_llc mba rdt_a swap smca succor overflow_recov perfctr_core perfctr_llc perfctr_nb topoext`)

// olderVersion compares versions such as 4.2.1 by their numbers. What is no number is taken for 0.
func olderVersion(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if x, y := part(as, i), part(bs, i); x != y {
			return x < y
		}
	}
	return false
}

func part(list []string, i int) int {
	if i >= len(list) {
		return 0
	}
	digits := strings.IndexFunc(list[i], func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(list[i])
	}
	n, err := strconv.Atoi(list[i][:digits])
	if err != nil {
		return 0
	}
	return n
}
