package linux_test

import "testing"

// A process opens and closes files, and gives others the numbers of its descriptors, while it is looked at: nobody takes one file for another.
func TestSurveyOfOneThatGoesOn(t *testing.T) {
	n := open(t)
	n.run(t, n.container("web", `echo up; while :; do echo x >/dev/shm/x; echo y 2>/dev/null; cat </dev/null; done`), 1)
	n.hear(t, "web", "up")
	without := 0
	for range 500 {
		d, err := n.OpenDump(t.Context(), "web", 1)
		must(t, err)
		if len(d.Streams) < 2 {
			without++
		}
		d.Close()
	}
	if without > 0 {
		t.Errorf("%d of 500 dumps know no pipes", without)
	}
}
