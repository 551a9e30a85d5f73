// Package nofile keeps the limit on open files that this process was given. It knows that the Go runtime raises the soft
// one while it starts (syscall/rlimit.go) and puts it back in os/exec alone; it refuses to import anything, syscall
// included: packages are made ready in the order of their paths, each after its imports (Go specification, "Package
// initialization"), and this one has to be before that.
package nofile

// Limit is one of setrlimit(2).
type Limit struct{ Soft, Hard uint64 }

// Initial is the limit this process was started with.
var Initial = read()

func read() (l Limit) {
	prlimit(&l)
	return l
}

// prlimit reads RLIMIT_NOFILE of this process, which fails for nobody.
//
//go:noescape
func prlimit(l *Limit)
