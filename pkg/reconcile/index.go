package reconcile

import (
	"maps"
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// index says which names are filed under a key.
type index map[string]map[string]bool

// move files a name under some keys, in place of those before; "" is none.
func (x index) move(name string, before, now []string) {
	if slices.Equal(before, now) {
		return
	}
	for _, key := range before {
		if delete(x[key], name); len(x[key]) == 0 {
			delete(x, key)
		}
	}
	for _, key := range now {
		if key == "" {
			continue
		}
		if x[key] == nil {
			x[key] = map[string]bool{}
		}
		x[key][name] = true
	}
}

// of are the names that are filed under any of some keys, sorted.
func (x index) of(keys ...string) []string {
	all := map[string]bool{}
	for _, key := range keys {
		maps.Copy(all, x[key])
	}
	return slices.Sorted(maps.Keys(all))
}

// indices find the names to which it matters what becomes of another, or of a config, without a look at all there are. What was removed stays in them
// until nothing is left of it.
type indices struct {
	dependents index // by the containers and groups that they depend on
	members    index // by their group
	users      index // by the configs that the latest plan used
}

func newIndices() indices { return indices{index{}, index{}, index{}} }

// file files a name by its newest manifest. The caller holds mu, or nobody else knows the agent yet.
func (a *Agent) file(n *entry, c spec.Container) {
	var others []string
	for _, d := range c.Spec.DependsOn {
		others = append(others, d.Name)
	}
	a.refile(n, c.Spec.Group, others)
}

// unfile takes a name out of all indices. The caller holds mu.
func (a *Agent) unfile(n *entry) {
	a.refile(n, "", nil)
	a.fileConfigs(n, nil)
}

func (a *Agent) refile(n *entry, group string, others []string) {
	a.index.dependents.move(n.id, n.others, others)
	a.index.members.move(n.id, []string{n.group}, []string{group})
	n.group, n.others = group, others
}

// fileConfigs files a name by the configs that it uses. The caller holds mu.
func (a *Agent) fileConfigs(n *entry, uses []spec.ConfigUse) {
	var configs []string
	for _, use := range uses {
		configs = append(configs, use.Name)
	}
	a.index.users.move(n.id, n.configs, configs)
	n.configs = configs
}

// members are the containers of a group, sorted.
func (a *Agent) members(group string) (names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.membersOf(group)
}

// membersOf is members for who holds mu.
func (a *Agent) membersOf(group string) (names []string) {
	for _, id := range a.index.members.of(group) {
		if a.names[id].desired != nil {
			names = append(names, id)
		}
	}
	return names
}

// called are the names that a dependency stands for, also those that are removed. The caller holds mu.
func (a *Agent) called(name string) []string {
	if a.names[name] != nil {
		return []string{name}
	}
	return a.index.members.of(name)
}

// dependents are the names that depend on another or on its group, sorted. The caller holds mu.
func (a *Agent) dependents(n *entry) []string {
	return slices.DeleteFunc(a.index.dependents.of(n.id, n.group), func(id string) bool { return id == n.id })
}

// left are those to whom a name mattered by the manifest before, and does not by its new one: who depends on the group that it leaves, and what it
// depends on no more. Nobody else tells them that they need not wait for it. The caller holds mu.
func (a *Agent) left(n *entry, c spec.Container) (names []string) {
	if n.group != "" && n.group != c.Spec.Group {
		names = a.index.dependents.of(n.group)
	}
	for _, other := range n.others {
		if !slices.ContainsFunc(c.Spec.DependsOn, func(d spec.Dependency) bool { return d.Name == other }) {
			names = append(names, a.called(other)...)
		}
	}
	return names
}
