package record

import "time"

// Origin is what one run of an instance began from, when an image was looked for. The zero value is a run for which none was.
type Origin struct {
	Instance uint64 `json:"instance"`
	Starts   int    `json:"starts"` // the run that start number Starts of the instance began
	// Rung is one of the rungs below.
	Rung string `json:"rung"`
	// Image is NAME/ID, "" for a cold start.
	Image string `json:"image,omitzero"`
	// Why says why nothing better was to be had.
	Why string `json:"why,omitzero"`
}

// The rungs of the ladder that a run begins from, the best first.
const (
	RungLatest = "Latest"    // the newest image of the container itself
	RungOlder  = "Older"     // another of its own
	RungGolden = "Golden"    // one of another container, or one that the manifest names
	RungCold   = "ColdStart" // the command, although an image was looked for
)

// Images is what is remembered of images taken and used.
type Images struct {
	// Tried is when the schedule or a hand last had an image taken, successfully or not; Failures how often in a row it failed since one came, Problem
	// why, and Unsupported tells that trying again is of little use.
	Tried       time.Time `json:"tried,omitzero"`
	Failures    int       `json:"failures,omitzero"`
	Problem     string    `json:"problem,omitzero"`
	Unsupported bool      `json:"unsupported,omitzero"`
	// Bad are images from which runs could not begin, or ended soon.
	Bad []BadImage `json:"bad,omitzero"`
	// Climbing tells that a run was to begin from an image, and none has begun since, from whatever.
	Climbing bool `json:"climbing,omitzero"`
	// Unable says why the node restores nothing at all; it is asked anew at the start after the next.
	Unable string `json:"unable,omitzero"`
}

// BadImage is an image with a past.
type BadImage struct {
	Image string `json:"image"` // NAME/ID
	// Problem says why it could not be restored, "" when it could.
	Problem string `json:"problem,omitzero"`
	// Passing tells that the problem may pass: it counts only until a run has begun.
	Passing bool `json:"passing,omitzero"`
	// Quick counts the runs in a row that began from it and ended soon.
	Quick int `json:"quick,omitzero"`
}

// Restore is a restore asked for by hand: the run that start number Starts of an instance began has to end, and the next begins from Image, NAME/ID.
type Restore struct {
	Image    string `json:"image"`
	Instance uint64 `json:"instance"`
	Starts   int    `json:"starts"`
}
