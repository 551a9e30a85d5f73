package journal

// Parse is for fuzzing.
var Parse = parse

// Entry is what Parse gives.
type Entry = entry
