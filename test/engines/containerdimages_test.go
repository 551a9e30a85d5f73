package engines

import "strconv"

var containerdImages = []chapter{
	{name: "checkpoint", needs: criued, tell: func(s *story) {
		s.begun("", counting)
		count := func() int {
			r := s.try("task", "exec", "--exec-id", "n", "c", "cat", "/count")
			n, _ := strconv.Atoi(r.out)
			return n
		}
		s.soon("counting", func() bool { return count() > 3 })
		s.run("task", "checkpoint", "--image-path", "/run/image", "--work-path", "/run/dump", "c")
		at := count()
		s.soon("counting on", func() bool { return count() > at })
		s.same("state", s.status(), "RUNNING")
		s.outside("test -e /run/image/inventory.img && test -e /run/dump/dump.log && rm -r /run/image /run/dump")

		s.run("containers", "checkpoint", "--rw", "--image", "--task", "c", "docker.io/library/count:1")
		defer s.try("images", "rm", "--sync", "docker.io/library/count:1")
		at = count()
		s.run("task", "kill", "--signal", "KILL", "c")
		s.soon("stopped", func() bool { return s.status() == "STOPPED" })
		s.try("task", "delete", "c")
		s.run("containers", "delete", "c")
		s.run("containers", "restore", "--rw", "--live", "c", "docker.io/library/count:1")
		s.soon("counting on", func() bool { return count() > at })
		s.see("state", s.status())
	}},
}
