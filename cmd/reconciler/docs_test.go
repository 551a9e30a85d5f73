package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed31d4122e/reconciler/internal/kerneltest"
)

// notHere are the reasons for which a block of the documentation is not run by TestDocs, and what is run in its place.
var notHere = map[string]string{
	"it makes this page's environment": "newDesk makes the environment likewise",
	"needs systemd":                    "test/vm/run.sh and test/vm/package.sh",
	"needs a package":                  "test/vm/package.sh and test/packaging",
	"needs two machines":               "test/vm/reboot.sh",
	"a form, not a command":            "commands of that form, on the same page or in a guide",
}

// TestDocs runs the commands of each page of the documentation in order, as root on a node of its own, and compares what they say with what the page
// shows. The node is a mount, pid and network namespace in which the agent's directories are where a user has them.
func TestDocs(t *testing.T) {
	kerneltest.Root(t)
	for _, program := range []string{"bash", "curl", "git", "jq", "nft", "setpriv", "ssh-keygen"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skip: needs what readers have: %v", err)
		}
	}
	rootfs := filepath.Join(t.TempDir(), "rootfs")
	if out, err := exec.Command("../../scripts/rootfs.sh", rootfs).CombinedOutput(); err != nil {
		t.Fatalf("cannot make a root file system: %v\n%s", err, out)
	}
	run, left := 0, map[string]int{}
	for _, page := range docPages(t) {
		commands := 0
		for _, b := range page.blocks {
			reason, leave := b.left()
			switch {
			case leave && notHere[reason] == "":
				t.Errorf("%s:%d: %q is no reason that is known", page.path, b.line, reason)
			case leave:
				left[reason]++
			case b.runs() && !b.hidden:
				commands++
			}
		}
		if commands > 0 && page.environment == "" {
			t.Errorf("%s has commands and does not say in which environment they are run", page.path)
		}
		if page.environment == "" {
			continue
		}
		run += commands
		t.Run(strings.TrimSuffix(strings.TrimPrefix(page.path, "docs/"), ".md"), func(t *testing.T) {
			t.Parallel()
			newDesk(t, rootfs, page).play(t)
		})
	}
	t.Logf("%d blocks are run", run)
	for _, reason := range slices.Sorted(maps.Keys(left)) {
		t.Logf("%d blocks are not: %s; in their place: %s", left[reason], reason, notHere[reason])
	}
}

// needs are the features of a node without which a page's commands do not say what it shows.
func (p docPage) needs() (features []string) {
	for _, b := range p.blocks {
		text := strings.Join(b.lines, "\n")
		if _, left := b.left(); left {
			continue
		}
		if b.runs() && regexp.MustCompile(`reconciler (checkpoint|restore) `).MatchString(text) {
			features = append(features, "checkpoint")
		}
		if strings.Contains(text, "mode: Bridge") {
			features = append(features, "bridge", "nftables")
		}
	}
	return features
}

// desk is a shell on a node, at which a page is followed.
type desk struct {
	page   docPage
	dir    string // of what is exchanged with the shell
	parent string // the cgroup that is called reconciler in the page
	in     io.Writer
	out    *bufio.Reader
	log    strings.Builder
	grown  int // by how many lines update made the page longer
}

// deskScript makes the node: what a page may change is in memory and in namespaces, and the machine's root file system is read-only. Then it runs what stands in the file command, once for each line it reads, and
// answers with the exit code.
const deskScript = `set -e
exchange=$1 parent=$2 program=$3
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /mnt
cp -a /etc /mnt/etc
mount --bind /mnt/etc /etc
mkdir /mnt/bin /mnt/work
mount -t overlay -o lowerdir=/usr/local/bin,upperdir=/mnt/bin,workdir=/mnt/work overlay /usr/local/bin
umount -l /mnt
for d in /run /var/lib /var/log /srv /home /root /var/tmp; do mount -t tmpfs -o mode=755 tmpfs $d; done
mkdir /run/exchange /run/bin /run/home
mount --bind $exchange /run/exchange
mount --bind $program /run/bin
mount -t tmpfs tmpfs /tmp
exchange=/run/exchange PATH=/run/bin:$PATH
mount -o remount,bind,ro /
ip link set lo up
mkdir -p /etc/reconciler/manifests.d /etc/reconciler/config.yaml.d /var/lib/reconciler-demo
printf 'apiVersion: reconciler/v1alpha1\nkind: AgentConfig\nspec: {cgroupParent: %s}\n' $parent >/etc/reconciler/config.yaml.d/00-test.yaml
cp -a $exchange/rootfs /var/lib/reconciler-demo/rootfs
export HOME=/run/home
cp -r $exchange/repository/. $HOME
cd $HOME
echo 3000 >/proc/sys/kernel/ns_last_pid
set +e
while read -r how; do
	if [ "$how" = beside ]; then
		text=$(<$exchange/command)
		(eval "$text") >>$exchange/beside 2>&1 </dev/null &
	else
		. $exchange/command >$exchange/output 2>&1 </dev/null
	fi
	echo $? >&3
done
`

func newDesk(t *testing.T, rootfs string, page docPage) *desk {
	t.Helper()
	d := &desk{page: page, dir: t.TempDir(), parent: kerneltest.Parent(t)}
	must(t, exec.Command("cp", "-a", rootfs, filepath.Join(d.dir, "rootfs")).Run())
	for _, name := range []string{"manifests", "examples"} {
		must(t, os.CopyFS(filepath.Join(d.dir, "repository", name), os.DirFS("../../"+name)))
	}
	cmd := exec.Command("bash", "--norc", "-c", deskScript, "bash", d.dir, d.parent, filepath.Dir(binary))
	cmd.Env = append(os.Environ(), "TZ=UTC", "RECONCILER_SOCKET=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC, Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	must(t, err)
	read, write, err := os.Pipe()
	must(t, err)
	cmd.ExtraFiles = []*os.File{write}
	cmd.Stdout, cmd.Stderr = &d.log, &d.log
	cmd.WaitDelay = patience
	must(t, cmd.Start())
	must(t, write.Close())
	d.in, d.out = in, bufio.NewReader(read)
	t.Cleanup(func() { // the end of process 1 is the end of all
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = read.Close()
	})
	return d
}

// environments are what a page can begin with, by the commands that make it.
var environments = map[string]string{
	"node":  "true",                                               // the program, a root file system, and directories
	"agent": "reconciler run >/run/home/.agent.log 2>&1 & disown", // an agent on /etc/reconciler/manifests.d
	"demo":  "ln -s $PWD/manifests /var/lib/reconciler-demo/manifests.d; reconciler run --manifests /var/lib/reconciler-demo/manifests.d >/run/home/.agent.log 2>&1 & disown",
}

func (d *desk) play(t *testing.T) {
	begin, ok := environments[d.page.environment]
	if !ok {
		t.Fatalf("%s: there is no environment %q", d.page.path, d.page.environment)
	}
	for _, feature := range d.page.needs() {
		if out, code, err := d.run("reconciler doctor | grep '^"+feature+" ' | grep -v ' ok '", ""); err != nil || code == 0 {
			t.Skipf("skip: needs %s: %s, %v", feature, out, err)
		}
	}
	if d.page.environment != "node" {
		begin += "\nuntil [ -S /run/reconciler/reconciler.sock ]; do sleep 0.02; done"
	}
	d.must(t, docCommand{text: begin}, "")
	for _, b := range d.page.blocks {
		path, isFile := strings.CutPrefix(b.mark, "file: ")
		_, left := b.left()
		switch {
		case left:
		case isFile:
			d.must(t, docCommand{line: b.line, text: fmt.Sprintf("cat >%[1]s.new <<'END OF FILE'\n%[2]s\nEND OF FILE\nmv %[1]s.new %[1]s", path, strings.Join(b.lines, "\n"))}, "")
		case b.runs():
			how := ""
			if b.mark == "run: beside" {
				how = "beside"
			}
			for _, c := range b.commands() {
				d.must(t, c, how)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// looks is what a command begins with that changes nothing: it is repeated until it says what the page shows, as a reader would.
var looks = regexp.MustCompile(`^(reconciler (get|describe|events|logs|plan|diff|sources|top|ps|doctor|config|debug|rollout (status|history)|checkpoint ls|wait)|curl|cat|ls|grep|nsenter|jq|test|\w+=\$\()`)

// must runs a command and fails the test if it does not say what the page shows. Where the page shows nothing it has to succeed.
func (d *desk) must(t *testing.T, c docCommand, how string) {
	t.Helper()
	var output string
	var code int
	var err error
	began := time.Now()
	for end := began.Add(kerneltest.Patient(patience)); ; time.Sleep(50 * time.Millisecond) {
		output, code, err = d.run(c.text, how)
		good := len(c.output) == 0 && code == 0 || len(c.output) > 0 && shows(c.output, output)
		if err == nil && (good || how == "beside") {
			return
		}
		if err == nil && len(c.output) > 0 && os.Getenv("UPDATE_DOCS") != "" && (time.Since(began) > time.Second || !looks.MatchString(c.text)) {
			d.update(t, c, output)
			return
		}
		if err != nil || !looks.MatchString(c.text) || strings.Contains(c.text, "-X POST") || time.Now().After(end) {
			break
		}
	}
	agent, _, _ := d.run("tail -n 30 /run/home/.agent.log /run/exchange/beside 2>/dev/null", "")
	t.Errorf("%s:%d: $ %s\nexits with %d, %v, and says\n%s\nand not what the page shows:\n%s\nthe agent: %s%s",
		d.page.path, c.line, c.text, code, err, output, strings.Join(c.output, "\n"), agent, d.log.String())
}

// run has the shell run a command, and gives what it wrote and its exit code.
func (d *desk) run(text, how string) (output string, code int, err error) {
	if err := os.WriteFile(filepath.Join(d.dir, "command"), []byte(text+"\n"), 0o600); err != nil {
		return "", 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), kerneltest.Patient(2*patience))
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		if _, err := fmt.Fprintln(d.in, how); err != nil {
			answer <- err
			return
		}
		line, err := d.out.ReadString('\n')
		if err == nil {
			_, err = fmt.Sscan(line, &code)
		}
		answer <- err
	}()
	select {
	case <-ctx.Done():
		return "", 0, ctx.Err()
	case err = <-answer:
	}
	text2, _ := os.ReadFile(filepath.Join(d.dir, "output"))
	return strings.ReplaceAll(string(text2), d.parent, "reconciler"), code, err
}

// update puts into the page what a command says, with UPDATE_DOCS=1: look at the difference before it is committed.
func (d *desk) update(t *testing.T, c docCommand, output string) {
	t.Helper()
	path := "../../" + d.page.path
	text, err := os.ReadFile(path)
	must(t, err)
	lines := strings.Split(string(text), "\n")
	at := c.line + strings.Count(c.text, "\n") + d.grown // the first line of output, counted from 0
	said := strings.Split(strings.TrimRight(output, "\n"), "\n")
	lines = slices.Replace(lines, at, at+len(c.output), said...)
	d.grown += len(said) - len(c.output)
	must(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644))
}
