// Package spec holds the words of a manifest and of a status: what a user asks for and what a node
// reports, decoded with file, line and column, defaulted, compared and hashed. It knows YAML and
// arithmetic; it refuses to know Linux, clocks and files.
//
// To add a field: write it with its comment here (the comment becomes `explain`, the reference page
// and the JSON Schema), tag it `class:"live"` or `class:"replace"`, and give it one row or step in
// pkg/linux. A completeness test fails until the row exists.
package spec

//go:generate go run ../../internal/genspec docs
//go:generate go run ../../internal/genspec pages
