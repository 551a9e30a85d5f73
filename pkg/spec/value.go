package spec

// Check tells what is wrong with a container that a program has made: all that Decode would find in its manifest, as Problems without a
// place; nil if nothing. The group is not looked at: it is what Group.Expand has said.
func (c Container) Check() error {
	orElse(&c.APIVersion, APIVersion)
	orElse(&c.Kind, KindContainer)
	c.Spec.Group = ""
	_, problems := Decode("", Canonical(c))
	for i := range problems {
		problems[i].Line, problems[i].Column = 0, 0
	}
	return problems.Err()
}
