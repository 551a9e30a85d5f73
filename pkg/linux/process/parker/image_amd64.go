package parker

import _ "embed"

//go:embed parker_amd64
var image []byte
