package spec

import (
	"cmp"
	"strings"

	yamltree "go.yaml.in/yaml/v3"
)

// foreignKeys are keys of other programs' manifests, and what they are here: of any object, or of one whose own key stands in front.
var foreignKeys = map[string]string{
	"image":                  "a container's files come from spec.rootfs.path, a directory on the node",
	"args":                   "arguments follow the program in spec.command",
	"entrypoint":             "the program and its arguments are spec.command",
	"cmd":                    "the program and its arguments are spec.command",
	"environment":            "the environment is spec.env, a map of texts",
	"cwd":                    "the directory to start in is spec.workingDir",
	"workdir":                "the directory to start in is spec.workingDir",
	"working_dir":            "the directory to start in is spec.workingDir",
	"volumes":                "file systems are listed in spec.mounts",
	"volumeMounts":           "file systems are listed in spec.mounts",
	"limits":                 "limits stand in spec.resources itself: memory, cpu, pids, cpuset",
	"requests":               "protected memory is spec.resources.memory.low, a share of processors spec.resources.cpu.weight",
	"hostNetwork":            "it is spec.network.mode: Host",
	"hostPID":                "it is spec.namespaces.pid: Host",
	"hostIPC":                "it is spec.namespaces.ipc: Host",
	"restartPolicy":          "it is spec.restart.policy",
	"runAsUser":              "it is spec.user",
	"privileged":             "say what is needed in spec.security.capabilities",
	"readOnlyRootFilesystem": "it is spec.rootfs.readOnly",
	"gracePeriod":            "it is spec.stop.timeout",
	"stopSignal":             "it is spec.stop.signal",
	"ulimits":                "they are spec.rlimits",
	"livenessProbe":          "it is spec.probes.liveness",
	"readinessProbe":         "it is spec.probes.readiness",
	"startupProbe":           "it is spec.probes.startup",
	"healthcheck":            "it is spec.probes.liveness, and spec.probes.readiness",
	"httpGet":                "it is http, with port, path, scheme, host and headers",
	"tcpSocket":              "it is tcp, with a port",
	"periodSeconds":          "it is period, such as 10s",
	"timeoutSeconds":         "it is timeout, such as 1s",
	"initialDelaySeconds":    "it is initialDelay, such as 5s",
	"containers":             "several containers stand below spec.containers of a document of kind Group",
	"shareProcessNamespace":  sharedPID,
	"namespace":              "a node has no namespaces: names are unique on the node",
	"securityContext":        "what it says is spec.user, spec.security, spec.rootfs.readOnly and spec.sysctls: see docs/moving/static-pods.md",

	"mounts.readOnly":     "it is options: [ro]",
	"mounts.read_only":    "it is options: [ro]",
	"mounts.hostPath":     "it is source, with type: bind",
	"mounts.mountPath":    "it is destination",
	"mounts.target":       "it is destination",
	"mounts.name":         "a mount has no name: say its type, source and destination",
	"ports.hostPort":      "it is host",
	"ports.published":     "it is host",
	"ports.containerPort": "it is container",
	"ports.target":        "it is container",
	"ports.hostIP":        "it is address",
	"ports.host_ip":       "it is address",
	"template.spec":       "the keys of a container's spec stand in spec.template itself",
	"template.metadata":   "the name and the labels of a job's container are the job's: metadata",
}

// foreignKinds are kinds of Kubernetes, and what they are here.
var foreignKinds = map[string]string{
	"Pod":         "it is kind: " + KindContainer + ", or " + KindGroup + " for several containers: see docs/moving/static-pods.md",
	"Deployment":  "it is kind: " + KindContainer + ", one manifest for each: see docs/moving/static-pods.md",
	"StatefulSet": "it is kind: " + KindContainer + ", one manifest for each: see docs/moving/static-pods.md",
	"DaemonSet":   "it is kind: " + KindContainer + ", on each node: see docs/moving/static-pods.md",
	"CronJob":     "it is kind: " + KindJob + ", with spec.schedule.cron",
	"ConfigMap":   "it is kind: " + KindConfig,
	"Secret":      "it is kind: " + KindConfig + ", with spec.sensitive: true",
}

// foreignForms are what other programs write where an object or a map stands here, by the key: each gives what to write, "" for what it does not know.
var foreignForms = map[string]func(n *yamltree.Node) string{
	"containers": func(n *yamltree.Node) string {
		if n.Kind != yamltree.SequenceNode {
			return ""
		}
		return "a container's name is its key: containers: {NAME: {rootfs: ..., command: ...}}"
	},
	"env": foreignEnv,
	"dependsOn": func(n *yamltree.Node) string {
		if ValidName(n.Value) != nil {
			return ""
		}
		return "write {name: " + n.Value + "}"
	},
	"mounts":  foreignMount,
	"ports":   foreignPort,
	"restart": foreignRestart,
}

// foreignForm is a hint at what to write in place of another program's form of a field, else what to say of any value of the wrong form.
func foreignForm(f *Field, n *yamltree.Node, otherwise string) string {
	form := foreignForms[f.name]
	if form == nil || f.apart {
		return otherwise
	}
	return cmp.Or(form(n), otherwise)
}

// foreignEnv shows the first variable of a list as a map has it: {name: A, value: b} of a pod, or A=b of compose.
func foreignEnv(n *yamltree.Node) string {
	if n.Kind != yamltree.SequenceNode || len(n.Content) == 0 {
		return ""
	}
	first := n.Content[0]
	name, value, _ := strings.Cut(first.Value, "=")
	if first.Kind == yamltree.MappingNode {
		name, value = scalar(first, "name"), scalar(first, "value")
	}
	if !isWord(name) {
		return ""
	}
	more := ""
	if len(n.Content) > 1 {
		more = ", ..."
	}
	return "write {" + name + ": " + quote(value) + more + "}"
}

// foreignPort shows [ADDRESS:]HOST:CONTAINER[/PROTOCOL] of compose as an object.
func foreignPort(n *yamltree.Node) string {
	ports, protocol, _ := strings.Cut(n.Value, "/")
	parts := strings.Split(ports, ":")
	first := len(parts) - 2
	if first < 0 || first > 1 || strings.Trim(n.Value, "0123456789.:/tcpud") != "" || len(n.Value) > quotedLength {
		return ""
	}
	text := "write {host: " + parts[first] + ", container: " + parts[first+1]
	if protocol != "" {
		text += ", protocol: " + protocol
	}
	if first == 1 {
		text += ", address: " + parts[0]
	}
	return text + "}"
}

// foreignMount shows SOURCE:DESTINATION[:OPTIONS] of compose as an object.
func foreignMount(n *yamltree.Node) string {
	parts := strings.Split(n.Value, ":")
	if len(parts) < 2 || len(parts) > 3 || !strings.HasPrefix(parts[0], "/") || !strings.HasPrefix(parts[1], "/") {
		return ""
	}
	text := "write {type: bind, source: " + quoteBare(parts[0]) + ", destination: " + quoteBare(parts[1])
	if len(parts) == 3 {
		text += ", options: [" + quoteBare(parts[2]) + "]"
	}
	return text + "}"
}

// foreignRestart shows a policy of compose, Quadlet or a pod as an object.
func foreignRestart(n *yamltree.Node) string {
	policies := map[string]RestartPolicy{
		"always": RestartAlways, "unless-stopped": RestartAlways, "on-failure": RestartOnFailure, "onfailure": RestartOnFailure, "no": RestartNever, "never": RestartNever, "false": RestartNever,
	}
	word, times, _ := strings.Cut(strings.ToLower(n.Value), ":") // on-failure:3
	switch policy := policies[word]; {
	case policy == "":
		return ""
	case times == "":
		return "write {policy: " + string(policy) + "}"
	default:
		return "write {policy: " + string(policy) + ", maxRestarts: " + quoteBare(times) + "}"
	}
}
