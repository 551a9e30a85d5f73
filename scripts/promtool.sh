#!/bin/sh
# Puts promtool beside the system, by which tests check metrics and alert rules: out of Debian's package prometheus, without the rest of it, which would
# run a server. Silent and offline when there is one; no error where none can be had, as tests skip then and say so.
set -eu
file=/usr/local/lib/reconciler/promtool
[ ! -x "$file" ] && ! command -v promtool >/dev/null 2>&1 || exit 0
if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
	echo "warning: no promtool: see https://prometheus.io/download; the tests that need it are skipped" >&2
	exit 0
fi
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing promtool beside the system: $file"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
get() { apt-get download -q -o APT::Sandbox::User="$(id -un)" prometheus >/dev/null 2>&1; }
get || { $sudo apt-get update -q >/dev/null && get; } || { echo "warning: no promtool: cannot download the package prometheus" >&2; exit 0; }
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xf - ./usr/bin/promtool
$sudo mkdir -p "$(dirname "$file")"
$sudo install -m 0755 usr/bin/promtool "$file"
