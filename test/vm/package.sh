#!/bin/bash
# The package in a guest, as docs/systemd.md has it: installed, upgraded, downgraded, removed; the agent restarted, stopped and started, killed, reloaded; the keeper
# killed; systemd reloaded; the machine shut down and booted again. Containers run on through all of it but the last, through which they go in an image.
# It begins with the package of the release that test/vm/released names, from which it is upgraded: nothing of what runs, is paused or is in an image changes.
#
# usage: test/vm/package.sh    needs root here; CACHE and TIMEOUT as in run.sh
#
# Of this tree two packages are built, of two versions; that of the release is built of its own commit. The guest boots twice, with one processor, see reboot.sh; what it keeps is on the payload's disk.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0 CACHE=${CACHE:-$PWD/.cache/vm} TIMEOUT=${TIMEOUT:-1200}
. test/vm/guest.sh
say() { echo "vm: $*" >&2; }
[ "$(id -u)" = 0 ] || exec sudo CACHE="$CACHE" TIMEOUT="$TIMEOUT" PATH="$PATH" test/vm/package.sh

scripts/deps.sh vm
test/vm/build-image.sh >/dev/null
work=$(mktemp -d "$CACHE/package.XXXXXX")
trap '[ -n "${KEEP:-}" ] || rm -rf "$work"' EXIT

payload=$work/payload
mkdir -p "$payload"/{manifests,log,state,rootfs/{bin,tmp}}
for version in 1.0.0 1.0.1; do
	make -s deb OUT="$payload" VERSION=$version >/dev/null
done
read -r released commit <test/vm/released
mkdir "$work/released"
git archive "$commit" | tar -x -C "$work/released"
make -s -C "$work/released" deb OUT="$payload" VERSION="$released" >/dev/null
rm -rf "$work/released"
cp "$(command -v busybox)" "$payload/rootfs/bin/busybox"
for name in sh cat sleep grep head ls readlink; do ln -s busybox "$payload/rootfs/bin/$name"; done
cp packaging/systemd/reconciler.service "$payload/"

manifest() { # manifest NAME SCRIPT WORDS: a container
	cat >"$payload/manifests/$1.yaml" <<-YAML
		apiVersion: reconciler/v1alpha1
		kind: Container
		metadata: {name: $1}
		spec:
		  rootfs: {path: /payload/rootfs}
		  command: [/bin/sh, -c, '$2']
		  mounts: [{type: bind, source: /run/signs, destination: /tmp, options: [bind, ro]}]
		${3:-}
	YAML
}
# One that counts, one that ends when it is told to, one that is paused, one that goes through the reboot, one that waits in an image, and one that may do anything and says what it has.
manifest lines 'trap "exit 0" TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2 & wait $!; done'
manifest ends 'while [ ! -e /tmp/end ]; do sleep 0.2; done; echo last words; exit 7' '  restart: {policy: Never}'
manifest paused 'while :; do sleep 1; done' '  state: Paused'
manifest counter 'i=0; while :; do i=$((i+1)); echo count $i; sleep 0.2; done' '  checkpoint: {onShutdown: true, restoreOnStart: Latest, maxPause: 30s}' # the guest is ten times slower
manifest saved 'i=0; while :; do i=$((i+1)); echo saved $i; sleep 0.2; done'
manifest bare 'cat /proc/1/status; echo limits; cat /proc/1/limits; cat /proc/1/oom_score_adj; while :; do sleep 1; done' \
	'  security: {capabilities: {add: [ALL]}, allowNewPrivileges: true, seccomp: Unconfined}'
# One that counts in the journal, of which the first release knows nothing.
mkdir "$payload/later"
manifest says 'trap "exit 0" TERM; i=0; while :; do i=$((i+1)); echo say $i; [ $((i % 5)) -gt 0 ] || echo oops $i >&2; sleep 0.2 & wait $!; done' '  logs: {driver: Journald}'
mv "$payload/manifests/says.yaml" "$payload/later/"

cat >"$payload/lib.sh" <<'LIB'
step() { echo "== $SECONDS s: $*"; }
fail() { echo "FAIL: $*"; systemctl status --no-pager -n 0 reconciler reconciler-keeper 2>&1; journalctl -q --no-pager -u reconciler -u reconciler-keeper -n 30; reconciler get || true; exit 1; }
until_ok() { # until_ok WHAT COMMAND...: waits until the command succeeds
	local what=$1
	shift
	for _ in $(seq 300); do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.5
	done
	fail "still not: $what"
}
pid() { reconciler get "$1" -o json | sed -n 's/^ *"pid": \([0-9]*\).*/\1/p' | head -n 1; }
pids() { for name in lines paused counter bare; do echo "$name $(pid $name)"; done; }
same() { # nobody has another process than before, and no line of the one that counts is lost, twice or torn
	local now
	now=$(pids)
	[ "$now" = "$before" ] || fail "$1: processes are $now, were $before"
	reconciler logs lines | awk '$0 != "line " ++n {print "line", n, "is", $0; exit 1}' || fail "$1: a line is lost"
	for name in lines counter bare; do [ -d "/proc/$(pid $name)" ] || fail "$1: $name is gone"; done
	echo "   $1: the same processes, $(reconciler logs lines | wc -l) lines and none lost"
}
whole() { # all that an upgrade must not touch: what is in the kernel, what the agent says, and the images
	local name group
	for name in lines paused counter bare; do
		group=/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(pid $name)/cgroup")
		echo "$name began at $(cut -d ' ' -f 22 "/proc/$(pid $name)/stat")," "in $group: frozen $(cat "$group/cgroup.freeze"), memory $(cat "$group/memory.max"), tasks $(cat "$group/pids.max")"
	done
	for name in lines paused counter bare saved ends; do
		reconciler get $name -o json | grep -E '"(instance|pid|phase|restarts|startedAt|generation|hash|id|image)":'
	done
	reconciler checkpoint ls -o name
}
unchanged() { # unchanged WHAT: since it was written to "whole"
	whole >whole.now
	diff whole whole.now || fail "$1 changes something"
	same "$1"
}
agent() { systemctl show -P MainPID reconciler; }
keeper() { systemctl show -P MainPID reconciler-keeper; }
another() { local now; now=$($1); [ "$now" != 0 ] && [ "$now" != "$2" ]; }
ready() { until_ok "the agent is ready" systemctl --quiet is-active reconciler && until_ok "the agent answers" reconciler get; }
LIB

cat >"$payload/run.sh" <<'RUN'
#!/bin/bash
set -euo pipefail
cd /payload
. ./lib.sh
boot=$(cat step)
mkdir -p /run/signs /var/lib/reconciler /var/log/reconciler
chmod 700 state
mount --bind state /var/lib/reconciler
mount --bind log /var/log/reconciler
# The payload is not to end the guest while that shuts down.
mkdir -p /run/systemd/system/payload.service.d
printf '[Unit]\nSuccessAction=none\nFailureAction=none\n' >/run/systemd/system/payload.service.d/reboot.conf
[ "$boot" = first ] || rm /run/systemd/system/payload.service.d/reboot.conf
systemctl daemon-reload
trap 'systemctl poweroff --force --force' EXIT # should this fail, nobody else ends the guest
[ "$boot" = first ] || trap - EXIT

step "installs the package"
first=1.0.0
[ "$boot" = second ] || first=$(cat released)
dpkg -i reconciler_"$first"_*.deb
[ "$(systemctl is-enabled reconciler)" = disabled ] && [ "$(systemctl is-active reconciler)" = inactive ] || fail "it runs without being asked to"
cp manifests/*.yaml /etc/reconciler/manifests.d/
systemctl enable --now reconciler
ready
reconciler wait --all --timeout 2m || fail "not all is as the manifests say"
ls -l /run/reconciler/reconciler.sock
[ "$(stat -c '%a %U %G' /run/reconciler/reconciler.sock)" = '660 root reconciler' ] || fail "the socket is another's"

if [ "$boot" = second ]; then
	step "has booted again"
	reconciler wait counter --for=condition=Restored --timeout 1m || { # why it began anew
		reconciler describe counter
		reconciler checkpoint ls counter
		fail "the counter does not begin from its image"
	}
	reconciler logs counter | awk '$0 != "count " ++n {print "count", n, "is", $0; exit 1}' || fail "the counter has begun anew"
	[ "$(reconciler logs counter | wc -l)" -gt "$(cat counted)" ] || fail "it does not go on after $(cat counted)"
	echo "   it went on after $(cat counted)"

	step "is ordered before the unit that brings containers down"
	for unit in reconciler.scope reconciler-keeper.service; do
		systemctl show -P Before $unit | grep -qw reconciler-shutdown.service || fail "$unit is before $(systemctl show -P Before $unit)"
	done

	step "a removal that is given up"
	kept=$(pid lines)
	/var/lib/dpkg/info/reconciler.prerm remove
	[ "$(systemctl is-active reconciler)" = inactive ] || fail "the agent runs while it is removed"
	/var/lib/dpkg/info/reconciler.postinst abort-remove
	ready
	[ "$(systemctl is-enabled reconciler)" = enabled ] && systemctl --quiet is-active reconciler.socket && systemctl --quiet is-active reconciler-shutdown || fail "not all runs again"
	[ "$(pid lines)" = "$kept" ] || fail "a removal that is given up touches a container"

	step "removes the package"
	dpkg -r reconciler 2>removed
	cat removed
	[ -z "$(find /etc/systemd/system -name 'reconciler*')" ] || fail "it stays enabled: $(find /etc/systemd/system -name 'reconciler*')"
	grep -q 'systemctl stop reconciler.scope' removed || fail "it does not say how to end what runs"
	[ -d "/proc/$kept" ] && [ "$(systemctl is-active reconciler)" = inactive ] || fail "a removal ends containers, or leaves the agent"
	dpkg -P reconciler 2>purged
	grep -q 'stay' purged && [ -e state/inventory ] || fail "a purge removes what a container is in the middle of"
	dpkg -i reconciler_1.0.0_*.deb
	cp manifests/*.yaml /etc/reconciler/manifests.d/
	systemctl enable --now reconciler
	ready
	[ "$(pid lines)" = "$kept" ] || fail "an agent that is installed again does not take over"
	systemctl stop reconciler-shutdown
	[ "$(pid lines)" = "$kept" ] || fail "reconciler-shutdown brings down what runs though the node does not go down"
	dpkg -r reconciler
	systemctl kill --signal=SIGKILL reconciler.scope # a stop would wait for those who do not heed SIGTERM
	until_ok "the scope ends with what was in it" sh -c '! systemctl --quiet is-active reconciler.scope'
	[ ! -d "/proc/$kept" ] || fail "the scope has not ended what is in it"
	umount /var/lib/reconciler /var/log/reconciler
	dpkg -P reconciler
	[ ! -e /var/lib/reconciler ] && [ ! -e /var/log/reconciler ] && [ ! -e /etc/reconciler/config.yaml ] || fail "a purge leaves something: $(ls -d /var/*/reconciler /etc/reconciler/*)"
	step "passed"
	exit 0
fi

step "an upgrade from the first release, and back"
reconciler checkpoint saved --stop
reconciler checkpoint counter
before=$(pids)
whole >whole
cat whole
for version in 1.0.0 "$first" 1.0.0; do
	dpkg -i reconciler_"$version"_*.deb
	[ "$(reconciler version -o json | grep -cF "\"$version\"")" = 2 ] || fail "program and agent are not of version $version: $(reconciler version)"
	unchanged "from the one to the other, $version,"
done
reconciler start saved
reconciler wait saved --for=condition=Restored --timeout 1m || fail "the image of the first release is not gone on from: $(reconciler describe saved)"
reconciler logs saved | awk '$0 != "saved " ++n {print "saved", n, "is", $0; exit 1}' || fail "it has begun anew"

cp later/*.yaml /etc/reconciler/manifests.d/
reconciler wait --applied /etc/reconciler/manifests.d/ --timeout 1m || fail "not all is as the manifests say"
step "is hardened as it says"
systemd-analyze --no-pager security reconciler.service | tail -n 1
systemd-analyze --no-pager security --threshold=65 reconciler.service >/dev/null || fail "systemd-analyze security says more than 6.5"
agent=$(agent) keeper=$(keeper)
status() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
full=$(status 1 CapBnd)
[ "$(status "$agent" NoNewPrivs) $(status "$agent" Seccomp)" = '1 2' ] && [ "$(status "$agent" CapBnd)" != "$full" ] || fail "the agent is not confined: the test sees nothing"
for who in "$keeper" "$(pid bare)"; do
	[ "$(status "$who" NoNewPrivs) $(status "$who" Seccomp) $(status "$who" Seccomp_filters) $(status "$who" CapBnd)" = "0 0 0 $full" ] ||
		fail "process $who is confined as the agent is: $(grep -E 'NoNew|Seccomp|CapBnd' "/proc/$who/status")"
done
[ "$(readlink "/proc/$keeper/ns/mnt")" = "$(readlink /proc/1/ns/mnt)" ] || fail "the keeper has mounts of its own"
[ "$(cat "/proc/$(pid bare)/oom_score_adj")" = 0 ] && [ "$(status "$(pid bare)" Umask)" = 0022 ] || fail "score or mask of the agent"
plain=$(systemd-run --quiet --wait --pipe grep 'open files' /proc/self/limits)
[ "$(grep 'open files' "/proc/$(pid bare)/limits")" = "$plain" ] || fail "a container may open $(grep 'open files' "/proc/$(pid bare)/limits"), a service $plain"
reconciler exec bare -- /bin/sh -c ': </dev/null && : >/dev/null' || fail "a container cannot open /dev/null"
: </dev/kmsg # which the node can open, so that the next one sees something
forbidden=$(reconciler exec bare -- /bin/sh -c '/bin/busybox mknod /dev/forbidden c 1 11 && : </dev/forbidden' 2>&1) && fail "a container opens a device that is not its own"
grep -q 'Operation not permitted' <<<"$forbidden" || fail "a device that is not the container's: $forbidden"
grep -q "system.slice/reconciler.scope/keeper$" "/proc/$keeper/cgroup" || fail "the keeper is in $(cat "/proc/$keeper/cgroup")"
before=$(pids)

step "systemctl restart"
systemctl restart reconciler
same "a restart"
step "systemctl stop, start"
systemctl stop reconciler reconciler.socket
sleep 2
systemctl start reconciler
same "a stop and a start"
step "systemctl reload"
systemctl reload reconciler
until_ok "it says so" sh -c 'journalctl -q -u reconciler | grep -q "reloaded"'
until_ok "it is active again" systemctl --quiet is-active reconciler
mkdir /etc/reconciler/config.yaml.d
printf 'apiVersion: reconciler/v1alpha1\nkind: AgentConfig\nspec: {prune: alwys}\n' >/etc/reconciler/config.yaml.d/wrong.yaml
! systemctl reload reconciler || fail "a reload succeeds though the configuration is refused"
journalctl -q --no-pager -u reconciler | grep -q 'wrong.yaml:3:' || fail "the journal does not say why"
rm -r /etc/reconciler/config.yaml.d
systemctl reload reconciler
systemctl --quiet is-active reconciler || fail "a reload that failed ends the agent"
step "kill -9 of the agent"
agent=$(agent)
kill -9 "$agent"
until_ok "another agent" another agent "$agent"
ready
same "a killed agent"
step "an exit while there is no agent"
systemctl stop reconciler reconciler.socket
touch /run/signs/end
sleep 3
systemctl start reconciler
until_ok "it has ended" sh -c 'reconciler get ends -o yaml | grep -q "code: 7"'
[ "$(reconciler logs ends)" = 'last words' ] || fail "it said $(reconciler logs ends)"
same "an exit"
step "kill -9 of the keeper"
keeper=$(keeper)
[ "$(systemctl show -P NFileDescriptorStore reconciler-keeper)" -ge 12 ] || fail "systemd stores $(systemctl show -P NFileDescriptorStore reconciler-keeper) descriptors for four containers"
kill -9 "$keeper"
until_ok "another keeper" another keeper "$keeper"
ready
same "a killed keeper"
step "kill -9 of the keeper while there is no agent"
systemctl stop reconciler reconciler.socket
keeper=$(keeper)
kill -9 "$keeper"
until_ok "another keeper" another keeper "$keeper"
systemctl start reconciler
ready
same "a keeper killed without an agent"
step "daemon-reload, daemon-reexec"
systemctl daemon-reload
systemctl daemon-reexec
same "a reload of systemd"
step "an upgrade, and a downgrade"
dpkg -i reconciler_1.0.1_*.deb
[ "$(reconciler version -o json | grep -c '"1.0.1"')" = 2 ] || fail "program and agent are not of the new version: $(reconciler version)"
same "an upgrade"
dpkg -i reconciler_1.0.0_*.deb
[ "$(reconciler version -o json | grep -c '"1.0.0"')" = 2 ] || fail "program and agent are not of the old version: $(reconciler version)"
same "a downgrade"
step "the journal"
journalctl -q --no-pager -o cat -u reconciler | grep -q 'everything was looked at once' || fail "the agent says nothing in the journal"
! journalctl -q --no-pager -p warning -u reconciler.scope | grep -q . || fail "systemd complains about the scope"
journalctl -q --no-pager -o json CONTAINER_NAME=says RECONCILER_STREAM=stderr -n 1
journalctl -q --no-pager -o json CONTAINER_NAME=says RECONCILER_STREAM=stderr -n 1 | grep -q '"PRIORITY":"3"' || fail "no line of stderr in the journal"
journalctl -q --no-pager -t says -p info -n 1 | grep -q 'say' || fail "no identifier"
journalctl -q --no-pager -o cat RECONCILER_CONTAINER=ends RECONCILER_REASON=Exited | grep -q ends || fail "the agent's log has no fields: $(journalctl -q --no-pager -o json _SYSTEMD_UNIT=reconciler.service RECONCILER_CONTAINER=ends -n 1)"
[ "$(reconciler logs says --stream stdout | wc -l)" -gt 50 ] || fail "the journal has $(reconciler logs says --stream stdout | wc -l) lines"
reconciler logs says --stream stdout | awk '$0 != "say " ++n {print "line", n, "is", $0; exit 1}' || fail "a line is not in the journal, or twice"
reconciler logs says lines --since 10s --timestamps | sort -k 3,3 -s -c || fail "two containers are not in the order of their times"
journalctl -q --no-pager -u reconciler -n 3
journalctl -q --no-pager _SYSTEMD_UNIT=init.scope UNIT=reconciler-keeper.service -n 3

reconciler logs counter | wc -l >counted
step "counted to $(cat counted), and shuts down"
trap - EXIT # it would end the guest before the containers are in their images: systemd ends this script first
systemctl start --no-block poweroff.target
sleep infinity
RUN
chmod 755 "$payload/run.sh"

echo "$released" >"$payload/released"
disk "$payload" "$work/disk"
boot() {
	say "the guest boots: $1"
	echo "$1" >"$work/step"
	debugfs -w -R "rm /step" "$work/disk" >/dev/null 2>&1 || true
	debugfs -w -R "write $work/step /step" "$work/disk" >/dev/null 2>&1
	guest "$work/disk" "$work/console" Haswell-noTSX 1 | tee "$work/said"
}
begin=$SECONDS
boot first
grep -q 'and shuts down' "$work/said" || { tail -n 40 "$work/console" >&2; exit 1; }
boot second
grep -q '^vm: exit 0' "$work/said" || { tail -n 40 "$work/console" >&2; exit 1; }
say "passed in $((SECONDS - begin)) s"
