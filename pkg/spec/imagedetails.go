package spec

// ImageDetails is an image with what is in it, for those who look before they restore.
type ImageDetails struct {
	Image
	// Processes are those it holds, parents before their children.
	Processes []ImageProcess `json:"processes,omitzero"`
	// Mounts are those it names, in the order they were made.
	Mounts []ImageMount `json:"mounts,omitzero"`
	// Files are what it is made of on disk, by name.
	Files []ImageFile `json:"files,omitzero"`
}

// ImageProcess is a process in an image, as the container sees it.
type ImageProcess struct {
	Pid     int    `json:"pid"`
	Parent  int    `json:"parent,omitzero"`
	Comm    string `json:"comm,omitzero"`
	Threads int    `json:"threads,omitzero"`
	// State says how it is when it is not running: Stopped or Zombie.
	State string `json:"state,omitzero"`
	// Memory is the size of its own pages in the image.
	Memory Bytes `json:"memory,omitzero"`
}

// ImageMount is a mount that the processes of an image had.
type ImageMount struct {
	Destination string `json:"destination"`
	Type        string `json:"type,omitzero"`
	// FromManifest tells that a restore makes it as the manifest of that moment says; otherwise it is in the image.
	FromManifest bool `json:"fromManifest,omitzero"`
}

// ImageFile is a file of an image on disk, by its name below the image's directory.
type ImageFile struct {
	Name  string `json:"name"`
	Bytes Bytes  `json:"bytes"`
	// SHA256 is what the record says of its content, in hexadecimal.
	SHA256 string `json:"sha256,omitzero"`
}
