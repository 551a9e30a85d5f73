#!/bin/bash
# Runs root tests in a Debian 13 guest: Linux 6.12, systemd as process 1, cgroup v2 and nothing else.
#
# usage: test/vm/run.sh [[plain:|hardened:]PACKAGES[:PATTERN]...]    PATTERN is for -test.run; default: see below
#   plain:   the tests do not see systemd, as on a machine with cgroup v2 and another process 1
#   hardened:   the tests have what reconciler.service of packaging/systemd leaves an agent, and what they start has to have all
#   CACHE    where the image is kept (.cache/vm)
#   SMP      processors (2): one never panics, see below
#   TIMEOUT  seconds until the guest is given up (2400)   KEEP=1   leaves the payload and the console log
#   SKIP     a pattern of tests to leave out (see below)
#   RECONCILER_BINARY   the program that tests run, instead of one built now
#   COMMAND  what a shell runs in the guest before the tests, with the program as `reconciler`; alone, when there are no PACKAGES
#
# How it works. Hardware virtualisation is not assumed: the processor is emulated (TCG), about ten times slower than the
# machine. build-image.sh makes the image once; it is never written to (snapshot=on). The tests are built here, static, and
# put with the sources beside them (testdata, manifests) on a second disk, whose run.sh the guest runs as root. Its output
# comes back through a virtio port to this script's stdout; the kernel's console goes to a file, whose end is shown when
# the guest dies. The exit status is 0 only if the guest says that every test passed.
#
# With a thread for each processor, QEMU 7.2 may let one run into the int3 of a jump label that the other's kernel is
# patching, and the kernel panics ("Oops: int3"). One processor (SMP=1) takes twice the time, so the guest's unit keeps the
# labels of cpuset and cpu.max switched on throughout, and after a panic the guest is booted again, twice at most, for
# the packages that have not ended. A test that fails is not tried again.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0 CACHE=${CACHE:-$PWD/.cache/vm}
smp=${SMP:-2}
. test/vm/guest.sh
say() { echo "vm: $*" >&2; }

scripts/deps.sh vm
test/vm/build-image.sh >/dev/null
work=$(mktemp -d "$CACHE/run.XXXXXX")
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT

say "building the tests"
# The default is what a kernel of another age, cgroup v2 and systemd can change, in about thirteen minutes. All the rest has
# passed here by hand too, and is left out because it takes long and says little that is not said elsewhere:
#   pkg/linux                attacks, hostile root file systems, promises, races, storms, crashes at each step: 15 minutes
#   cmd/reconciler/ocicmd    hooks, terminals, users, crashes of the runtime: 5 minutes
#   internal/e2e             the agent killed 50 times among 50 containers: 3 minutes
#   cmd/reconciler           the command line on a node, and the examples: 5 minutes
#   pkg/machine, pkg/checkpoint/criu   images: each flips the jump labels of perf events (criu's breakpoints) and of netfilter, so they have one
#                            processor, see above, and `make vm-test` runs some of them so
#   pkg/linux/oci, pkg/linux/hook: no kernel in them that others do not try
# One test is of no use here: TestExecTraced finds nothing that it must not, and nor does its control, which has to win a race against an emulated
# processor. Never tried here: package keeper, whose subject on an older kernel than Linux 6.15 is another one; sweeps that kill at every system call and
# campaigns, which take hours; test/runtimetools and test/seccomp, which need go, runc or libseccomp beside them, and are about this program's
# answers, not about the node's.
tested() {
	# One line a subject: the life, limits and figures, devices and security, namespaces and mounts, networks and groups, exec and attach, the library with its examples, hooks, and who attacks execs.
	node='TestRefusals|TestExit$|TestLife|TestLayer|TestInit|TestLostRecord|TestBroken|TestFeatures|TestParentGoes|TestAgentAndKeeperEnd'
	node="$node|TestEachLimitLive|TestDrift|TestOutOfMemory|TestStats|TestEvents|TestPressure|TestAParentOfTheOperators|TestControllersThatSystemdKeeps"
	node="$node|TestDevice|TestAppArmor|TestLandlock$|TestProfiles|TestUnsupportedAttributes"
	node="$node|TestInside|TestDescriptorsInside|TestNamespaces|TestPrivateUsers$|TestMappedUsers|TestBaseNone"
	node="$node|TestNetworkModes|TestBridge|TestSandbox|TestGroup"
	node="$node|TestExecIsInside|TestExecEnds|TestExecTerminal|TestExecAmongPrivateUsers|TestExecLeavesNothing|TestAttach|TestTerminal"
	node="$node|Example|TestFollow|TestContainer$|TestHooks$|TestHookFails|TestSeccompNotify$|TestTinyMemory|TestExecBesideTracer|TestExecSiblings"
	echo "./pkg/linux:$node"
	# An agent that lacks what its unit takes from it.
	# The other sections of TestPromise ask for filters as a debugger does, and the deep looks of TestDrift enter containers: that is denied to these tests themselves.
	echo 'hardened:./pkg/linux:TestPromise/^[^SO]|TestInside|TestHooks|TestPrivateUsers$|TestBridge$|TestSeccompNotify$|TestAgentAndKeeperEnd|TestDriftOfNetwork'
	# As on a machine with cgroup v2 and without systemd.
	echo 'plain:./pkg/linux:TestEachLimitLive|TestAParentOfTheOperators|TestOutOfMemory|TestStats$|TestGroupFreezes|TestDevicesOfAContainer|TestExecIsInside'
	for package in attribute capability cgroup/... feature landlock log mount namespace network/... proc process/... rootfs seccomp; do echo "./pkg/linux/$package"; done
	echo './pkg/machine:TestBackend/^[^i]' # all laws but those of images
	echo './cmd/reconciler/ocicmd:TestLife|TestSystemdScope|TestScopeIsStopped|TestRun|TestOccupiedCgroup'
	echo './internal/e2e:TestLifecycle|TestKeeperKilled|TestJournal'
}
# A shell that is just about to fork blocks its signals for a moment, which here is long enough to count as heeding them.
skip=${SKIP-TestBackend/a_signal_without_a_handler}
[ $# -gt 0 ] || [ -n "${COMMAND:-}" ] || set -- $(tested)
module=$(go list -m)
payload=$work/payload
mkdir -p "$payload/tree"
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -cf - -T - 2>/dev/null | tar -xf - -C "$payload/tree"
if [ -n "${RECONCILER_BINARY:-}" ]; then
	cp "$RECONCILER_BINARY" "$payload/reconciler"
else
	go build -trimpath -ldflags '-s -w' -o "$payload/reconciler" ./cmd/reconciler
fi
printf '%s\n' "${COMMAND:-true}" >"$payload/command"
# What tests build by themselves where go is.
mkdir "$payload/built"
for program in pkg/linux/testdata/*/main.go pkg/machine/testdata/*/main.go; do
	go build -trimpath -ldflags '-s -w' -o "$payload/built/$(basename "$(dirname "$program")")" "./$(dirname "$program")"
done
go build -trimpath -ldflags '-s -w -X main.version=another' -o "$payload/built/another/reconciler" ./cmd/reconciler
touch "$payload/packages"
for argument; do
	how=systemd
	case $argument in
	plain:* | hardened:*) how=${argument%%:*} argument=${argument#*:} ;;
	esac
	packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' "${argument%%:*}")
	pattern=.
	[ "${argument#*:}" = "$argument" ] || pattern=${argument#*:}
	for package in $packages; do
		dir=${package#"$module/"}
		go test -c -trimpath -ldflags '-s -w' -o "$payload/tree/$dir/package.test" "$package"
		echo "$dir $how $pattern" >>"$payload/packages"
	done
done

cat >"$payload/run.sh" <<RUN
#!/bin/bash
# In the guest. RECONCILER_SLOW scales the deadlines of the tests.
export RECONCILER_SLOW=10 RECONCILER_BINARY=/payload/reconciler RECONCILER_BUILT=/payload/built
uname -srvm
systemctl --version | head -n 1
stat -fc 'cgroup: %T' /sys/fs/cgroup
PATH=/payload:\$PATH bash ./command || { echo "FAIL: the command exits \$?"; exit 1; }
systemd() { "\$@"; }
hardened() {
	local words=()
	while read -r word; do words+=(-p "\$word"); done < <(sed -n '/^# What needs a mount namespace/,/^\[Install\]/p' /payload/tree/packaging/systemd/reconciler.service | grep '^[A-Z]')
	systemd-run --quiet --wait --pipe --collect --same-dir -E HOME -E PATH -E RECONCILER_SLOW -E RECONCILER_BINARY -E RECONCILER_BUILT "\${words[@]}" "\$@"
}
plain() { unshare --mount sh -c 'mount -t tmpfs none /run/systemd && exec "\$@"' sh "\$@"; }
failed=
while read -r dir how pattern; do
	echo "=== \$dir \$how"
	begin=\$SECONDS
	if (cd "tree/\$dir" && \$how ./package.test -test.v -test.count=1 -test.timeout=30m -test.run="\$pattern" -test.skip='$skip'); then
		echo "ok  	\$dir \$how	\$((SECONDS - begin))s"
	else
		echo "FAIL	\$dir \$how	\$((SECONDS - begin))s"
		failed="\$failed \$dir:\$how"
	fi
done <packages
[ -z "\$failed" ] || { echo "FAIL:\$failed"; exit 1; }
echo PASS
RUN
chmod 755 "$payload/run.sh"

# boot runs the packages of the payload in a guest; the output is shown and kept.
boot() {
	disk "$payload" "$work/payload.img"
	guest "$work/payload.img" "$work/console" max "$smp" | tee "$work/boot"
}

begin=$SECONDS
all=$(wc -l <"$payload/packages")
for attempt in 1 2 3; do
	say "booting the guest; $(wc -l <"$payload/packages") packages"
	status=0
	boot || status=$?
	cat "$work/boot" >>"$work/output"
	! grep -q '^vm: exit ' "$work/boot" || break
	say "error: the guest did not report$([ "$status" != 124 ] || echo " in ${TIMEOUT:-2400} s"); the end of its console:"
	grep -avE '^ *$' "$work/console" | tail -n 80 >&2 || true
	grep -aq 'Kernel panic' "$work/console" || break
	awk -F '\t' '$1 ~ /^(ok  |FAIL)$/ {print $2}' "$work/boot" >"$work/ended"
	awk 'FILENAME == ARGV[1] {ended[$0]; next} !($1 " " $2 in ended)' "$work/ended" "$payload/packages" >"$work/left"
	cp "$work/left" "$payload/packages"
	[ -s "$work/left" ] || break
done

count() { grep -cE "^ *--- $1" "$work/output" || true; }
# What is lacking, how often, and the end of its reason.
grep -ohE 'skip: .*' "$work/output" | sed -E 's/^(skip: [^:]*).*: ([^:]*)$/\1: \2/' | sort | uniq -c | sed 's/^/vm: /' >&2 || true
say "$(count PASS) passed, $(count FAIL) failed, $(count SKIP) skipped in $((SECONDS - begin)) s"
grep -q '^vm: exit 0' "$work/boot" && [ "$(grep -c '^ok  ' "$work/output" || true)" = "$all" ]
