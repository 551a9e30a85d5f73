package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed31d4122e/reconciler/pkg/spec"
)

// admitConfigs decides anew which configs are in force, and gives the containers that use what changed. The caller holds intake.
func (a *Agent) admitConfigs() (users []string) {
	a.mu.Lock()
	before := a.configs
	a.mu.Unlock()
	after := AdmitConfigs(a.sources, before)
	for _, s := range a.sources {
		a.tellProblems("configs of "+s.Source, reasonRejected, after.Problems[s.Source])
	}
	changed := changedConfigs(before.ByName, after.ByName)
	for _, name := range changed {
		a.tellConfig(before.ByName[name], after.ByName[name])
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.configs = after
	return a.index.users.of(slices.AppendSeq(changed, maps.Keys(after.Broken))...)
}

// tellConfig tells that a config is another, and which of its keys are.
func (a *Agent) tellConfig(before, after *ConfigInForce) {
	switch {
	case before == nil:
		a.tell(Event{Reason: "ConfigAdded", Message: fmt.Sprintf("config %s in %s:%d", after.Name, after.Origin.Path, after.Origin.Line)})
	case after == nil:
		a.tell(Event{Reason: "ConfigRemoved", Message: fmt.Sprintf("config %s in %s:%d", before.Name, before.Origin.Path, before.Origin.Line)})
	default:
		a.tell(Event{Reason: "ConfigChanged", Message: fmt.Sprintf("%s in %s:%d", configCause(after.Name, before.Contents.Hashes(), after.Contents.Hashes()), after.Origin.Path, after.Origin.Line)})
	}
}

// configCause says that a config changed and where, as far as hashes tell: config web-conf changed: files.app.conf, env.LOG.
func configCause(name string, before, after map[string]string) string {
	keys := spec.ChangedKeys(before, after)
	cause := fmt.Sprintf("config %s changed", name)
	switch more := len(keys) - namedChanges; {
	case len(before) == 0 || len(keys) == 0:
		return cause
	case more > 0:
		return fmt.Sprintf("%s: %s and %d more", cause, strings.Join(keys[:namedChanges], ", "), more)
	}
	return cause + ": " + strings.Join(keys, ", ")
}

// configsOf are the configs in force that the manifest of a name uses, and what is wrong with those that are not. The caller holds mu.
func (a *Agent) configsOf(n *entry, desired *Desired) (list map[string]KnownConfig) {
	var uses []spec.ConfigUse
	if desired != nil {
		uses = wantedOf(desired, n.record).Spec.Configs
	}
	a.fileConfigs(n, uses)
	for _, use := range uses {
		if list == nil {
			list = map[string]KnownConfig{}
		}
		known := KnownConfig{Problem: a.configs.Broken[use.Name]}
		if c := a.configs.ByName[use.Name]; c != nil {
			known = KnownConfig{Contents: &c.Contents, uses: c.uses}
		}
		list[use.Name] = known
	}
	return list
}

// signal sends a signal and notes then what the process has seen by it: a death in between sends it twice, and never loses it.
func (a *Agent) signal(ctx context.Context, action Action) error {
	if err := a.Node.Kill(ctx, action.Name, action.Instance, action.Signal); err != nil {
		return err
	}
	return a.Node.Configure(ctx, action.Name, action.Instance, action.Configs)
}
