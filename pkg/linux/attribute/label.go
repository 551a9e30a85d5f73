package attribute

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/linux/feature"
	"github.com/seed31d4122e/reconciler/pkg/linux/process"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Label is what a security module is told to give the command when it is executed.
type Label struct {
	Step string // "set AppArmor profile"
	File string // below FileProc
	Text string // what is written into it
	Name string // the profile or label, for errors
}

// newLabels are those that a manifest asks for. A node without the module, or without the profile, is an error, of the former errors.ErrUnsupported.
func newLabels(s spec.Security) (labels []Label, err error) {
	if s.AppArmor != "" {
		if err := feature.AppArmor.Probe(); err != nil {
			return nil, fmt.Errorf("cannot give the container the AppArmor profile %q: %w", s.AppArmor, err)
		}
		if err := loaded(s.AppArmor); err != nil {
			return nil, err
		}
		labels = append(labels, Label{"set AppArmor profile", appArmorFile(), "exec " + s.AppArmor, s.AppArmor})
	}
	if s.SELinux != (spec.SELinux{}) {
		if err := feature.SELinux.Probe(); err != nil {
			return nil, fmt.Errorf("cannot give the container the SELinux label %q: %w", s.SELinux.Label, err)
		}
	}
	if label := s.SELinux.Label; label != "" {
		labels = append(labels,
			Label{"set SELinux label", "self/attr/exec", label, label},
			Label{"set SELinux label of keys", "self/attr/keycreate", label, label}, // until the next execve
		)
	}
	return labels, nil
}

// LabelOf is the AppArmor profile or SELinux label that a command has which is given some labels: its own, or this process's. It is "" for none, and for the profile
// unconfined.
func LabelOf(labels []Label) string {
	for _, l := range labels {
		return confinement(l.Name)
	}
	text, err := os.ReadFile("/proc/self/attr/current")
	if err != nil { // no module
		return ""
	}
	return confinement(string(text))
}

// confinement reads a label as /proc/PID/attr/current has it: docker-default (enforce).
func confinement(text string) string {
	name, _, _ := strings.Cut(strings.TrimRight(text, "\x00\n"), " (")
	if name == "unconfined" {
		return ""
	}
	return name
}

// appArmorFile is AppArmor's own since Linux 5.8; before, and without it, attr/exec is the first module's.
func appArmorFile() string {
	if _, err := os.Stat("/proc/self/attr/apparmor/exec"); err == nil {
		return "self/attr/apparmor/exec"
	}
	return "self/attr/exec"
}

// loaded tells that a profile is not, where the node lets it be known; a stack of profiles or a namespace of them is left to the kernel.
func loaded(profile string) error {
	if profile == "unconfined" || bytes.ContainsAny([]byte(profile), "&:") {
		return nil
	}
	text, err := os.ReadFile("/sys/kernel/security/apparmor/profiles")
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(text) { // docker-default (enforce)
		if name, _, ok := bytes.Cut(line, []byte(" (")); ok && string(name) == profile {
			return nil
		}
	}
	return fmt.Errorf("cannot give the container the AppArmor profile %q: it is not loaded: %w\nhint: load it on the node with apparmor_parser", profile, fs.ErrNotExist)
}

// setLabels tells the modules. They heed it at execve, of whatever is executed: an init in front of the command takes it, and the command
// then what the profile says of its children.
func setLabels(p *process.Program, plan Plan) {
	for _, l := range plan.Labels {
		writeProc(p, l.Step, l.File, l.Text).Path = l.Name
	}
}
