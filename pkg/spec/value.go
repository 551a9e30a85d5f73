package spec

// Check tells what is wrong with a container that a program has made: all that Decode would find in its manifest, as Problems without a
// place; nil if nothing. Group and job are not looked at: they are what Expand has said.
func (c Container) Check() error {
	orElse(&c.APIVersion, APIVersion)
	orElse(&c.Kind, KindContainer)
	c.Spec.Group, c.Spec.Job = "", JobRuns{}
	_, problems := Decode("", Canonical(c))
	for i := range problems {
		problems[i].Line, problems[i].Column = 0, 0
	}
	return problems.Err()
}
