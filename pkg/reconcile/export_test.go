package reconcile

// NoteRestored is noteRestored.
var NoteRestored = noteRestored
