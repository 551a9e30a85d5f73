package attribute

import (
	"slices"

	"github.com/seed31d4122e/reconciler/pkg/linux/process"
)

// unsaved are the rows of Table that restored processes have from who restores them: criu 4.2 saves none of these.
var unsaved = []string{
	"ignored signals", "processor affinity", "memory policy", "input/output priority", "input/output flusher", "timer slack", "time stamp counter", "memory failure policy", "execution domain",
	"merging of equal pages", "session keyring", "default keyring of requests",
}

// Restored adds the ops that give a program what the container's processes are to inherit that it restores.
func Restored(p *process.Program, plan Plan) {
	for _, row := range Table {
		if slices.Contains(unsaved, row.Name) {
			row.reset(p, plan)
		}
	}
	setOOMScore(p, Plan{}) // criu saves another one than 0
}
