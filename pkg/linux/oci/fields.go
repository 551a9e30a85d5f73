package oci

import (
	"slices"
)

// Field is one row of the translation: a property of the runtime specification, and what becomes of it.
type Field struct {
	// Field is its path: linux.devices[].path.
	Field string
	// Word is what it is in a manifest, below spec; or in round brackets, what happens to it.
	Word string

	apply func(*translator) error // nil: the row above it, of which this is a part, does it
}

// Fields are all properties that count, in the order in which they are translated. A property that is not here is among Ignored or Refused.
var Fields = slices.Concat(processFields, rootFields, linuxFields, resourceFields, seccompFields)

// Ignored are properties that change nothing, with the reason; everything below them is ignored as well.
var Ignored = map[string]string{
	"ociVersion":                          "checked, when the configuration is read",
	"process.commandLine":                 "only on Windows",
	"process.user.username":               "only on Windows",
	"solaris":                             "another platform",
	"windows":                             "another platform",
	"zos":                                 "another platform",
	"freebsd":                             "another platform",
	"linux.resources.memory.kernel":       "the kernel has it no longer",
	"linux.resources.memory.kernelTCP":    "the kernel has it no longer",
	"linux.resources.memory.useHierarchy": "always so",
	"linux.resources.memory.checkBeforeUpdate":          "always so: a limit below what is in use is reclaimed first, and else refused",
	"linux.resources.blockIO.leafWeight":                "the kernel has it no longer",
	"linux.resources.blockIO.weightDevice[].leafWeight": "the kernel has it no longer",
}

// Refused are properties that nothing here can do, with the reason. Saying one is errors.ErrUnsupported.
var Refused = map[string]string{
	"vm":               "containers share the node's kernel",
	"linux.intelRdt":   "the node's resource control is not handed out",
	"linux.netDevices": "network devices are moved by the engine",
}
