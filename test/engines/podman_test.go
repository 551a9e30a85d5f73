package engines

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// podman is podman with one runtime, and a program that says that it is ready.
type podman struct{ runtime, cgroup, notify string }

const image = "localhost/busybox:1"

// podmanFiles are what its node has in /etc: rlimits that a machine without CAP_SYS_RESOURCE has, and ids for user namespaces.
var podmanFiles = map[string]string{
	"subuid": "containers:1000000:1000000\n",
	"subgid": "containers:1000000:1000000\n",
	"containers/containers.conf": `[containers]
default_ulimits = ["nofile=1024:4096", "nproc=2048:4096"]
[network]
network_backend = "netavark"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime_supports_json = ["crun", "runc", "ours"]
`,
	"containers/storage.conf": `[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
`,
}

func (p podman) argv(args ...string) []string {
	return append([]string{"podman", "--runtime", p.runtime}, args...)
}

func (p podman) clear(s *story) {
	s.soon("without containers", func() bool { return s.try("rm", "--force", "--all", "--time", "0", "--volumes").code == 0 })
	s.run("volume", "prune", "--force")
}

// inside runs a script in a container that goes with it, and gives its output.
func (s *story) inside(flags, script string) string {
	return s.run(s.container("--rm "+flags, script)...)
}

// up starts the container c in the background.
func (s *story) up(flags, script string) {
	s.run(s.container("--detach --name c "+flags, script)...)
}

// container is the command line of a container that runs a script, without a network if none is said.
func (s *story) container(flags, script string) []string {
	args := append([]string{"run", "--cgroup-parent", "/" + s.cgroup}, strings.Fields(flags)...)
	if !strings.Contains(flags, "--network") {
		args = append(args, "--network", "none")
	}
	return append(args, image, "sh", "-c", script)
}

// sh runs a script in the container c.
func (s *story) sh(script string) string { return s.run("exec", "c", "sh", "-c", script) }

// show is what inspect shows of the container c.
func (s *story) show(template string) string {
	return s.run("inspect", "--format", "{{"+template+"}}", "c")
}

func TestPodman(t *testing.T) {
	tools(t, "podman", "conmon", "busybox")
	binary := ours(t)
	notify := filepath.Join(filepath.Dir(binary), "notify")
	build(t, ".", notify, "./testdata/notify")
	_, rootfs := archive(t)
	tellAll(t, binary, podmanFiles, func(_ *testing.T, n *node, path string) engine { return podman{path, n.cgroup, notify} }, func(s *story) {
		s.run("import", "--quiet", rootfs, image)
		s.inside("", "true")
	}, slices.Concat(podmanChapters, podmanFurther, podmanImages))
}
