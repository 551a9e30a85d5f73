package generated

// difference is something that differs and is to.
type difference struct {
	prefix string // of keys
	is     func(s *sample, key, theirs, ours string) bool
	reason string
}

// differences are all of them.
var differences = []difference{}
