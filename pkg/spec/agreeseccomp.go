package spec

import (
	"fmt"

	yamltree "go.yaml.in/yaml/v3"
)

// agreeSeccomp checks that a profile is said once, where it is wanted, and that its words fit each other.
func (c *checker) agreeSeccomp(spec *yamltree.Node) {
	const path = "spec.security.seccomp"
	mode, profile, file := at(spec, "security", "seccomp"), at(spec, "security", "seccompProfile"), at(spec, "security", "seccompProfileFile")
	wanted := mode != nil && mode.Value == string(SeccompByProfile)
	switch {
	case wanted && profile == nil && file == nil:
		c.add(mode, path, fault{"no profile is said", "say seccompProfile, or seccompProfileFile with the path of one"})
	case profile != nil && file != nil:
		c.add(file, path+"ProfileFile", fault{"seccompProfile and seccompProfileFile exclude each other", "remove one"})
	case !wanted && profile != nil:
		c.add(profile, path+"Profile", fault{"is of no use without seccomp: Profile", "add seccomp: Profile"})
	case !wanted && file != nil:
		c.add(file, path+"ProfileFile", fault{"is of no use without seccomp: Profile", "add seccomp: Profile"})
	}
	if profile != nil && profile.Kind == yamltree.MappingNode {
		c.agreeProfile(path+"Profile", profile)
	}
}

// agreeProfile checks what the words of a profile say together.
func (c *checker) agreeProfile(path string, profile *yamltree.Node) {
	action := at(profile, "defaultAction")
	if action == nil {
		c.add(profile, joinField(path, "defaultAction"), fault{"is missing", "write " + string(SeccompErrno) + " to deny what no rule allows"})
	} else if action.Value == string(SeccompNotify) {
		c.add(action, joinField(path, "defaultAction"), fault{"the program could not even start: every call would wait for the listener", "name the calls in syscalls"})
	}
	c.agreeErrno(joinField(path, "defaultErrnoRet"), at(profile, "defaultErrnoRet"), scalar(profile, "defaultAction"))
	notified := c.agreeSeccompRules(joinField(path, "syscalls"), at(profile, "syscalls"))
	socket, metadata := at(profile, "listenerPath"), at(profile, "listenerMetadata")
	if notified != nil && socket == nil {
		c.add(notified, joinField(path, "listenerPath"), fault{"is missing", string(SeccompNotify) + " needs somebody to ask: say the socket"})
	}
	if metadata != nil && socket == nil {
		c.add(metadata, joinField(path, "listenerMetadata"), fault{"there is no listener", "say listenerPath, or remove it"})
	}
}

// NeverNotified is the call that no listener can be asked about: a start needs it to say that there is one.
const NeverNotified = "write"

// agreeSeccompRules checks the rules and finds the first action that notifies.
func (c *checker) agreeSeccompRules(path string, rules *yamltree.Node) (notified *yamltree.Node) {
	for i, rule := range itemsOf(rules) {
		action := scalar(rule, "action")
		c.agreeErrno(fmt.Sprintf("%s[%d].errnoRet", path, i), at(rule, "errnoRet"), action)
		if action == string(SeccompNotify) && notified == nil {
			notified = at(rule, "action")
		}
		for k, name := range itemsOf(at(rule, "names")) {
			if action == string(SeccompNotify) && name.Value == NeverNotified && at(rule, "args") == nil {
				c.add(name, fmt.Sprintf("%s[%d].names[%d]", path, i, k), fault{"the start would wait for ever: it writes before anybody listens", "leave " + NeverNotified + " out"})
			}
		}
	}
	return notified
}

// agreeErrno refuses a number beside an action that has none.
func (c *checker) agreeErrno(path string, n *yamltree.Node, action string) {
	if n != nil && action != "" && action != string(SeccompErrno) && action != string(SeccompTrace) {
		c.add(n, path, fault{quoteBare(action) + " has no error to return", "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take it"})
	}
}

// agreeSeccompFile checks what only files have.
func (c *checker) agreeSeccompFile(root *yamltree.Node) {
	if list := at(root, "archMap"); list != nil && len(list.Content) > 0 && len(itemsOf(at(root, "architectures"))) > 0 {
		c.add(list, "archMap", fault{"architectures and archMap exclude each other", "remove one"})
	}
	for i, rule := range itemsOf(at(root, "syscalls")) {
		path, name, names := fmt.Sprintf("syscalls[%d]", i), at(rule, "name"), at(rule, "names")
		switch {
		case rule.Kind != yamltree.MappingNode:
		case name != nil && names != nil:
			c.add(name, path+".name", fault{"name and names exclude each other", "remove one"})
		case name == nil && len(itemsOf(names)) == 0:
			c.add(rule, path+".names", fault{message: "is missing"})
		}
	}
}

// itemsOf are the items of a list, none of what is not there.
func itemsOf(n *yamltree.Node) []*yamltree.Node {
	if n == nil || n.Kind != yamltree.SequenceNode {
		return nil
	}
	return n.Content
}
