package engines

import (
	"cmp"
	"os/exec"
	"strconv"
	"strings"
)

// criued says what a machine lacks for images.
func criued() string {
	if _, err := exec.LookPath("criu"); err != nil {
		return "criu"
	}
	return ""
}

// counting counts, and keeps its count in its root, and in memory.
const counting = `i=0; while true; do i=$((i+1)); echo $i > /count; echo $i > /dev/shm/count; sleep 0.05; done`

// count is how far the container c has counted; 0 when that cannot be seen.
func (s *story) count() int {
	n, _ := strconv.Atoi(s.try("exec", "c", "cat", "/count").out)
	return n
}

// counts waits until it has counted further than something, and is not far from there.
func (s *story) counts(after int) int {
	n := 0
	s.soon("counting on", func() bool { n = s.count(); return n > after })
	if n > after+600 {
		s.failf("after %d comes %d", after, n)
	}
	return n
}

var podmanImages = []chapter{
	{name: "checkpoint", needs: criued, tell: func(s *story) {
		s.up("--memory 64m --tmpfs /scratch", "echo kept > /scratch/file; "+counting)
		at := s.counts(3)
		for range 2 {
			s.run("container", "checkpoint", "c")
			s.see("state", s.show(".State.Status")+" "+s.show(".State.Checkpointed"))
			s.run("container", "restore", "c")
			s.see("state", s.show(".State.Status")+" "+s.show(".State.Restored"))
			at = s.counts(at)
		}
		s.same("in memory", s.sh("cat /scratch/file; test $(cat /dev/shm/count) -gt 1 && echo on"), "kept\non")
		s.see("processes", s.sh("ps -o pid,comm | head -2"))
		s.see("mounts", s.sh("cut -d' ' -f2 /proc/self/mounts | grep -v /cgroup | sort"))
		s.run("kill", "--signal", "KILL", "c")
		s.same("exit code", s.run("wait", "c"), "137")
	}},
	{name: "checkpoint of what runs on", needs: criued, tell: func(s *story) {
		s.up("", counting)
		at := s.counts(3)
		pid := s.show(".State.Pid")
		s.run("container", "checkpoint", "--leave-running", "c")
		s.same("process", s.show(".State.Pid"), pid)
		at = s.counts(at)
		s.run("pause", "c")
		s.refused(125, "is not running", "container", "checkpoint", "--leave-running", "c")
		s.run("unpause", "c")
		s.counts(at)
	}},
	{name: "checkpoint elsewhere", needs: criued, tell: func(s *story) {
		s.up("", counting)
		at := s.counts(3)
		s.run("container", "checkpoint", "--export", "/run/c.tar", "--compress", "none", "c")
		defer s.outside("rm -f /run/c.tar")
		s.run("rm", "c")
		s.run("container", "restore", "--import", "/run/c.tar")
		s.counts(at)
		s.run("rm", "--force", "--time", "0", "c")
		s.run("container", "restore", "--import", "/run/c.tar", "--name", "d")
		n, _ := strconv.Atoi(s.run("exec", "d", "cat", "/count"))
		if n < at {
			s.failf("after %d comes %d", at, n)
		}
		s.run("rm", "--force", "--time", "0", "d")
		s.outside("tar -tf /run/c.tar | grep -q ^checkpoint/descriptors.json")
	}},
	{name: "checkpoint of a connection", needs: func() string { return cmp.Or(criued(), bridged()) }, tell: func(s *story) {
		s.up("--network podman", `mkfifo /in /hold; exec 4<>/hold; (nc -l -p 7777 </hold >/heard; echo closed >>/heard) & sleep 0.5; nc 127.0.0.1 7777 < /in & exec 3> /in; i=0
while :; do i=$((i+1)); echo $i >&3; echo $i > /count; sleep 0.05; done`)
		heard := func() int {
			words := strings.Fields(s.try("exec", "c", "cat", "/heard").out)
			if len(words) == 0 {
				return 0
			}
			n, _ := strconv.Atoi(words[len(words)-1])
			return n
		}
		s.soon("connected", func() bool { return heard() > 3 })
		s.refused(125, "", "container", "checkpoint", "c")
		at := heard()
		s.soon("going on", func() bool { return heard() > at })
		s.run("container", "checkpoint", "--tcp-established", "c")
		s.run("container", "restore", "--tcp-established", "c")
		s.soon("going on", func() bool { return heard() > at })
		for i, word := range strings.Fields(s.sh("cat /heard")) {
			if word != strconv.Itoa(i+1) {
				s.stop("heard %q as number %d", word, i+1)
			}
		}
	}},
}
