package parker

import _ "embed"

//go:embed parker_arm64
var image []byte
