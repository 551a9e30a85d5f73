package engines

import (
	"fmt"
	"strings"
)

// portrait shows what a process is and sees, as far as it is the same with all runtimes.
const portrait = `id; umask; pwd; test $$ = 1 && cat /proc/1/cmdline | tr '\0' ' '
grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:|Umask|SigBlk)' /proc/self/status
cat /proc/self/limits /proc/self/oom_score_adj /proc/self/uid_map /proc/self/gid_map
env | grep -v '^HOSTNAME' | sort
ls -l /proc/self/fd | grep -c .
find /dev -type c -exec stat -c '%n %t:%T %a %u:%g' {} + | grep -v /dev/pts/ | sort
find /dev -type l -exec readlink -n {} \; -exec echo ' {}' \; | sort
cut -d' ' -f 5 /proc/self/mountinfo | grep -v '/sys/fs/cgroup/' | sort
for f in kernel/core_pattern kernel/shmmax net/ipv4/ping_group_range; do cat /proc/sys/$f; (echo > /proc/sys/$f) 2>/dev/null && echo writable; done
for f in /proc/keys /proc/timer_list /proc/kcore; do test -c $f && echo masked $f; done; ls /proc/acpi /proc/scsi /sys/firmware 2>&1
for d in proc sys dev dev/shm dev/mqueue etc tmp proc/bus proc/sys proc/sysrq-trigger sys/fs/cgroup; do test -w /$d && echo "/$d writable"; done
touch /sys/x /proc/x /dev/x /x 2>&1; ls -ld /x /dev/x | cut -c 1-30`

// further is the portrait of a process that comes later. How many files it may open is left out: runc's are not the container's.
var further = strings.ReplaceAll(portrait, "/proc/self/limits", "/proc/self/limits | grep -v 'open files' | cat -")

// greedy takes memory until it is killed. It is alone, for who is killed first is chance.
const greedy = `exec awk 'BEGIN { s = "x"; while (1) s = s s }'`

var podmanChapters = []chapter{
	{name: "portrait", tell: func(s *story) {
		for _, flags := range []string{
			"--hostname h", "--hostname h --user web", "--hostname h --user 1234:5678 --group-add 29 --group-add 7", "--hostname h --privileged",
			"--hostname h --cap-drop ALL --cap-add NET_RAW,CHOWN --security-opt no-new-privileges", "--hostname h --read-only",
			"--uts host --ipc host --pid host --network host", "--hostname h --user web --cap-add NET_ADMIN --umask 0077 --workdir /tmp --env A=b",
			"--hostname h --security-opt seccomp=unconfined --security-opt unmask=ALL --ulimit nofile=100:200 --ulimit nproc=300:400 --ulimit core=0 --sysctl kernel.shmmax=12345",
			"--hostname h --security-opt mask=/etc/group --shm-size 1m --tmpfs /t:size=64k,mode=1777 --cgroupns private",
		} {
			s.see("a container with "+flags, s.inside(flags, portrait))
		}
	}},
	{name: "run", tell: func(s *story) {
		s.same("output", s.inside("--env A=b", "echo hello $A"), "hello b")
		s.same("input", s.feed("from outside", s.container("--rm -i", "cat")...).out, "from outside")
		s.refused(42, "", s.container("--rm", "exit 42")...)
		s.same("the first process's signals to itself", s.inside("", "kill -KILL $$; echo alive"), "alive")
		s.refused(127, "", "run", "--rm", "--network", "none", image, "/no/such/program")
		s.refused(126, "", "run", "--rm", "--network", "none", image, "/etc/passwd")
		s.refused(126, "", "run", "--rm", "--network", "none", "--workdir", "/etc/passwd", image, "true")
	}},
	{name: "exec", tell: func(s *story) {
		s.up("--user web --env A=b", "sleep 1000")
		s.see("a process in a container", s.sh(further))
		s.see("a process in a container, of another user", s.run("exec", "--user", "1:29", "--workdir", "/tmp", "--env", "C=d", "c", "sh", "-c", further))
		s.see("a privileged process in a container", s.run("exec", "--privileged", "--user", "0", "c", "sh", "-c", further))
		s.same("input", s.feed("from outside", "exec", "-i", "c", "cat").out, "from outside")
		s.refused(7, "", "exec", "c", "sh", "-c", "exit 7")
		s.refused(127, "", "exec", "c", "/no/such/program")
		s.refused(126, "", "exec", "c", "/etc/passwd")
		s.run("exec", "--detach", "c", "sh", "-c", "sleep 1001")
		s.soon("in the background", func() bool { return strings.Contains(s.run("top", "c", "args"), "sleep 1001") })
	}},
	{name: "logs", tell: func(s *story) {
		s.up("", "echo out; echo err >&2; exit 3")
		s.same("exit code", s.run("wait", "c"), "3")
		r := s.try("logs", "c")
		s.same("logs", r.out+"|"+r.err, "out|err")
		s.same("state", s.show(".State.Status")+s.show(".State.ExitCode"), "exited3")
		s.run("start", "c")
		s.same("exit code", s.run("wait", "c"), "3")
		s.same("logs of two", s.try("logs", "c").out, "out\nout")
	}},
	{name: "stats", tell: func(s *story) {
		s.up("--memory 64m", "head -c 8m /dev/zero > /dev/shm/f; sleep 1000 & sleep 1001; true")
		s.soon("with three processes", func() bool { return strings.Count(s.run("top", "c", "args"), "\n") == 3 })
		s.same("pids", s.run("stats", "--no-stream", "--format", "{{.PIDs}}", "c"), "3")
		s.holds("memory", s.run("stats", "--no-stream", "--format", "{{.MemUsage}}", "c"), "MB / 67.11MB")
		s.see("processes", s.run("top", "c", "user", "args", "capeff", "seccomp"))
	}},
	{name: "pause", tell: func(s *story) {
		s.up("", "i=0; while :; do i=$((i+1)); echo $i > /i; sleep 0.01; done")
		s.soon("counting", func() bool { return s.sh("cat /i 2>/dev/null || true") != "" })
		s.run("pause", "c")
		s.same("state", s.show(".State.Status"), "paused")
		file := s.show(".State.Pid")
		stat := func() string {
			return fields(s.read("/proc/" + file + "/stat"))[13] + fields(s.read("/proc/" + file + "/stat"))[14]
		}
		before := stat()
		s.refused(255, "", "exec", "c", "true")
		s.same("times of a paused process", stat(), before)
		s.run("unpause", "c")
		s.same("state", s.show(".State.Status"), "running")
		now := s.sh("cat /i")
		s.soon("counting again", func() bool { return s.sh("cat /i") != now })
	}},
	{name: "kill", tell: func(s *story) {
		s.up("", "trap 'echo usr1' USR1; trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.01; done")
		s.soon("ready", func() bool { return s.run("logs", "c") == "ready" })
		s.run("kill", "--signal", "USR1", "c")
		s.soon("signalled", func() bool { return s.run("logs", "c") == "ready\nusr1" })
		s.run("stop", "c")
		s.same("exit code", s.show(".State.ExitCode"), "9")
		s.same("logs", s.run("logs", "c"), "ready\nusr1\nterm")
		s.run("restart", "c")
		s.soon("ready", func() bool { return s.run("logs", "c") == "ready\nusr1\nterm\nready" })
		s.run("kill", "c")
		s.same("exit code", s.run("wait", "c"), "137")
		s.refused(1, "", "rm", "nosuch")
		s.run("rm", "c")
		s.up("", "trap : TERM; sleep 1000 & sleep 1001 & while :; do wait; done")
		s.refused(2, "", "rm", "c")
		s.run("rm", "--force", "--time", "0", "c")
	}},
	{name: "memory", tell: func(s *story) {
		s.same("limit", s.inside("--memory 64m", memoryLimit), "67108864")
		s.up("--memory 32m", "sleep 1; "+greedy)
		s.same("exit code", s.run("wait", "c"), "137")
		s.see("killed for memory", s.show(".State.OOMKilled"))
		s.see("limits", s.inside("--memory 64m --memory-swap 128m --memory-reservation 32m", "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes memory.max memory.low memory.swap.max 2>/dev/null || true"))
	}},
	{name: "cpu", tell: func(s *story) {
		s.see("limits", s.inside("--cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --blkio-weight 300",
			"cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares cpuset/cpuset.cpus blkio/blkio.bfq.weight cpu.max cpu.weight cpuset.cpus io.bfq.weight 2>/dev/null; grep Cpus_allowed_list /proc/self/status"))
		s.up("--cpus 0.5", "sleep 1000")
		s.run("update", "--cpus", "0.25", "--memory", "100m", "--cpu-shares", "1000", "c")
		s.see("limits after an update", s.sh("cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares memory/memory.limit_in_bytes cpu.max cpu.weight memory.max 2>/dev/null || true"))
	}},
	{name: "pids-limit", tell: func(s *story) {
		s.same("limit", s.inside("--pids-limit 33", "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null || true"), "33")
		s.refused(2, "can't fork", s.container("--rm --pids-limit 5", "for i in 1 2 3 4 5 6 7 8 9; do sleep 3 & done 2>&1")...)
	}},
	{name: "cap-drop", tell: func(s *story) {
		caps := func(flags string) string {
			return s.inside(flags, "grep -E 'Cap(Eff|Bnd|Prm)' /proc/self/status | cut -f 2 | uniq")
		}
		s.same("all dropped", caps("--cap-drop ALL"), "0000000000000000")
		s.same("one kept", caps("--cap-drop ALL --cap-add CHOWN"), "0000000000000001")
		s.same("two dropped", fmt.Sprint(strings.Contains(caps("--cap-drop CHOWN,KILL"), "a80425fb")), "false")
		s.holds("chown", s.inside("--cap-drop CHOWN", "touch /f; chown 1 /f 2>&1 || true"), "not permitted")
	}},
	{name: "read-only", tell: func(s *story) {
		s.holds("a file in it", s.inside("--read-only", "touch /x 2>&1 || true"), "Read-only file system")
		s.same("a file in what is mounted", s.inside("--read-only", "touch /tmp/x /run/x /var/tmp/x /dev/shm/x && echo ok"), "ok")
		s.holds("a file in what is mounted", s.inside("--read-only --read-only-tmpfs=false", "touch /tmp/x 2>&1 || true"), "Read-only file system")
	}},
	{name: "userns", tell: func(s *story) {
		s.up("--userns auto:size=4096 --env A=b", "touch /made; sleep 1000")
		ids := fields(s.sh("cat /proc/self/uid_map"))
		s.same("ids", strings.Join(ids, " "), "0 1000000 4096")
		// Others mount the node's devices there; here they are made, and are of the container's root.
		portrait := strings.NewReplacer(" %u:%g", "", "/sys/fs/cgroup/'", `/sys/fs/cgroup/\|^/dev/[fnrtuz]'`).Replace(further)
		s.see("in a user namespace", s.sh(portrait))
		s.same("owner inside", s.sh("stat -c %u:%g /made /etc/passwd | uniq"), "0:0")
		pid := s.show(".State.Pid")
		s.holds("owner of the process", s.read("/proc/"+pid+"/status"), "Uid:\t1000000\t1000000")
		s.same("owner of the file", s.outside("stat -c %u /proc/"+pid+"/root/made"), "1000000")
		s.same("another's ids", strings.Join(fields(s.inside("--userns auto:size=1024", "cat /proc/self/gid_map")), " "), "0 1004096 1024")
		s.see("a process of a user in it", s.run("exec", "--user", "web", "c", "sh", "-c", portrait))
		s.same("mapped by hand", strings.Join(fields(s.inside("--uidmap 0:500000:100 --gidmap 0:600000:100", "cat /proc/self/uid_map /proc/self/gid_map")), " "), "0 500000 100 0 600000 100")
		s.see("a private one with a volume", s.inside("--userns auto:size=2000 --volume vol:/vol --read-only --tmpfs /t", "touch /vol/f /t/f && stat -c '%n %u' /vol/f /t/f; grep -E ' (/vol|/t|/dev|/sys|/proc) ' /proc/self/mountinfo | cut -d' ' -f 5,6"))
	}},
	{name: "device", tell: func(s *story) {
		s.same("kind", s.inside("--device /dev/zero:/dev/nothing:r", "stat -c '%F %t:%T' /dev/nothing; head -c 3 /dev/nothing | wc -c; (: > /dev/nothing) 2>/dev/null && echo written || true"), "character special file 1:5\n3\nwritten")
		s.see("devices", s.inside("--device /dev/fuse --device /dev/loop-control:/dev/x:m --cap-add MKNOD", `ls -l /dev | tr -s ' ' | cut -d' ' -f 1,3-6,10 | sort
mknod /d c 10 229 && (: < /d) 2>&1; mknod /e c 10 237 2>&1; (: < /e) 2>&1; mknod /f b 7 0 2>&1; (: < /f) 2>&1; mknod /g c 1 3 && : > /g; (: < /dev/x) 2>&1; echo`))
	}},
	{name: "healthcheck", tell: func(s *story) {
		s.up("--health-cmd=test${IFS}-f${IFS}/ok --health-interval disable", "sleep 1000")
		s.refused(1, "", "healthcheck", "run", "c")
		s.sh("touch /ok")
		s.run("healthcheck", "run", "c")
		s.same("health", s.show(".State.Health.Status"), "healthy")
	}},
	{name: "network", tell: func(s *story) {
		s.same("links without one", s.inside("", "ls /sys/class/net"), "lo")
		own := s.outside("readlink /proc/self/ns/net")
		s.same("the node's", s.inside("--network host", "readlink /proc/self/ns/net"), own)
		s.same("without one, it is its own", fmt.Sprint(s.inside("", "readlink /proc/self/ns/net") == own), "false")
		s.up("", "sleep 1000")
		s.same("another's", s.inside("--network container:c", "readlink /proc/self/ns/net"), s.sh("readlink /proc/self/ns/net"))
		s.same("another's namespaces", s.inside("--network container:c --ipc container:c --pid container:c --uts container:c", "for n in net ipc pid uts; do readlink /proc/self/ns/$n; done"),
			s.sh("for n in net ipc pid uts; do readlink /proc/self/ns/$n; done"))
	}},
	{name: "volumes", tell: func(s *story) {
		s.outside("mkdir -p /run/engine/h && echo there > /run/engine/h/f")
		s.same("read", s.inside("--volume /run/engine/h:/h:ro", "cat /h/f; touch /h/g 2>/dev/null || echo read-only"), "there\nread-only")
		s.same("written", s.inside("--volume /run/engine/h:/a/b", "echo new > /a/b/g; cat /a/b/g"), "new")
		s.same("on the node", s.read("/run/engine/h/g"), "new")
		s.see("mounts", s.inside("--mount type=bind,source=/run/engine/h,target=/h,bind-propagation=rslave,ro --mount type=tmpfs,target=/t,tmpfs-size=64k,noexec --volume vol:/v:nosuid,nodev --tmpfs /u:mode=700",
			"grep -E ' /(h|t|v|u) ' /proc/self/mountinfo | cut -d' ' -f 5-7 | sort; stat -c '%a %n' /t /u /v"))
		s.outside("rm -rf /run/engine/h")
	}},
	{name: "create", tell: func(s *story) {
		s.run(append([]string{"create", "--name", "c"}, s.container("-i", "cat; echo end")[1:]...)...)
		s.same("state", s.show(".State.Status"), "created")
		s.run("init", "c")
		s.same("state", s.show(".State.Status"), "initialized")
		s.same("attached", s.feed("words\n", "start", "--attach", "--interactive", "c").out, "words\nend")
		s.run("rm", "c")
		s.up("", "echo x > /f; sleep 1000")
		s.soon("there", func() bool { return s.try("cp", "c:/f", "/run/f").code == 0 })
		s.same("copied", s.read("/run/f"), "x")
		s.run("cp", "/etc/hosts", "c:/tmp/hosts")
		s.same("copied in", s.sh("cat /tmp/hosts"), s.read("/etc/hosts"))
		s.outside("rm /run/f")
	}},
}
