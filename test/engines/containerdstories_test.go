package engines

import (
	"fmt"
	"strings"
)

// cgroups are flags that show a container its cgroups.
const cgroups = "--mount type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro:nosuid:noexec:nodev"

// processor is what a container is told of its share of the processors.
const processor = "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares cpu.max cpu.weight 2>/dev/null || true"

var containerdChapters = []chapter{
	{name: "portrait", tell: func(s *story) {
		for _, flags := range []string{
			"", "--privileged", "--cap-add CAP_NET_ADMIN --cap-drop CAP_CHOWN", "--read-only", "--net-host",
			"--cwd /tmp --env A=b", "--seccomp", "--allow-new-privs", "--no-pivot", "--uidmap 0:300000:5000 --gidmap 0:300000:5000",
		} {
			script := portrait
			if strings.Contains(flags, "uidmap") {
				script = strings.NewReplacer(" %u:%g", "", "/sys/fs/cgroup/'", `/sys/fs/cgroup/\|^/dev/[fnrtuz]'`).Replace(further)
			}
			s.see("a container with "+flags, s.ran(flags, script))
		}
	}},
	{name: "run", tell: func(s *story) {
		s.same("output", s.ran("--env A=b", "echo hello $A from $FROM"), "hello b from image")
		// Not until its end: ctr may see that before the container is there, and then tells nobody.
		s.same("input", s.feed("from outside", s.task("--rm", "r", "head -c 12")...).out, "from outside")
		s.refused(42, "", s.task("--rm", "r", "exit 42")...)
		s.refused(1, "/no/such/program", append(s.task("--rm", "r", "")[:7], "/no/such/program")...)
		s.run(s.task("--detach --pid-file /run/pid", "c", "sleep 1000")...)
		s.holds("the process of the pid file", s.outside("tr '\\0' ' ' < /proc/$(cat /run/pid)/cmdline; rm /run/pid"), "sleep 1000")
	}},
	{name: "exec", tell: func(s *story) {
		s.begun("--env A=b", "sleep 1000")
		s.see("a process in a container", s.entered("", further))
		s.see("a process in a container, of another user", s.entered("--user 1:29 --cwd /tmp", further))
		s.same("input", s.feed("from outside", "task", "exec", "--exec-id", "e", "c", "head", "-c", "12").out, "from outside")
		s.refused(7, "", "task", "exec", "--exec-id", "e", "c", "sh", "-c", "exit 7")
		s.refused(1, "/no/such/program", "task", "exec", "--exec-id", "e", "c", "/no/such/program")
		s.run("task", "exec", "--exec-id", "d", "--detach", "c", "sleep", "1001")
		s.same("processes", fmt.Sprint(strings.Count(s.run("task", "ps", "c"), "\n")), "2")
	}},
	{name: "terminal", tell: func(s *story) {
		s.same("exit code of run", fmt.Sprint(s.terminal(33, 111, s.task("--rm --tty", "r", "exec sh")...).typed()), "9")
		s.begun("", "sleep 1000")
		s.same("exit code of exec", fmt.Sprint(s.terminal(33, 111, "task", "exec", "--exec-id", "e", "--tty", "c", "sh").typed()), "9")
		s.same("exit code of exec as another", fmt.Sprint(s.terminal(33, 111, "task", "exec", "--exec-id", "e", "--tty", "--user", "web", "c", "sh").typed()), "9")
	}},
	{name: "states", tell: func(s *story) {
		s.begun("", "i=0; while :; do i=$((i+1)); echo $i > /i; sleep 0.01; done")
		s.same("state", s.status(), "RUNNING")
		s.soon("counting", func() bool { return s.entered("", "cat /i 2>/dev/null || true") != "" })
		s.run("task", "pause", "c")
		s.same("state", s.status(), "PAUSED")
		s.refused(1, "paused", "task", "exec", "--exec-id", "e", "c", "true")
		s.run("task", "resume", "c")
		s.same("state", s.status(), "RUNNING")
		now := s.entered("", "cat /i")
		s.soon("counting again", func() bool { return s.entered("", "cat /i") != now })
		s.refused(1, "", "task", "delete", "c")
		s.run("task", "kill", "--signal", "KILL", "c")
		s.soon("stopped", func() bool { return s.status() == "STOPPED" })
		s.refused(0, "exit code 137", "task", "delete", "c")
		s.run("containers", "delete", "c")
	}},
	{name: "kill", tell: func(s *story) {
		s.begun("", "trap 'exit 9' TERM; touch /ready; while :; do sleep 0.01; done")
		s.soon("ready", func() bool { return s.entered("", "ls /ready 2>/dev/null || true") != "" })
		s.run("task", "kill", "c")
		s.soon("stopped", func() bool { return s.status() == "STOPPED" })
		s.refused(0, "exit code 9", "task", "delete", "c")
		s.run("containers", "delete", "c")
		s.begun("", "sleep 1000 & sleep 1001 & wait")
		s.run("task", "exec", "--exec-id", "d", "--detach", "c", "sleep", "1002")
		s.run("task", "kill", "--signal", "KILL", "--exec-id", "d", "c")
		s.soon("without it", func() bool { return strings.Count(s.run("task", "ps", "c"), "\n") == 3 })
		s.run("task", "kill", "--all", "--signal", "KILL", "c")
		s.soon("stopped", func() bool { return s.status() == "STOPPED" })
	}},
	{name: "metrics", tell: func(s *story) {
		s.begun("--memory-limit 67108864", "head -c 8m /dev/zero > /dev/shm/f; sleep 1000 & sleep 1001; true")
		s.soon("with three processes", func() bool { return strings.Count(s.run("task", "ps", "c"), "\n") == 3 })
		text := s.run("task", "metrics", "c")
		s.holds("metrics", strings.Join(strings.Fields(text), " "), "pids.current 3")
	}},
	{name: "limits", tell: func(s *story) {
		s.same("memory", s.ran(cgroups+" --memory-limit 67108864", memoryLimit), "67108864")
		s.see("processors", s.ran(cgroups+" --cpus 0.5 --cpu-shares 512", processor))
		s.see("quota", s.ran(cgroups+" --cpu-quota 20000 --cpu-period 50000", processor))
		s.same("more than the limit", fmt.Sprint(s.try(s.task("--rm --memory-limit 33554432", "r", greedy)...).code), "137")
	}},
	{name: "device", tell: func(s *story) {
		s.same("kind", s.ran("--device /dev/fuse", "stat -c '%F %t:%T' /dev/fuse"), "character special file a:e5")
		s.see("devices", s.ran("--device /dev/fuse --cap-add CAP_MKNOD", `ls -l /dev | tr -s ' ' | cut -d' ' -f 1,3-6,10 | sort
(: < /dev/fuse) 2>&1; mknod /e c 10 237 2>&1; (: < /e) 2>&1; mknod /f b 7 0 2>&1; (: < /f) 2>&1; mknod /g c 1 3 && : > /g; echo`))
	}},
	{name: "seccomp", tell: func(s *story) {
		s.same("containerd's own", s.ran("--seccomp", "grep Seccomp: /proc/self/status"), "Seccomp:\t2")
		s.outside(`printf '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}' > /run/profile.json`)
		s.holds("what a profile forbids", s.ran("--seccomp --seccomp-profile /run/profile.json", "mkdir /x 2>&1; true"), "Operation not supported")
		s.outside("rm /run/profile.json")
	}},
	{name: "mounts", tell: func(s *story) {
		s.outside("mkdir /var/h; echo there > /var/h/f")
		s.same("read", s.ran("--mount type=bind,src=/var/h,dst=/h,options=rbind:ro", "cat /h/f; touch /h/g 2>/dev/null || echo read-only"), "there\nread-only")
		s.see("mounts", s.ran("--mount type=bind,src=/var/h,dst=/a/b,options=bind:nosuid:noexec --mount type=tmpfs,src=tmpfs,dst=/t,options=size=64k:mode=700", "grep -E ' /(a/b|t) ' /proc/self/mountinfo | cut -d' ' -f 5-7 | sort; stat -c '%a %n' /t"))
		s.outside("rm -r /var/h")
	}},
	{name: "namespaces", tell: func(s *story) {
		s.begun("", "sleep 1000")
		var pid string
		for line := range strings.Lines(s.run("task", "ls")) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "c" {
				pid = f[1]
			}
		}
		const all = "for n in net ipc uts pid; do readlink /proc/self/ns/$n; done"
		s.same("another's", s.ran(fmt.Sprintf("--with-ns network:/proc/%[1]s/ns/net --with-ns ipc:/proc/%[1]s/ns/ipc --with-ns uts:/proc/%[1]s/ns/uts --with-ns pid:/proc/%[1]s/ns/pid", pid), all), s.entered("", all))
	}},
	{name: "update", tell: func(s *story) {
		s.begun(cgroups+" --memory-limit 67108864", "sleep 1000")
		root := "/run/containerd/runc/" + s.cgroup
		s.outside(s.engine.(containerd).runtime + " --root " + root + " update --memory 134217728 c")
		s.same("memory", s.entered("", memoryLimit), "134217728")
		s.holds("list", s.outside(s.engine.(containerd).runtime+" --root "+root+" list"), "running")
	}},
}
