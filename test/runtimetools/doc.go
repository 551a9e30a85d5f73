// Package runtimetools runs the validation programs of the runtime specification's authors against this runtime and against the runc that the
// machine has: what runc passes here, line by line, this runtime passes. It knows nothing of either but their command line.
package runtimetools
