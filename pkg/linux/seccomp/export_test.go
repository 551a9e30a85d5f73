package seccomp

// Meaning is the verdict of a policy on a call, read straight from its rules.
func Meaning(p Policy, archs []Arch) func(Call) Action { return newOracle(p, archs).verdict }
