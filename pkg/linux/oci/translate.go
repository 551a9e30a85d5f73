package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// Translation is a configuration in the words of a manifest, and what no manifest can say.
type Translation struct {
	// Container says everything that it means to: spec.Defaulted adds nothing of importance. It has no name.
	Container spec.Container
	// Hostname and Domainname are set in the container's UTS namespace, joined or not; "" leaves what is there.
	Hostname, Domainname string
	// TimePath is the time namespace to be joined, "" for none.
	TimePath string
	// CgroupsPath is linux.cgroupsPath as it is.
	CgroupsPath string
	// Prestart are the deprecated hooks of that name, run before createRuntime's.
	Prestart    []spec.Hook
	ConsoleSize spec.TerminalSize
	Annotations map[string]string
	// Warnings say what was left out, each on one line.
	Warnings []string
}

// Translate puts a configuration into the words of a manifest. Relative paths are those of the bundle, which is an absolute directory. What the
// specification calls an error, and what contradicts itself, is fs.ErrInvalid; what no container here can have is
// errors.ErrUnsupported. It looks at nothing but the words.
func Translate(config *specs.Spec, bundle string) (Translation, error) {
	t := newTranslator(config, config.Process, bundle)
	if config.Process == nil {
		return t.out, fmt.Errorf("process is missing: %w", fs.ErrInvalid)
	}
	if config.Root == nil || config.Root.Path == "" {
		return t.out, fmt.Errorf("root.path is missing: %w", fs.ErrInvalid)
	}
	if config.Linux == nil {
		config.Linux = &specs.Linux{}
	}
	if err := t.apply(""); err != nil {
		return t.out, err
	}
	t.s.CPUAffinity = spec.CPUAffinity{} // of further processes only
	return t.out, t.agree()
}

// TranslateProcess gives a container with a further process in place of its own one.
func TranslateProcess(base Translation, p *specs.Process) (Translation, error) {
	t := newTranslator(&specs.Spec{}, p, "/")
	t.out = base
	t.out.Warnings = nil
	t.s = &t.out.Container.Spec
	t.s.AdditionalGroups, t.s.Rlimits, t.s.OOMScoreAdj = nil, nil, spec.OOMScore{}
	return t.out, t.apply("process.")
}

// translator is one translation under way.
type translator struct {
	config  *specs.Spec
	process *specs.Process
	bundle  string
	out     Translation
	s       *spec.ContainerSpec // of out
}

func newTranslator(config *specs.Spec, p *specs.Process, bundle string) *translator {
	t := &translator{config: config, process: p, bundle: bundle}
	t.s = &t.out.Container.Spec
	t.s.Base, t.s.Rootfs.Writable.Medium = spec.BaseNone, spec.MediumDirect
	t.s.Umask, t.s.Stdin = "0022", true
	return t
}

// apply goes through the rows of the table whose fields begin with a text.
func (t *translator) apply(prefix string) error {
	for _, r := range Fields {
		if r.apply == nil || !strings.HasPrefix(r.Field, prefix) {
			continue
		}
		if err := r.apply(t); err != nil {
			return fmt.Errorf("%s: %w", r.Field, err)
		}
	}
	return nil
}

func (t *translator) warn(format string, args ...any) {
	t.out.Warnings = append(t.out.Warnings, fmt.Sprintf(format, args...))
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), fs.ErrInvalid)
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errors.ErrUnsupported)
}

// abs is a path of the bundle.
func (t *translator) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(t.bundle, path)
}

// agree checks what several fields say together, when all are there.
func (t *translator) agree() error {
	n := t.s.Namespaces
	switch {
	case t.out.Hostname != "" && n.UTS == spec.NamespaceHost:
		return invalid("hostname needs a private UTS namespace")
	case t.out.Domainname != "" && n.UTS == spec.NamespaceHost:
		return invalid("domainname needs a private UTS namespace")
	case len(n.User.UIDMappings)+len(n.User.GIDMappings) > 0 && n.User.Mode == spec.UserHost:
		return invalid("linux.uidMappings and gidMappings need a user namespace")
	case n.User.Mode == spec.UserMap && (len(n.User.UIDMappings) == 0 || len(n.User.GIDMappings) == 0):
		return invalid("a user namespace needs linux.uidMappings and linux.gidMappings")
	case (n.Time.Monotonic != 0 || n.Time.Boottime != 0) && n.Time.Mode == spec.TimeHost && t.out.TimePath == "":
		return invalid("linux.timeOffsets needs a time namespace")
	case (n.Time.Monotonic != 0 || n.Time.Boottime != 0) && t.out.TimePath != "":
		return invalid("linux.timeOffsets cannot be of a time namespace that is joined")
	}
	for _, name := range slices.Sorted(maps.Keys(t.s.Sysctls)) {
		isNet := strings.HasPrefix(name, "net.")
		if isNet && t.s.Network.Mode == spec.NetworkHost || !isNet && !strings.HasPrefix(name, spec.SysctlUserPrefix) && n.IPC == spec.NamespaceHost {
			return invalid("sysctl %q is not in a separate kernel namespace", name)
		}
	}
	return nil
}
