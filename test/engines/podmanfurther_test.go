package engines

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// bridged says what a machine lacks for podman's own networks.
func bridged() string {
	if _, err := os.Stat("/usr/lib/podman/netavark"); err != nil {
		return "netavark"
	}
	for _, name := range []string{"iptables", "nft"} {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
	}
	return ""
}

var podmanFurther = []chapter{
	{name: "terminal", tell: func(s *story) {
		s.same("exit code of run", fmt.Sprint(s.terminal(33, 111, append([]string{"run", "-it"}, s.container("--rm", "exec sh")[1:]...)...).typed()), "9")
		s.up("", "sleep 1000")
		s.same("exit code of exec", fmt.Sprint(s.terminal(33, 111, "exec", "-it", "c", "sh").typed()), "9")
		s.same("exit code of exec as another", fmt.Sprint(s.terminal(33, 111, "exec", "-it", "--user", "web", "c", "sh").typed()), "9")
		s.run("rm", "--force", "--time", "0", "c")
		s.run("run", "--detach", "-it", "--name", "c", "--network", "none", "--cgroup-parent", "/"+s.cgroup, image, "sh")
		attached := s.terminal(33, 111, "attach", "c")
		attached.send("\n")
		s.see("exit code of attach", fmt.Sprint(attached.typed()))
		s.same("exit code of what was attached to", s.run("wait", "c"), "9")
		s.up2("--user web -t", "ls -l /dev/console; tty; stat -c '%u %g %a' $(tty)")
		s.same("exit code", s.run("wait", "d"), "0")
		s.see("a terminal of a user", s.run("logs", "d"))
	}},
	{name: "bridge", needs: bridged, tell: func(s *story) {
		s.up("--network podman --publish 8080:80", "echo page > /tmp/index.html; httpd -f -p 80 -h /tmp")
		address := s.run("inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "c")
		s.holds("address", s.sh("ip -o address show eth0"), address+"/16")
		s.soon("served", func() bool { return s.fetched(address+":80") == "page" })
		s.same("published", s.fetched("10.88.0.1:8080"), "page")
		s.same("from another", s.inside("--network podman --cap-add NET_RAW", "ping -c 1 -W 5 "+address+" > /dev/null && wget -qO- http://"+address+"/"), "page")
		s.same("from a user namespace", s.inside("--network podman --userns auto --cap-add NET_ADMIN", "ip link set eth0 mtu 1400 && wget -qO- http://"+address+"/"), "page")
	}},
	{name: "notify", tell: func(s *story) {
		socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/run/notify", Net: "unixgram"})
		if err != nil {
			s.stop("%v", err)
		}
		defer os.Remove("/run/notify")
		defer socket.Close()
		// The runtime stands between the container and the socket, and start ends when the container is ready.
		r, err := s.command("", append([]string{"env", "NOTIFY_SOCKET=/run/notify"},
			s.argv(s.container("--detach --name c --sdnotify container --volume "+s.engine.(podman).notify+":/notify:ro", "/notify && echo told; sleep 1000")...)...)...)
		if err != nil || r.code != 0 {
			s.stop("%v, code %d: %s", err, r.code, r.err)
		}
		buffer := make([]byte, 4096)
		var heard string
		_ = socket.SetReadDeadline(time.Now().Add(patience))
		for !strings.Contains(heard, "READY=1") || !strings.Contains(heard, "MAINPID=") {
			n, err := socket.Read(buffer)
			if err != nil {
				s.stop("%v after %q", err, heard)
			}
			heard += string(buffer[:n]) + "\n"
		}
		s.soon("told", func() bool { return s.run("logs", "c") == "told" })
	}},
	{name: "descriptors", tell: func(s *story) {
		r, err := s.command("", "sh", "-c", `exec 3</etc/hostname; exec "$@"`, "sh", "podman", "--runtime", s.engine.(podman).runtime,
			"run", "--rm", "--network", "none", "--cgroup-parent", "/"+s.cgroup, "--preserve-fds", "1", image, "sh", "-c", "cat <&3; ls /proc/self/fd")
		if err != nil {
			s.stop("%v", err)
		}
		s.same("what is handed on", r.out, s.read("/etc/hostname")+"\n0\n1\n2\n3\n4") // the last one is of ls
	}},
	{name: "pod", tell: func(s *story) {
		s.run("pod", "create", "--infra=false", "--name", "p")
		defer s.run("pod", "rm", "--force", "p")
		s.run("run", "--detach", "--pod", "p", "--name", "c", "--network", "none", "--cgroup-parent", "/"+s.cgroup, image, "sleep", "1000")
		s.same("running", s.run("pod", "ps", "--format", "{{.Status}}"), "Running")
		s.run("pod", "pause", "p")
		s.same("state", s.show(".State.Status"), "paused")
		s.run("pod", "unpause", "p")
		s.run("pod", "kill", "p")
		s.same("exit code", s.run("wait", "c"), "137")
	}},
	{name: "seccomp", tell: func(s *story) {
		s.outside(`printf '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}' > /run/profile.json`)
		s.holds("what a profile forbids", s.inside("--security-opt seccomp=/run/profile.json", "mkdir /x 2>&1; true"), "Operation not supported")
		s.outside("rm /run/profile.json")
		s.same("podman's own", s.inside("", "grep Seccomp: /proc/self/status"), "Seccomp:\t2")
	}},
	{name: "hooks", tell: func(s *story) {
		s.outside(`mkdir -p /run/hooks; printf '#!/bin/sh\ncat >> /run/hooks.log; echo >> /run/hooks.log; echo $1 >> /run/hooks.log\n' > /run/hooks/h; chmod 755 /run/hooks/h`)
		for _, stage := range []string{"prestart", "createRuntime", "createContainer", "poststart", "poststop"} {
			s.outside(fmt.Sprintf(`printf '{"version":"1.0.0","hook":{"path":"/run/hooks/h","args":["h","%s"]},"when":{"always":true},"stages":["%s"]}' > /run/hooks/%s.json`, stage, stage, stage))
		}
		r := s.try(append([]string{"--hooks-dir", "/run/hooks"}, s.container("--rm", "true")...)...)
		s.same("exit code", fmt.Sprint(r.code, r.err), "0")
		var stages []string
		for line := range strings.Lines(s.read("/run/hooks.log")) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '{' {
				stages = append(stages, line)
			} else if line != "" {
				s.holds("state", line, `"ociVersion"`, `"bundle"`, `"status"`)
			}
		}
		s.outside("rm -r /run/hooks /run/hooks.log")
		s.see("stages", strings.Join(stages, " "))
	}},
	{name: "inspect", tell: func(s *story) {
		s.up("--annotation a=b --label l=m --memory 64m --pids-limit 50", "sleep 1000")
		s.same("runtime", s.run("inspect", "--format", "{{.OCIRuntime}}", "c"), s.engine.(podman).runtime)
		s.same("running", s.run("ps", "--filter", "status=running", "--format", "{{.Names}}"), "c")
		s.holds("version", s.outside(s.engine.(podman).runtime+" --version"), "version", "spec: 1.")
		s.run("kill", "--signal", "KILL", "c")
		s.run("wait", "c")
		s.same("after its end", s.run("ps", "--all", "--filter", "status=exited", "--format", "{{.Names}}"), "c")
	}},
}

// fetched is a page fetched from the node; "" if it cannot be. That is done by the story's thread: a connection to an address needs no other.
func (s *story) fetched(address string) string {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return ""
	}
	text, _ := io.ReadAll(conn)
	_, page, _ := strings.Cut(string(text), "\r\n\r\n")
	return strings.TrimSpace(page)
}

// up2 starts the container d in the background.
func (s *story) up2(flags, script string) {
	s.run(s.container("--detach --name d "+flags, script)...)
}
