#!/bin/bash
# A container in a guest goes through its reboot, moves here, and is to move back: docs/checkpoint.md as its reader would do it, with a cgroup parent of one's own.
#
# usage: test/vm/reboot.sh    needs root here, and criu; CACHE and TIMEOUT as in run.sh
#
# The guest boots three times, with one processor: a second could run into what the first one's kernel patches, see run.sh. What it keeps over a boot is on
# the payload's disk. Its kernel has files in /proc that the one here may lack, and the other way round: those that are covered are named. Its processor can do less than most, so that what was saved there fits here; the way back is to be refused, with the reason, where
# the processor here can do more.
set -euo pipefail
cd "$(dirname "$0")/../.."
export CGO_ENABLED=0 CACHE=${CACHE:-$PWD/.cache/vm} TIMEOUT=${TIMEOUT:-900}
. test/vm/guest.sh
debug() { debugfs -w -R "$1" "$work/disk" 2>/dev/null >&2; }
say() { echo "vm: $*" >&2; }
[ "$(id -u)" = 0 ] || exec sudo CACHE="$CACHE" TIMEOUT="$TIMEOUT" test/vm/reboot.sh

scripts/deps.sh vm
test/vm/build-image.sh >/dev/null
work=$(mktemp -d "$CACHE/reboot.XXXXXX")
agent=
finish() {
	status=$?
	if [ -n "$agent" ]; then # the container and the keeper go as well
		kill "$agent" && wait "$agent" || true
		rm -f "$node/manifests/"*
		reconciler run --once --prune always "${flags[@]}" >>"$node/agent.log" 2>&1 || true
	fi
	if [ "$status" != 0 ] && [ -e "$work/console" ]; then
		debug "dump /node/agent.log $work/agent-there.log" || true
		tail -n 40 "$work/console" "$work/agent-there.log" "$node/agent.log" >&2 || true
	fi
	rm -rf "$work"
}
trap finish EXIT
trap 'say "line $LINENO failed: $BASH_COMMAND"' ERR

# The node's files have the same place here and there.
payload=$work/payload node=$work/node
mkdir -p "$payload/units" "$node/rootfs/bin" "$node/manifests"
go build -trimpath -ldflags '-s -w' -o "$payload/reconciler" ./cmd/reconciler
cp "$(command -v busybox)" "$node/rootfs/bin/busybox"
ln -s busybox "$node/rootfs/bin/sh"
ln -s busybox "$node/rootfs/bin/cat"
ln -s busybox "$node/rootfs/bin/sleep"
sed -e "s|path: .*|path: $node/rootfs|" -e 's|every: 2s, retain: 3|onShutdown: true|' examples/checkpoint/counter.yaml >"$node/manifests/counter.yaml"
echo '  rlimits: {nproc: {soft: 10000, hard: 10000}, nofile: {soft: 1024, hard: 20000}} # the highest of a node without CAP_SYS_RESOURCE' >>"$node/manifests/counter.yaml"
echo '  security: {maskedPaths: [/proc/interrupts, /proc/keys, /proc/timer_list], readonlyPaths: [/proc/bus, /proc/irq, /proc/sys]}' >>"$node/manifests/counter.yaml"
cp -a "$node" "$payload/node"
sed 's|/usr/bin/|/usr/local/bin/|' packaging/systemd/reconciler-shutdown.service >"$payload/units/reconciler-shutdown.service"
cat >"$payload/units/reconciler.service" <<UNIT
[Service]
ExecStart=/usr/local/bin/reconciler run --manifests $node/manifests --state-dir $node/state --log-dir $node/log --cgroup-parent mine
KillMode=process
StandardOutput=append:$node/agent.log
StandardError=append:$node/agent.log
UNIT

# What guest and host have in common: the counter's last number, and that it and its file never disagree.
cat >"$payload/counter.sh" <<'COUNTER'
reconciler() { timeout -s ABRT 120 "$(type -P reconciler)" "$@"; } # who waits for ever, and not for its own --timeout, says where
count() { reconciler logs counter | awk '/^memory says/ {if ($3 + 0 != $7) exit 1; n = $3 + 0} END {print n + 0}'; }
beyond() { # waits until it has counted beyond a number
	for _ in $(seq 300); do
		local c
		c=$(count) || c=0 # there is none yet
		[ "$c" -le "$1" ] || return 0
		sleep 0.5
	done
	echo "it has not counted beyond $1: $c"
	reconciler get -o yaml
	return 1
}
answers() { # waits for the agent
	for _ in $(seq 300); do
		! reconciler get >/dev/null 2>&1 || return 0
		sleep 0.2
	done
	echo "no agent answers"
	reconciler get
	return 1
}
begins() { reconciler logs counter | grep -c begins; }
COUNTER

cat >"$payload/run.sh" <<RUN
#!/bin/bash
set -euo pipefail
step=\$(cat node/step)
. ./counter.sh
mkdir -p $node
mount --bind node $node
cp reconciler /usr/local/bin/
cp units/* /etc/systemd/system/
# The payload is not to end the guest while that shuts down.
mkdir -p /run/systemd/system/payload.service.d
printf '[Unit]\nSuccessAction=none\nFailureAction=none\n' >/run/systemd/system/payload.service.d/reboot.conf
rm -f \$([ "\$step" != moved ] || echo $node/manifests/*)
[ "\$step" = reboot ] || rm /run/systemd/system/payload.service.d/reboot.conf
systemctl daemon-reload
timeout 120 systemctl start reconciler.service reconciler-shutdown.service || { systemctl list-jobs; exit 1; }
answers
case \$step in
reboot)
	trap 'systemctl poweroff --force --force' EXIT # should this fail, nobody else ends the guest
	beyond 20
	echo "counted to \$(count), and shuts down"
	trap - EXIT # it would end the guest before the containers are in their images: systemd ends this script first
	systemctl start --no-block poweroff.target
	sleep infinity
	;;
export)
	reconciler wait counter --for=condition=Restored --timeout 1m
	n=\$(count)
	beyond "\$n"
	[ "\$(begins)" = 1 ]
	echo "goes on after the reboot: \$(count)"
	reconciler checkpoint counter --stop
	reconciler checkpoint export counter - >$node/there.tar
	echo "ended in an image at \$(count)"
	;;
moved)
	reconciler checkpoint import $node/back.tar
	cp /payload/counter.yaml $node/manifests/
	beyond 0
	reconciler get counter -o yaml | grep -B3 -A3 'reason: ColdStart'
	reconciler shutdown
	;;
esac
RUN
chmod 755 "$payload/run.sh"
cp "$node/manifests/counter.yaml" "$payload/"

disk "$payload" "$work/disk"
boot() { # one step, whose output is shown; the last line of it is how the payload ended, unless the guest was shut down
	say "the guest boots: $1"
	echo "$1" >"$work/step"
	debug "rm /node/step" || true
	debug "write $work/step /node/step"
	guest "$work/disk" "$work/console" Haswell-noTSX 1 | tee "$work/said"
}

begin=$SECONDS
boot reboot
grep -q 'and shuts down' "$work/said"
boot export
grep -q '^vm: exit 0' "$work/said"

say "the image comes here"
debug "dump /node/there.tar $node/there.tar"
export RECONCILER_SOCKET=$work/run/reconciler.sock
PATH=$payload:$PATH
. "$payload/counter.sh"
flags=(--manifests "$node/manifests" --state-dir "$work/state" --run-dir "$work/run" --log-dir "$work/log" --cgroup-parent "/${work##*/}")
mv "$node/manifests/counter.yaml" "$work/"
"$payload/reconciler" run "${flags[@]}" >"$node/agent.log" 2>&1 &
agent=$!
answers
reconciler checkpoint import "$node/there.tar"
n=$(awk '/^ended in an image/ {print $NF}' "$work/said")
cp "$work/counter.yaml" "$node/manifests/"
reconciler wait counter --for=condition=Restored --timeout 1m
beyond "$n"
[ "$(begins)" = 0 ]
say "it counts on here: $(count) after $n there"
reconciler checkpoint counter --stop
reconciler checkpoint export counter "$node/back.tar"
debug "write $node/back.tar /node/back.tar"

boot moved
grep -q '^vm: exit 0' "$work/said"
say "passed in $((SECONDS - begin)) s"
