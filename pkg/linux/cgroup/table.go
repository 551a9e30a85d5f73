package cgroup

import (
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// table is every limit there is: its key below resources, the controller that keeps it, its leaf in
// spec.Resources, and how each version of the hierarchy stores it. nil means that a version cannot. Rows are
// written in this order. To add a limit: a field in spec.Resources and a row here.
//
// v1 memory.low is the soft limit, the nearest thing: under pressure, groups above theirs are reclaimed first.
// v1 has nothing like memory.high.
var table = []row{
	limit("memory.max", "memory", func(r *spec.Resources) *spec.Limit { return &r.Memory.Max },
		bytes("memory.max", spec.MaxLimit()).after(reclaim), v1Bytes("memory.limit_in_bytes")),
	limit("memory.high", "memory", func(r *spec.Resources) *spec.Limit { return &r.Memory.High },
		bytes("memory.high", spec.MaxLimit()), nil),
	limit("memory.low", "memory", func(r *spec.Resources) *spec.Limit { return &r.Memory.Low },
		bytes("memory.low", spec.NewLimit(0)), v1Bytes("memory.soft_limit_in_bytes")),
	limit("memory.swap", "memory", func(r *spec.Resources) *spec.Limit { return &r.Memory.Swap },
		bytes("memory.swap.max", spec.MaxLimit()), v1Swap()),
	limit("cpu.max", "cpu", func(r *spec.Resources) *spec.Cores { return &r.CPU.Max },
		cpuMax(), v1CPUMax()),
	limit("cpu.weight", "cpu", func(r *spec.Resources) *uint64 { return &r.CPU.Weight },
		cpuWeight(), v1CPUShares()),
	limit("pids.max", "pids", func(r *spec.Resources) *spec.Limit { return &r.Pids.Max },
		count("pids.max"), count("pids.max")),
	limit("cpuset.cpus", "cpuset", func(r *spec.Resources) *string { return &r.Cpuset.Cpus },
		list("cpuset.cpus", ""), list("cpuset.cpus", inherit)),
	limit("cpuset.mems", "cpuset", func(r *spec.Resources) *string { return &r.Cpuset.Mems },
		list("cpuset.mems", ""), list("cpuset.mems", inherit)),
}

// row is one limit.
type row struct {
	key, controller string
	v2, v1          *store
	said            func(spec.Resources) bool
}

// store is how one version of a hierarchy keeps a limit. A text is what the kernel prints, so that what
// was written can be compared with what is read.
type store struct {
	// files are read, in this order, and the first of them written; encode gives a text for each.
	files   []string
	written int
	// unset are the texts of a limit that is not said: the kernel's default, or inherit.
	unset  []string
	encode func(spec.Resources) ([]string, error)
	decode func(texts []string, into *spec.Resources) error
	// prepare makes a lower limit safe to write.
	prepare func(dir root, text string) error
}

// inherit as a default means what the cgroup above has: v1 cpusets are made empty and must not stay so.
const inherit = "\x00"

// codec is a store for one type of leaf.
type codec[T comparable] struct {
	files   []string // written and read
	related []string // only read
	unset   []string
	encode  func(v T, all spec.Resources) ([]string, error)
	decode  func(texts []string) (T, error)
	prepare func(dir root, text string) error
}

func (c *codec[T]) after(prepare func(dir root, text string) error) *codec[T] {
	c.prepare = prepare
	return c
}

func limit[T comparable](key, controller string, leaf func(*spec.Resources) *T, v2, v1 *codec[T]) row {
	var zero T
	return row{
		key: key, controller: controller,
		v2: storeOf(v2, leaf), v1: storeOf(v1, leaf),
		said: func(r spec.Resources) bool { return *leaf(&r) != zero },
	}
}

func storeOf[T comparable](c *codec[T], leaf func(*spec.Resources) *T) *store {
	if c == nil {
		return nil
	}
	return &store{
		files: slices.Concat(c.files, c.related), written: len(c.files), unset: c.unset, prepare: c.prepare,
		encode: func(r spec.Resources) ([]string, error) { return c.encode(*leaf(&r), r) },
		decode: func(texts []string, into *spec.Resources) error {
			v, err := c.decode(texts)
			if err == nil {
				*leaf(into) = v
			}
			return err
		},
	}
}

// Row describes one limit for documentation and diagnosis.
type Row struct {
	Key        string // below resources in a manifest: memory.max
	Controller string
	V2         string // kernel file on cgroup v2, "" when v2 has none
	V1         string // kernel file on cgroup v1, "" when v1 has none
	Default    string // what v2 does when nothing is said, as its file prints it
}

// Rows describes every limit, in the order of the table.
func Rows() []Row {
	var rows []Row
	for _, r := range table {
		row := Row{Key: r.key, Controller: r.controller, V2: r.v2.files[0], Default: r.v2.unset[0]}
		if r.v1 != nil {
			row.V1 = r.v1.files[0]
		}
		rows = append(rows, row)
	}
	return rows
}
