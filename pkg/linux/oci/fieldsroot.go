package oci

import (
	"maps"
	"path"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/seed31d4122e/reconciler/pkg/linux/mount"
	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// rootFields are those outside process and linux.
var rootFields = []Field{
	{"root.path", "rootfs.path", func(t *translator) error { t.s.Rootfs.Path = t.abs(t.config.Root.Path); return nil }},
	{"root.readonly", "rootfs.readOnly", func(t *translator) error { t.s.Rootfs.ReadOnly = t.config.Root.Readonly; return nil }},
	{"hostname", "hostname", func(t *translator) error { t.out.Hostname = t.config.Hostname; return short(t.config.Hostname) }},
	{"domainname", "domainname", func(t *translator) error { t.out.Domainname = t.config.Domainname; return short(t.config.Domainname) }},
	{"mounts", "mounts", mounts},
	{"mounts[].destination", "mounts.destination", nil},
	{"mounts[].type", "mounts.type", nil},
	{"mounts[].source", "mounts.source", nil},
	{"mounts[].options", "mounts.options", nil},
	{"mounts[].uidMappings", "mounts.uidMappings", nil},
	{"mounts[].uidMappings[].containerID", "mounts.uidMappings.containerID", nil},
	{"mounts[].uidMappings[].hostID", "mounts.uidMappings.hostID", nil},
	{"mounts[].uidMappings[].size", "mounts.uidMappings.size", nil},
	{"mounts[].gidMappings", "mounts.gidMappings", nil},
	{"mounts[].gidMappings[].containerID", "mounts.gidMappings.containerID", nil},
	{"mounts[].gidMappings[].hostID", "mounts.gidMappings.hostID", nil},
	{"mounts[].gidMappings[].size", "mounts.gidMappings.size", nil},
	{"hooks", "hooks", hooks},
	{"hooks.prestart", "(run by create)", nil},
	{"hooks.prestart[].path", "", nil},
	{"hooks.prestart[].args", "", nil},
	{"hooks.prestart[].env", "", nil},
	{"hooks.prestart[].timeout", "", nil},
	{"hooks.createRuntime", "hooks.createRuntime", nil},
	{"hooks.createRuntime[].path", "hooks.createRuntime.path", nil},
	{"hooks.createRuntime[].args", "hooks.createRuntime.args", nil},
	{"hooks.createRuntime[].env", "hooks.createRuntime.env", nil},
	{"hooks.createRuntime[].timeout", "hooks.createRuntime.timeout", nil},
	{"hooks.createContainer", "hooks.createContainer", nil},
	{"hooks.createContainer[].path", "hooks.createContainer.path", nil},
	{"hooks.createContainer[].args", "hooks.createContainer.args", nil},
	{"hooks.createContainer[].env", "hooks.createContainer.env", nil},
	{"hooks.createContainer[].timeout", "hooks.createContainer.timeout", nil},
	{"hooks.startContainer", "hooks.startContainer", nil},
	{"hooks.startContainer[].path", "hooks.startContainer.path", nil},
	{"hooks.startContainer[].args", "hooks.startContainer.args", nil},
	{"hooks.startContainer[].env", "hooks.startContainer.env", nil},
	{"hooks.startContainer[].timeout", "hooks.startContainer.timeout", nil},
	{"hooks.poststart", "hooks.poststart", nil},
	{"hooks.poststart[].path", "hooks.poststart.path", nil},
	{"hooks.poststart[].args", "hooks.poststart.args", nil},
	{"hooks.poststart[].env", "hooks.poststart.env", nil},
	{"hooks.poststart[].timeout", "hooks.poststart.timeout", nil},
	{"hooks.poststop", "hooks.poststop", nil},
	{"hooks.poststop[].path", "hooks.poststop.path", nil},
	{"hooks.poststop[].args", "hooks.poststop.args", nil},
	{"hooks.poststop[].env", "hooks.poststop.env", nil},
	{"hooks.poststop[].timeout", "hooks.poststop.timeout", nil},
	{"annotations", "metadata.annotations", func(t *translator) error { t.out.Annotations = maps.Clone(t.config.Annotations); return nil }},
}

// short checks a name against __NEW_UTS_LEN of linux/utsname.h.
func short(name string) error {
	if len(name) > 64 {
		return invalid("%q is longer than 64 bytes", name)
	}
	return nil
}

func mounts(t *translator) error {
	t.s.Mounts = make([]spec.Mount, 0, len(t.config.Mounts))
	for _, said := range t.config.Mounts {
		m := spec.Mount{Type: said.Type, Source: said.Source, Destination: said.Destination}
		if !path.IsAbs(m.Destination) {
			m.Destination = path.Join("/", m.Destination)
			t.warn("mount destination %q is not absolute: taken as %s", said.Destination, m.Destination)
		}
		isRemount := slices.Contains(said.Options, spec.RemountFlag)
		if said.Type == spec.MountBind || slices.Contains(said.Options, "bind") || slices.Contains(said.Options, "rbind") {
			if m.Type = spec.MountBind; m.Source == "" && !isRemount {
				return invalid("the bind mount at %s has no source", m.Destination)
			}
			m.Source = t.abs(m.Source)
		}
		if m.Type == "" && !isRemount {
			m.Type = "none"
		}
		m.Options = t.mountOptions(m, said.Options)
		m.UIDMappings, m.GIDMappings = idMappings(said.UIDMappings), idMappings(said.GIDMappings)
		if len(m.UIDMappings)+len(m.GIDMappings) > 0 && !slices.Contains(m.Options, "idmap") && !slices.Contains(m.Options, "ridmap") {
			m.Options = append(m.Options, "idmap") // mappings alone ask for it
		}
		t.s.Mounts = append(t.s.Mounts, m)
	}
	return nil
}

// mountOptions leaves out what a bind mount can do nothing with; others hand on to their file system what is no word of mount(8).
func (t *translator) mountOptions(m spec.Mount, said []string) (options []string) {
	for _, word := range said {
		if m.Type == spec.MountBind && !mount.TakenByBind(word) {
			t.warn("mount option %q of %s is left out: a bind mount has no such option", word, m.Destination)
			continue
		}
		options = append(options, word)
	}
	return options
}

func idMappings(said []specs.LinuxIDMapping) (list []spec.IDMapping) {
	for _, m := range said {
		list = append(list, spec.IDMapping{ContainerID: m.ContainerID, HostID: m.HostID, Size: m.Size})
	}
	return list
}
