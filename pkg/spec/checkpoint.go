package spec

import (
	"cmp"
	"time"
)

// Checkpoint says when images of the container's processes, memory and files are written and kept, and when a start begins from one
// instead of from the command.
type Checkpoint struct {
	// Every is how often an image of the running container is written. Default: never by itself.
	Every Duration `json:"every,omitzero" class:"live" min:"1s"`
	// Retain is how many images are kept; older ones go. The last good one, one in use and one that is kept by hand always stay. Default 3.
	Retain int `json:"retain,omitzero" class:"live" min:"1" max:"1000"`
	// MaxAge is how old an image may become. Default: any age.
	MaxAge Duration `json:"maxAge,omitzero" class:"live" min:"1s"`
	// MaxBytes is how much disk the images of the container may take together. Default: no bound.
	MaxBytes Bytes `json:"maxBytes,omitzero" class:"live" min:"64Ki"`
	// MaxPause is how long an image may stop the container: one that takes longer is given up and the container runs on. Default 5s.
	MaxPause Duration `json:"maxPause,omitzero" class:"live" min:"10ms" max:"10m"`
	// PreCopy is how many times memory is copied beforehand while the container runs, so that only what changed since is copied while it is stopped. It needs a kernel that tracks dirty pages, and is left out elsewhere. Default 0.
	PreCopy int `json:"preCopy,omitzero" class:"live" min:"0" max:"16"`
	// OnShutdown writes an image when the node shuts down, instead of stopping the container.
	OnShutdown bool `json:"onShutdown,omitzero" class:"live"`
	// RestoreOnStart is from which image a new instance starts, after a reboot say: Never (default) or Latest, the newest good one.
	RestoreOnStart RestoreOnStart `json:"restoreOnStart,omitzero" class:"live"`
	// OnCrash is what a restart after an exit that nobody asked for begins from: Restart (the command; default) or Restore (the newest good image).
	OnCrash OnCrash `json:"onCrash,omitzero" class:"live"`
	// From is an image that a first start begins from when there is no newer one of the container's own: NAME or NAME/ID of an image on this node, of any container with the same fields of class replace. Default: none.
	From string `json:"from,omitzero" class:"live" format:"imageRef"`
	// Lazy lets a restored container run before its memory is there: pages come when they are touched, the rest meanwhile.
	Lazy bool `json:"lazy,omitzero" class:"live"`
	// Compress is how images are packed once the container runs again: None (default) or Zstd.
	Compress Compression `json:"compress,omitzero" class:"live"`
	// TCP is what becomes of open connections: Established (they are kept; default) or Close (they are closed when the image is restored).
	TCP TCPMode `json:"tcp,omitzero" class:"live"`
}

// RestoreOnStart says from which image a new instance starts.
type RestoreOnStart string

// OnCrash says what a restart after a crash begins from.
type OnCrash string

// Compression is how images are packed.
type Compression string

// TCPMode is what becomes of open connections.
type TCPMode string

// The words of a Checkpoint.
const (
	RestoreNever  RestoreOnStart = "Never"
	RestoreLatest RestoreOnStart = "Latest"

	CrashRestart OnCrash = "Restart"
	CrashRestore OnCrash = "Restore"

	CompressNone Compression = "None"
	CompressZstd Compression = "Zstd"

	TCPEstablished TCPMode = "Established"
	TCPClose       TCPMode = "Close"
)

// The defaults of a Checkpoint.
const (
	DefaultRetain   = 3
	DefaultMaxPause = Duration(5 * time.Second)
)

// Kept is how many images are kept.
func (c Checkpoint) Kept() int { return cmp.Or(c.Retain, DefaultRetain) }

// Pause is how long an image may stop the container.
func (c Checkpoint) Pause() Duration { return cmp.Or(c.MaxPause, DefaultMaxPause) }

// Checkpoints tells whether a manifest asks for images at all.
func (s ContainerSpec) Checkpoints() bool {
	return s.Checkpoint != (Checkpoint{}) || s.State == StateCheckpointed
}

// Image is a checkpoint of one container as a node shows it.
type Image struct {
	// Container is the container it was taken of, ID the image's own, which later images of the container sort after.
	Container string `json:"container"`
	ID        string `json:"id"`
	// Set names the images that were taken together, of the containers of a group: equal for all of them; "" for one alone.
	Set string `json:"set,omitzero"`

	CreatedAt time.Time `json:"createdAt"`
	// Cause says why it was taken, for people.
	Cause string `json:"cause,omitzero"`
	// Instance and Starts are the run it is of, in a boot of a node.
	Instance uint64 `json:"instance"`
	Starts   int    `json:"starts"`
	// StartedAt is when that run began: numbers come again when a container is removed and made anew.
	StartedAt time.Time `json:"startedAt,omitzero"`
	Boot      string    `json:"boot,omitzero"`
	// Stopped tells that the run ended with the image.
	Stopped bool `json:"stopped,omitzero"`
	// Hash and Defaults are the identity of the container's spec, see Identity; Spec is that spec.
	Hash     string    `json:"hash"`
	Defaults int       `json:"defaults"`
	Spec     Container `json:"spec,omitzero"`
	// Configs are the hashes of what its process had seen, see SeenConfigs.
	Configs map[string]string `json:"configs,omitzero"`

	// Bytes is what it takes on disk, Memory the size of the container's memory in it.
	Bytes       Bytes       `json:"bytes"`
	Memory      Bytes       `json:"memory"`
	Compression Compression `json:"compression,omitzero"`
	// Frozen is how long the container was stopped for it, Took how long it took in all.
	Frozen Duration `json:"frozen,omitzero"`
	Took   Duration `json:"took,omitzero"`
	// Kept tells that it was put aside by hand, or imported: retention leaves it alone.
	Kept bool `json:"kept,omitzero"`
	// Kernel, Arch and CRIU are what it was taken with.
	Kernel string `json:"kernel,omitzero"`
	Arch   string `json:"arch,omitzero"`
	CRIU   string `json:"criu,omitzero"`

	// Problem says why it cannot be restored, "" if nothing is known that speaks against it.
	Problem string `json:"problem,omitzero"`
}

// Ref names the image on its node: NAME/ID.
func (i Image) Ref() string { return i.Container + "/" + i.ID }

// IsOf tells whether the image is of an instance's latest run.
func (i Image) IsOf(in Instance) bool {
	return i.Instance == in.ID && i.Starts == in.Starts && i.StartedAt.Equal(in.StartedAt)
}

// CheckpointOptions say how an image is taken, beside what the container's Checkpoint says.
type CheckpointOptions struct {
	// Stop ends the processes when, and only when, the image is complete: the exit has the reason Checkpointed.
	Stop bool `json:"stop,omitzero"`
	// Keep puts the image aside: retention leaves it alone.
	Keep bool `json:"keep,omitzero"`
	// Cause says why, for people.
	Cause string `json:"cause,omitzero"`
}
