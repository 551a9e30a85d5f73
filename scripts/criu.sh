#!/bin/sh
# Sees to it that there is a criu that works on kernels of today; silent and offline when there is one. Debian 12's and 13's fail on Linux 6.16 and
# newer, so the one of a newer Debian is put beside the system, with its own C library: into FOLDER, and as /usr/local/sbin/criu if no other is there.
# usage: scripts/criu.sh [ROOT]     ROOT is another system's root directory, in which nothing is tried
set -eu
root=${1:-}
folder=/usr/local/lib/reconciler/criu
command=/usr/local/sbin/criu
oldest=4.2

sudo=
[ "$(id -u)" = 0 ] || [ -n "$root" -a -w "${root:-/}" ] || sudo=sudo

# newEnough tells whether a criu runs and is no older than $oldest.
newEnough() {
	have=$("$1" --version 2>/dev/null | sed -n 's/^Version: //p') || return 1
	[ -n "$have" ] && [ "$(printf '%s\n%s\n' "$oldest" "$have" | sort -V | head -n 1)" = "$oldest" ]
}

# proves tells whether a criu dumps and restores a process on this kernel.
proves() {
	trial=$(mktemp -d)
	(cd "$(dirname "$0")/.." && CGO_ENABLED=0 GOFLAGS="${GOFLAGS:--trimpath}" go build -o "$trial/reconciler" ./cmd/reconciler &&
		$sudo env PATH="$(dirname "$1"):$PATH" "$trial/reconciler" doctor 2>/dev/null | grep -q '^checkpoint  *ok ') && proven=yes || proven=
	rm -rf "$trial"
	[ -n "$proven" ]
}

if [ -n "$root" ]; then
	[ ! -x "$root$folder/criu" ] || exit 0
else
	newEnough "$folder/criu" && [ -e "$command" ] && exit 0
	host=$(PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v criu) && newEnough "$host" && proves "$host" && exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-deb >/dev/null 2>&1; then
	echo "warning: no criu $oldest or newer that works here, so nothing can be checkpointed: see https://criu.org/Installation" >&2
	exit 0
fi
[ -n "$root" ] || echo "installing criu beside the system: $folder"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
arch=$(dpkg --print-architecture)
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/folder"
: >"$work/status"

# apt runs a program of apt's with a state of its own, which knows one release and no installed package.
apt() {
	program=$1
	shift
	"$program" -q -o Dir::State="$work/state" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" -o Dir::Etc::SourceList="$work/sources.list" \
		-o Dir::Etc::SourceParts=- -o APT::Architecture="$arch" -o APT::Sandbox::User="$(id -un)" -o Debug::NoLocking=true "$@"
}

fetch() {
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${MIRROR:-http://deb.debian.org/debian} $1 main" >"$work/sources.list"
	apt apt-get update >"$work/log" 2>&1 || return 1
	# The libraries of criu and theirs; of Python only crit has need.
	names=$(apt apt-get -s install --no-install-recommends criu 2>>"$work/log" | awk '$1 == "Inst" && ($2 == "criu" || $2 ~ /^lib/) && $2 !~ /python|perl/ {print $2}')
	[ -n "$names" ] || return 1
	(cd "$work/debs" && apt apt-get download $names >>"$work/log" 2>&1)
}
fetch forky || fetch sid || {
	tail -n 5 "$work/log" >&2
	echo "warning: cannot install criu, so nothing can be checkpointed" >&2
	exit 0
}
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/all"; done

# Only what runs: the program, its plugins' place, libraries and loader.
mkdir -p "$work/folder/lib"
cp "$work/all/usr/sbin/criu" "$work/folder/criu.bin"
find "$work/all" -path '*-linux-gnu*/lib*.so*' -not -path '*/gconv/*' -exec cp -a {} "$work/folder/lib/" \;
loader=$(find "$work/all" -name 'ld-linux*.so*' | head -n 1)
cp -L "$loader" "$work/folder/lib/loader"
cat >"$work/folder/criu" <<EOF
#!/bin/sh
exec $folder/lib/loader --library-path $folder/lib $folder/criu.bin "\$@"
EOF
chmod 755 "$work/folder" "$work/folder/criu" "$work/folder/criu.bin" "$work/folder/lib" "$work/folder/lib/loader"

$sudo mkdir -p "$root${folder%/*}" "$root${command%/*}"
$sudo rm -rf "$root$folder.new"
$sudo cp -r --preserve=mode,links "$work/folder" "$root$folder.new"
$sudo rm -rf "$root$folder"
$sudo mv "$root$folder.new" "$root$folder"
[ -e "$root$command" ] && [ ! -L "$root$command" ] || $sudo ln -sfn "$folder/criu" "$root$command"
[ -n "$root" ] || newEnough "$folder/criu" || {
	echo "error: the criu that was installed does not run: $folder/criu" >&2
	exit 1
}
