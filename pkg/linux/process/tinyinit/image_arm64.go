package tinyinit

import _ "embed"

//go:embed init_arm64
var image []byte
