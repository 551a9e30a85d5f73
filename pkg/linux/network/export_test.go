package network

// For tests in package network_test.
var (
	LoadState  = loadState
	ParseFlow  = parseFlow
	ReadAlias  = readAlias
	WriteAlias = writeAlias
)

// Save writes a state that LoadState gave.
func (s state) Save(dir string) ([]byte, error) { return s.save(dir, nil) }
