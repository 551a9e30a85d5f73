// Package arch holds the laws between packages, as tests: who may import whom and why, and how much the
// binary may depend on. It knows import paths; it refuses to know what the packages do.
package arch
