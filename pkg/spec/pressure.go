package spec

import "time"

// Pressure says how much time the processes may lose to waiting before an event tells of it: MemoryPressure, CPUPressure or IOPressure,
// at most one in each window. See Documentation/accounting/psi.rst.
type Pressure struct {
	// Memory is time lost to reclaim and to faults on pages that were taken away. Kernel file memory.pressure.
	Memory PressureTrigger `json:"memory,omitzero" class:"live"`
	// CPU is time lost to waiting for a processor. Kernel file cpu.pressure.
	CPU PressureTrigger `json:"cpu,omitzero" class:"live"`
	// IO is time lost to waiting for block devices. Kernel file io.pressure.
	IO PressureTrigger `json:"io,omitzero" class:"live"`
}

// PressureTrigger is how much time may be lost in how much time.
type PressureTrigger struct {
	// Some is time in which at least one process waits.
	Some Duration `json:"some,omitzero" class:"live" min:"1ms" max:"10s"`
	// Full is time in which all processes that could do something wait at once.
	Full Duration `json:"full,omitzero" class:"live" min:"1ms" max:"10s"`
	// Window is the time in which it may be lost, 500ms to 10s. Default 2s. A node without CAP_SYS_RESOURCE only has windows of 2s, 4s and so on: a shorter one is lengthened, and with it what may be lost.
	Window Duration `json:"window,omitzero" class:"live" min:"500ms" max:"10s"`
}

// DefaultPressureWindow is the window of a trigger that names none.
const DefaultPressureWindow = Duration(2 * time.Second)

// IsZero tells whether nothing is said.
func (t PressureTrigger) IsZero() bool { return t == PressureTrigger{} }
