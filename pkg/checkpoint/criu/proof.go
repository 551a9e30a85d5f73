package criu

import (
	"errors"
	"fmt"
	"time"
)

// Ability is something that criu can do on this node, or not.
type Ability string

// The abilities.
const (
	Checkpoint    Ability = "checkpoint"               // a container with its own namespaces and a listening socket
	TCP           Ability = "checkpoint.tcp"           // open TCP connections are kept
	Lazy          Ability = "checkpoint.lazy"          // memory follows a restore
	PreCopy       Ability = "checkpoint.preCopy"       // memory is copied before the container is stopped
	UserNamespace Ability = "checkpoint.userNamespace" // a container in a user namespace
)

// Abilities are all of them, with what they are for.
var Abilities = []struct {
	Ability
	Purpose string
}{
	{Checkpoint, "spec.checkpoint, state Checkpointed"},
	{TCP, "checkpoint.tcp Established"},
	{Lazy, "checkpoint.lazy"},
	{PreCopy, "checkpoint.preCopy"},
	{UserNamespace, "checkpoints of containers with a user namespace"},
}

// Proof is what came of dumping and restoring a throwaway process with a criu on a kernel. Versions do not tell it: kernels change what criu relies on.
type Proof struct {
	Tool Tool `json:"tool"`
	// Size and Modified are the program's, Kernel the release and build of the kernel: the proof holds as long as they are the same.
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Kernel   string    `json:"kernel"`
	Trial    int       `json:"trial"` // its version

	// Lacks says why for each ability that is not there.
	Lacks map[Ability]string `json:"lacks,omitzero"`
	// Lock is the way to hold packets that works here.
	Lock NetworkLock `json:"lock,omitzero"`
	// Took is how long it took.
	Took time.Duration `json:"took"`
}

// Check is nil if the ability was proven, else errors.ErrUnsupported with the reason.
func (p Proof) Check(a Ability) error {
	why, lacks := p.Lacks[a]
	switch {
	case p.Trial == 0:
		return fmt.Errorf("nobody has tried whether criu works here: %w", errors.ErrUnsupported)
	case lacks:
		return &lack{a, why}
	}
	return nil
}

// lack is an ability that is not there.
type lack struct {
	ability Ability
	why     string
}

func (l *lack) Error() string { return fmt.Sprintf("%s does not work here: %s", l.ability, l.why) }
func (l *lack) Unwrap() error { return errors.ErrUnsupported }

// lackAll is a proof that nothing works.
func (p Proof) lackAll(why string) Proof {
	p.Lacks = map[Ability]string{}
	for _, a := range Abilities {
		p.Lacks[a.Ability] = why
	}
	return p
}
