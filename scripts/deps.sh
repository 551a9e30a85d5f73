#!/bin/sh
# Installs what the given purpose needs on Debian 12 or 13 and says so; silent and offline when all is there.
# usage: scripts/deps.sh run|test|seccomp|engines|web|bench|vm|site
set -eu
need=1.26.5

have=$(go env GOVERSION 2>/dev/null | sed 's/^go//; s/[^0-9.].*//') || have=
if [ -z "$have" ]; then
	echo "error: no go on the PATH; this project builds with Go $need or newer (https://go.dev/dl)" >&2
	exit 1
fi
if [ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" != "$need" ]; then
	echo "error: go $have is too old: this project needs Go $need or newer (it has the fix of CVE-2026-39822 in os.Root)" >&2
	exit 1
fi

# command:package pairs; a path stands for a file
case "$1" in
run) wants="busybox:busybox-static curl:curl" ;;
test) wants="busybox:busybox-static strace:strace runc:runc iptables-restore:iptables lintian:lintian rpm:rpm curl:curl jq:jq ssh-keygen:openssh-client" ;;
seccomp) wants="gcc:gcc /usr/include/stdlib.h:libc6-dev /usr/include/seccomp.h:libseccomp-dev" ;;
engines)
	wants="busybox:busybox-static runc:runc crun:crun podman:podman conmon:conmon /usr/lib/podman/netavark:netavark"
	wants="$wants iptables:iptables nft:nftables containerd:containerd ctr:containerd"
	;;
web) wants="busybox:busybox-static chromium:chromium nsenter:util-linux" ;;
site) wants="mkdocs:mkdocs" ;;
bench) wants="busybox:busybox-static crun:crun runc:runc" ;;
vm) wants="busybox:busybox-static qemu-system-x86_64:qemu-system-x86 debootstrap:debootstrap mke2fs:e2fsprogs" ;;
*) echo "usage: $0 run|test|seccomp|engines|web|bench|vm|site" >&2; exit 1 ;;
esac

case "$1" in
run | test | bench | vm) "$(dirname "$0")/criu.sh" ;;
esac

[ "$1" != test ] || "$(dirname "$0")/promtool.sh"

missing=
for want in $wants; do
	case "$want" in
	/*) test -e "${want%%:*}" || missing="$missing ${want##*:}" ;;
	*) command -v "${want%%:*}" >/dev/null 2>&1 || missing="$missing ${want##*:}" ;;
	esac
done
# Debian's plain busybox is dynamic: in a root of its own it cannot run.
if busybox=$(command -v busybox) && ldd "$busybox" >/dev/null 2>&1; then
	missing="$missing busybox-static"
fi
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "error: please install:$missing" >&2
	exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 || {
	$sudo apt-get update -q >/dev/null
	$sudo apt-get install -y -q --no-install-recommends $missing
}
