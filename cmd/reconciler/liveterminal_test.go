package main

import "testing"

const consoleManifest = `apiVersion: reconciler/v1alpha1
kind: Container
metadata: {name: console}
spec:
  rootfs: {path: ` + demoRootfs + `}
  stdin: true
  tty: true
  command: [sh]
`

// TestLiveTerminal talks to a real container from a terminal: a further command with one, and the container's own.
func TestLiveTerminal(t *testing.T) {
	n := newNode(t)
	t.Cleanup(func() {
		for _, err := range n.dispose() {
			t.Error(err)
		}
	})
	must(t, n.put("console.yaml", consoleManifest))
	must(t, n.start())
	must(t, n.eventually("the console runs", func() error { return n.expect("console phase Running") }))
	s := &stage{TB: t, socket: n.socket()}

	p := s.play("exec", "-it", "console", "sh", "-c", "trap 'echo caught; exit 6' INT; stty size; until stty size | grep '50 100'; do sleep 0.05; done; while :; do sleep 0.05; done")
	p.sees("24 80")
	p.resize(50, 100)
	p.sees("50 100")
	p.types("\x03")
	p.sees("caught")
	p.ends(6)

	for range 2 {
		p = s.play("attach", "console")
		p.sees("leave the container")
		p.types("echo $((6 * 7)) on $(stty size)\r")
		p.sees("42 on 24 80")
		p.types("\x10\x11")
		p.sees("left; the container runs on")
		p.ends(0)
	}
	p = s.play("attach", "console")
	p.sees("leave the container")
	p.types("exit 7\r")
	p.ends(7)
}
