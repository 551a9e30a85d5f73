package spec

// KindConfig is the kind of files and environment for containers.
const KindConfig = "Config"

// Config is one manifest document: files and variables that containers use by its name. Containers and configs do not share their names: each may have one.
type Config struct {
	// APIVersion is the version of the manifest's words: reconciler/v1alpha1.
	APIVersion string `json:"apiVersion" format:"apiVersion"`
	// Kind is the kind of object: Config.
	Kind string `json:"kind" format:"kind"`
	// Metadata names the config, as containers name it in spec.configs.
	Metadata Metadata `json:"metadata"`
	// Spec is what the config holds, 1 MiB in all.
	Spec ConfigSpec `json:"spec"`
}

// ConfigSpec is what a config holds. A change reaches every container that uses it, as that says in onChange.
type ConfigSpec struct {
	// Sensitive keeps the values out of logs, plans, differences, statuses, answers of the API, events and all files but those of the run directory, which is in memory and the superuser's.
	Sensitive bool `json:"sensitive,omitzero" class:"live"`
	// Env are variables, for containers that ask for them with env: true.
	Env map[string]string `json:"env,omitzero" class:"live" keys:"envName" format:"argument"`
	// Files are files by name, for containers that say a path for them. A name has no slash and does not begin with two dots.
	Files map[string]ConfigFile `json:"files,omitzero" class:"live" keys:"fileName"`
}

// ConfigFile is what one file of a config holds. One of its keys is said.
type ConfigFile struct {
	// Text is the content as it is.
	Text string `json:"text,omitzero" class:"live" format:"fileText"`
	// Base64 is the content in base64 (RFC 4648, section 4), for what is no text. Line breaks are left out.
	Base64 string `json:"base64,omitzero" class:"live" format:"base64"`
	// FromFile is a file beside the manifest that has the content: a path below the manifest's directory, which symbolic links may not lead out of. Whose it may be and who may write to it is as with manifests; its change is a change of the config.
	FromFile string `json:"fromFile,omitzero" class:"live" format:"besidePath"`
}

// ConfigUse is a config that a container uses: its files at a path, its variables, or both.
type ConfigUse struct {
	// Name is the config's name. It need not be there yet: until it is, the container is not started.
	Name string `json:"name" class:"replace" format:"name"`
	// Path is an absolute path in the container where all files of the config are seen, in a read-only directory that has nothing else. An update replaces all files at one moment.
	Path string `json:"path,omitzero" class:"replace" format:"inside"`
	// Env gives the config's variables to the process. What spec.env says goes first, then the later of two configs. Default false.
	Env bool `json:"env,omitzero" class:"replace"`
	// Prefix is put before the names of the variables. Default: none.
	Prefix string `json:"prefix,omitzero" class:"replace" format:"envPrefix"`
	// Mode is the mode of the files as an octal string; they belong to the container's superuser. Default "0444".
	Mode string `json:"mode,omitzero" class:"replace" format:"fileMode"`
	// OnChange says what happens to a process when the config is another than it has seen: Restart (default: it is stopped as spec.stop says and started again), Signal (it gets a signal, and reads its files again by itself) or Ignore (nothing: its files change, its environment does not).
	OnChange OnChange `json:"onChange,omitzero" class:"live"`
	// Signal is what is sent with onChange Signal. Default SIGHUP.
	Signal string `json:"signal,omitzero" class:"live" format:"signal"`
}

// OnChange is what happens to a process when a config is another than it has seen.
type OnChange string

// What can happen on a change.
const (
	OnChangeRestart OnChange = "Restart"
	OnChangeSignal  OnChange = "Signal"
	OnChangeIgnore  OnChange = "Ignore"
)

// The defaults of a ConfigUse.
const (
	DefaultConfigMode   = "0444"
	DefaultConfigSignal = "SIGHUP"
)

// Defaulted is u with its defaults in place of what it does not say.
func (u ConfigUse) Defaulted() ConfigUse {
	orElse(&u.OnChange, OnChangeRestart)
	orElse(&u.Signal, DefaultConfigSignal)
	orElse(&u.Mode, DefaultConfigMode)
	return u
}
