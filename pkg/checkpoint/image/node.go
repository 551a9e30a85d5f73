package image

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// kernelRelease is the kernel's, as uname -r has it.
func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

func arch() string { return runtime.GOARCH }

// thisCPU is the processor here. It does not change while we run.
var thisCPU = sync.OnceValue(func() CPU {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return CPU{}
	}
	return parseCPU(text)
})

// cpuWords are the lines of /proc/cpuinfo that say what a processor can do, as the architectures have them.
var cpuWords = map[string]func(*CPU, string){
	"vendor_id":       func(c *CPU, v string) { c.Vendor = v },
	"CPU implementer": func(c *CPU, v string) { c.Vendor = v },
	"model name":      func(c *CPU, v string) { c.Model = v },
	"CPU part":        func(c *CPU, v string) { c.Model = v },
	"flags":           func(c *CPU, v string) { c.Features = strings.Fields(v) },
	"Features":        func(c *CPU, v string) { c.Features = strings.Fields(v) },
}

// parseCPU reads the first processor of /proc/cpuinfo: the kernel lists features that all of them have.
func parseCPU(text []byte) (c CPU) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<16)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if key == "processor" && value != "0" {
			break
		}
		if set := cpuWords[key]; set != nil {
			set(&c, value)
		}
	}
	slices.Sort(c.Features)
	c.Features = slices.Compact(c.Features)
	return c
}
