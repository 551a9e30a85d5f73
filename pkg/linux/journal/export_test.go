package journal

// Parse is for fuzzing.
var Parse = parse
