package spec

import (
	"os"
	"slices"
	"strings"
	"testing"
)

const policyHead = "apiVersion: reconciler/v1alpha1\nkind: NodePolicy\nspec:\n  "

// policyCases has at least one row for each rule: what is said in the policy, what in a container's spec, and the problem; "" for none.
var policyCases = []struct{ rule, policy, manifest, problem string }{
	{"", `{}`, `{namespaces: {pid: Host}, network: {mode: Host}, hooks: {poststop: [{path: /x}]}}`, ""},
	{"rootfs.allowedPaths", `rootfs: {allowedPaths: [/srv]}`, `{}`, ""},
	{"rootfs.allowedPaths", `rootfs: {allowedPaths: [/srv/web]}`, `{}`, ""},
	{"rootfs.allowedPaths", `rootfs: {allowedPaths: [/]}`, `{}`, ""},
	{"rootfs.allowedPaths", `rootfs: {allowedPaths: [/sr, /srv/we]}`, `{}`, "5:24: spec.rootfs.path: /srv/web is not in /sr, /srv/we"},
	{"rootfs.allowedPaths", `rootfs: {allowedPaths: []}`, `{}`, "5:24: spec.rootfs.path: /srv/web is not allowed, nor is any other"},
	{"rootfs.direct", `rootfs: {direct: Deny}`, `{}`, ""},
	{"mounts.allowedSources", `mounts: {allowedSources: [/data]}`, `{mounts: [{type: tmpfs, destination: /tmp}, {type: bind, source: /data/a, destination: /a}]}`, ""},
	{"mounts.allowedSources", `mounts: {allowedSources: [/data]}`, `{mounts: [{type: bind, source: /database, destination: /a}]}`, "spec.mounts[0].source: /database is not in /data"},
	{"mounts.allowedSources", `mounts: {allowedSources: [/data]}`, `{mounts: [{type: overlay, destination: /a, options: ["lowerdir=/data/x:/etc"]}]}`, "spec.mounts[0].options[0]: /etc is not in /data"},
	{"logs.allowedDrivers", `logs: {allowedDrivers: [File]}`, `{logs: {driver: File}}`, ""},
	{"logs.allowedDrivers", `logs: {allowedDrivers: [File]}`, `{}`, ""},
	{"logs.allowedDrivers", `logs: {allowedDrivers: [File]}`, `{logs: {driver: Both}}`, "spec.logs.driver: Both is not allowed"},
	{"newPrivileges", `newPrivileges: Deny`, `{}`, ""},
	{"unmasked", `unmasked: Deny`, `{}`, ""},
	{"unconfinedAppArmor", `unconfinedAppArmor: Deny`, `{security: {apparmor: strict}}`, ""},
	{"resources.pids.max", `resources: {pids: {max: 100}}`, `{resources: {pids: {max: 100}}}`, ""},
	{"mounts.allowedTypes", `mounts: {allowedTypes: [bind, tmpfs]}`, `{mounts: [{type: tmpfs, destination: /d}]}`, ""},
	{"mounts.allowedTypes", `mounts: {allowedTypes: [bind, tmpfs]}`, `{mounts: [{type: debugfs, destination: /d}]}`, "spec.mounts[0].type: debugfs is not bind, tmpfs"},
	{"hostNamespaces", `hostNamespaces: Deny`, `{namespaces: {ipc: Private, pid: "container:db"}}`, ""},
	{"hostNamespaces", `hostNamespaces: Deny`, `{namespaces: {ipc: Host}}`, "spec.namespaces.ipc: is the node's"},
	{"hostNamespaces", `hostNamespaces: Deny`, `{namespaces: {pid: /proc/1/ns/pid}}`, "spec.namespaces.pid: may be the node's"},
	{"hostNamespaces", `hostNamespaces: Deny`, `{network: {mode: Host}}`, "spec.network.mode: is the node's"},
	{"hostNamespaces", `hostNamespaces: Deny`, `{network: {mode: Join, join: /run/netns/x}}`, "spec.network.join: may be the node's"},
	{"userNamespace", `userNamespace: Required`, `{namespaces: {user: {mode: Auto}}}`, ""},
	{"userNamespace", `userNamespace: Required`, `{}`, "5:7: spec.namespaces.user.mode: has the node's users"},
	{"userNamespace", `userNamespace: Required`, `{namespaces: {user: {mode: Join, join: /proc/1/ns/user}}}`, "spec.namespaces.user.join: may be the node's"},
	{"capabilities.allowed", `capabilities: {allowed: [NET_ADMIN]}`, `{security: {capabilities: {add: [NET_ADMIN, CHOWN], drop: [ALL]}}}`, ""},
	{"capabilities.allowed", `capabilities: {allowed: [ALL]}`, `{security: {capabilities: {add: [SYS_ADMIN]}}}`, ""},
	{"capabilities.allowed", `capabilities: {allowed: []}`, `{security: {capabilities: {add: [CHOWN, SYS_ADMIN]}}}`, "spec.security.capabilities.add[1]: SYS_ADMIN is not allowed"},
	{"capabilities.allowed", `capabilities: {allowed: []}`, `{security: {capabilities: {bounding: [ALL]}}}`, "spec.security.capabilities.bounding[0]: ALL is not allowed"},
	{"devices.allowed", `devices: {allowed: [/dev/kvm]}`, `{devices: [{path: /dev/kvm}]}`, ""},
	{"devices.allowed", `devices: {allowed: [/dev/kvm]}`, `{devices: [{path: /dev/kvm, source: /dev/sda}]}`, "spec.devices[0].source: /dev/sda is not /dev/kvm"},
	{"devices.allowed", `devices: {allowed: [/dev/kvm]}`, `{devices: [{path: /dev/kvm, type: b, major: 8, minor: 0}]}`, "spec.devices[0].type: a device by its number may be any"},
	{"devices.allowed", `devices: {allowed: []}`, `{deviceRules: [{allow: false}, {allow: true}]}`, "spec.deviceRules[1].allow: allows devices by their numbers"},
	{"sysctls.allowed", `sysctls: {allowed: [net.ipv4.*, net.core.somaxconn]}`, `{sysctls: {net.ipv4.ip_forward: "1", net.core.somaxconn: "5"}}`, ""},
	{"sysctls.allowed", `sysctls: {allowed: [net.ipv4.*]}`, `{sysctls: {net.ipv4x: "1"}}`, `spec.sysctls["net.ipv4x"]: is not allowed`},
	{"seccomp.allowed", `seccomp: {allowed: [Default]}`, `{}`, ""},
	{"seccomp.allowed", `seccomp: {allowed: [Default]}`, `{security: {seccomp: Unconfined}}`, "spec.security.seccomp: Unconfined is not allowed"},
	{"newPrivileges", `newPrivileges: Deny`, `{security: {allowNewPrivileges: true}}`, "spec.security.allowNewPrivileges: is not allowed"},
	{"unmasked", `unmasked: Deny`, `{security: {maskedPaths: []}}`, "spec.security.maskedPaths: lacks /proc/acpi of the default list"},
	{"unmasked", `unmasked: Deny`, `{base: None}`, "spec.base: hides nothing of the kernel"},
	{"unconfinedAppArmor", `unconfinedAppArmor: Deny`, `{security: {apparmor: unconfined}}`, "spec.security.apparmor: is not allowed"},
	{"hooks", `hooks: Deny`, `{hooks: {startContainer: [{path: /x}]}}`, ""},
	{"hooks", `hooks: Deny`, `{hooks: {poststop: [{path: /x}]}}`, "spec.hooks.poststop: runs on the node"},
	{"resources.memory.max", `resources: {memory: {max: 1Gi}}`, `{resources: {memory: {max: 1Gi}}}`, ""},
	{"resources.memory.max", `resources: {memory: {max: 1Gi}}`, `{}`, "spec.resources.memory.max: must be said, at most 1Gi"},
	{"resources.memory.max", `resources: {memory: {max: 1Gi}}`, `{resources: {memory: {max: max}}}`, "spec.resources.memory.max: max is more than 1Gi"},
	{"resources.memory.max", `resources: {memory: {max: 1Gi}}`, `{resources: {memory: {max: 1Gi}, unified: {memory.limit_in_bytes: "-1"}}}`, `spec.resources.unified["memory.limit_in_bytes"]: may lift the limit`},
	{"resources.memory.max", `resources: {memory: {max: max}}`, `{}`, "spec.resources.memory.max: must be said"},
	{"resources.pids.max", `resources: {pids: {max: 100}}`, `{resources: {pids: {max: 101}}}`, "spec.resources.pids.max: 101 is more than 100"},
	{"rootfs.direct", `rootfs: {direct: Deny}`, `{rootfs: {path: /srv/web, writable: {medium: Direct}}}`, "spec.rootfs.writable.medium: writes to the node's directory"},
}

func TestPolicy(t *testing.T) {
	tested := map[string]int{}
	for _, c := range policyCases {
		t.Run(c.policy+" "+c.manifest, func(t *testing.T) {
			tested[c.rule]++
			head := policyHead
			if c.policy == "{}" {
				head = strings.TrimSuffix(head, "\n  ")
				c.policy = " {}"
			}
			p, problems := DecodePolicy("policy.yaml", []byte(head+c.policy+"\n"))
			if problems != nil {
				t.Fatal(problems)
			}
			said := strings.TrimPrefix(c.manifest, "{")
			if !strings.HasPrefix(said, "rootfs") {
				said = "rootfs: {path: /srv/web}, " + said
			}
			text := "apiVersion: reconciler/v1alpha1\nkind: Container\nmetadata:\n  name: web\nspec: { " + said
			text = strings.TrimSuffix(text, "}") + ", command: [x]}\n"
			text = strings.Replace(text, ", , ", ", ", 1)
			documents, problems := p.Decode("m.yaml", []byte(text))
			if plain, _ := Decode("m.yaml", []byte(text)); p.Allows(plain[0].Container) != (c.problem == "") {
				t.Errorf("%s\nit is not so that it is allowed when there is no problem", text)
			}
			switch {
			case c.problem == "" && (problems != nil || len(documents) != 1):
				t.Errorf("%s\n%v", text, problems)
			case c.problem == "":
			case len(problems) != 1 || documents != nil:
				t.Fatalf("%s\n%v", text, problems)
			case !strings.Contains(problems[0].Error(), c.problem) || problems[0].Name != "web" || problems[0].Reason != ReasonPolicyDenied ||
				problems[0].Hint != "rule spec."+c.rule+" of the node's policy policy.yaml" || problems[0].Line != 5:
				t.Errorf("%s\ngot  %+v\nwant %s", text, problems[0], c.problem)
			}
		})
	}
	for _, rule := range policyRules {
		if tested[rule.name] < 2 {
			t.Errorf("rule %s has %d cases: one that it lets pass and one that it refuses at least", rule.name, tested[rule.name])
		}
	}
}

// Each field of a policy has a rule, and a form that its texts are checked for.
func TestPolicyRulesComplete(t *testing.T) {
	for _, f := range trees()[KindPolicy].find("spec").all() {
		path := strings.TrimPrefix(f.Path, "spec.")
		if f.kind != kindObject && !slices.ContainsFunc(policyRules, func(r policyRule) bool { return r.name == path }) {
			t.Errorf("%s has no rule", f.Path)
		}
		if _, ok := formats()[f.format]; f.kind == kindText && f.Values == nil && !ok {
			t.Errorf("%s has the format %q", f.Path, f.format)
		}
	}
	for _, rule := range policyRules {
		if trees()[KindPolicy].at("spec."+rule.name) == nil {
			t.Errorf("rule %s is of no field", rule.name)
		}
	}
}

// In a group, a problem is at the place where the group says it, and all its containers are refused.
func TestPolicyOfGroup(t *testing.T) {
	p, problems := DecodePolicy("p", []byte(policyHead+"{hostNamespaces: Deny, newPrivileges: Deny}\n"))
	if problems != nil {
		t.Fatal(problems)
	}
	const group = `apiVersion: reconciler/v1alpha1
kind: Group
metadata: {name: app}
spec:
  network: {mode: Private}
  containers:
    web:
      rootfs: {path: /srv}
      command: [x]
      security: {allowNewPrivileges: true}
    db: {rootfs: {path: /srv}, command: [x]}
`
	documents, problems := p.Decode("m", []byte(group))
	if len(documents) != 0 || len(problems) != 1 || problems[0].Name != "app-web" ||
		!strings.HasPrefix(problems[0].Error(), "m:10:38: spec.containers.web.security.allowNewPrivileges: is not allowed") {
		t.Errorf("%d documents, %v", len(documents), problems)
	}
	documents, problems = p.Decode("m", []byte(strings.Replace(group, "Private", "Host", 1)))
	if len(documents) != 0 || len(problems) != 3 || !strings.HasPrefix(problems[0].Error(), "m:5:19: spec.network.mode: is the node's") {
		t.Errorf("%d documents, %v", len(documents), problems)
	}
}

func TestPolicyStrict(t *testing.T) {
	for text, want := range map[string]string{
		policyHead + "{hostNamespace: Deny}":                             "f:4:4: spec.hostNamespace: unknown field\nhint: did you mean hostNamespaces?",
		policyHead + "{hooks: No}":                                       "f:4:11: spec.hooks: ",
		policyHead + "{rootfs: {allowedPaths: [srv]}}":                   "f:4:28: spec.rootfs.allowedPaths[0]: ",
		policyHead + "{resources: {memory: {max: 1XB}}}":                 "f:4:30: spec.resources.memory.max: ",
		policyHead + "{hooks: Deny}\n---\n" + policyHead + "{}":          "f:1:1: 2 documents, want one policy",
		strings.Replace(policyHead, "NodePolicy", "Container", 1) + "{}": "f:2:7: kind: unknown kind",
		"spec: {}": "f:1:1: apiVersion: is missing",
		"":         "f:1:1: 0 documents, want one policy",
		"[":        "f:1:1: not YAML",
		"x: &a {}": "unknown field",
	} {
		if _, problems := DecodePolicy("f", []byte(text)); len(problems) == 0 || !strings.Contains(problems.Error(), want) {
			t.Errorf("%q:\n%v\nwant %s", text, problems, want)
		}
	}
}

// The page names every rule and no other.
func TestPolicyPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `") {
			rows++
		}
	}
	if rows != len(policyRules) {
		t.Errorf("docs/policy.md has %d rows for %d rules", rows, len(policyRules))
	}
	for _, rule := range policyRules {
		if !strings.Contains(string(page), "\n| `"+rule.name+"` |") {
			t.Errorf("docs/policy.md has no row for %s", rule.name)
		}
	}
}
