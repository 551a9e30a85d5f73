#!/bin/bash
# Builds the guest of test/vm/run.sh: a Debian 13 root file system with systemd, dbus and busybox, the cloud kernel, and
# an initramfs of a page that mounts the root. Needs root and Debian's packages once; afterwards the image is taken from the cache.
# usage: CACHE=DIR test/vm/build-image.sh    prints the directory that holds root.img, vmlinuz and initrd
set -euo pipefail

suite=trixie
packages=systemd,systemd-sysv,dbus,busybox-static,kmod,e2fsprogs,iproute2,procps,strace,apparmor
top=$(cd "$(dirname "$0")/../.." && pwd)
cache=${CACHE:-$top/.cache/vm}
image=$cache/$(cat "$0" "$top/scripts/criu.sh" | sha256sum | cut -c 1-16)
say() { echo "vm: $*" >&2; }

if [ -e "$image/complete" ]; then
	echo "$image"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	exec sudo CACHE="$cache" MIRROR="${MIRROR:-}" "$0"
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -e "$image/complete" ]; then # by another build meanwhile
	echo "$image"
	exit 0
fi
rm -rf "$cache"/build.* # of builds that were killed
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
begin=$SECONDS

say "building the guest image (once): debootstrap $suite"
debootstrap --variant=minbase --include="$packages" "$suite" "$root" ${MIRROR:-} >"$work/log" 2>&1 || {
	tail -n 30 "$work/log" >&2
	say "error: debootstrap failed"
	exit 1
}

# The kernel's package is unpacked, not installed: its installation would make an initramfs with udev, which takes longer
# to build than everything else and half a minute to boot.
kernel=$(chroot "$root" apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image/ {print $2; exit}')
say "kernel $kernel"
(cd "$root/tmp" && chroot "$root" sh -c "cd /tmp && apt-get -q download $kernel" >>"$work/log" 2>&1)
dpkg -x "$root"/tmp/linux-image-*.deb "$root"
rm -f "$root"/tmp/*.deb
version=$(ls "$root/lib/modules")
chroot "$root" depmod "$version"

# The same criu as here: Debian 13's own cannot save a socket on newer kernels.
"$top/scripts/criu.sh" "$root"

# The initramfs: busybox, the modules of disk, console and root file system in the order modprobe would load them.
initrd=$work/initrd
mkdir -p "$initrd"/{bin,dev,proc,sys,root,modules}
cp "$root/bin/busybox" "$initrd/bin/busybox"
n=100
chroot "$root" modprobe -a -S "$version" --show-depends virtio_pci virtio_blk virtio_console ext4 overlay |
	awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r module; do
	case $module in
	*.xz) "$root/bin/busybox" unxz -c "$root$module" >"$initrd/modules/$n-$(basename "$module" .xz)" ;;
	*) cp "$root$module" "$initrd/modules/$n-$(basename "$module")" ;;
	esac
	n=$((n + 1))
done
cat >"$initrd/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for m in /modules/*; do $b insmod "$m"; done
$b mount -t ext4 /dev/vda /root || exec $b poweroff -f
$b mount --move /dev /root/dev
exec $b switch_root /root /lib/systemd/systemd
INIT
chmod 755 "$initrd/init"
(cd "$initrd" && find . | bin/busybox cpio -o -H newc 2>/dev/null) >"$work/initrd.img"

# The guest runs one thing: the payload disk's run.sh, its output to the virtio port, then power off.
cat >"$root/usr/local/sbin/payload" <<'PAYLOAD'
#!/bin/bash
exec >/dev/vport0p1 2>&1
mount -t ext4 /dev/vdb /payload && cd /payload && ./run.sh
echo "vm: exit $?"
PAYLOAD
chmod 755 "$root/usr/local/sbin/payload"
mkdir -p "$root/payload"
cat >"$root/etc/systemd/system/payload.service" <<'UNIT'
[Unit]
Description=The tests on the payload disk
After=multi-user.target dbus.service
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/payload
Environment=HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
TimeoutStartSec=infinity
# A test that is killed for want of memory is a failure to report, not the end.
OOMPolicy=continue
# Switches the kernel's jump labels of cpuset and cpu.max on for as long as the tests run, see run.sh.
AllowedCPUs=0-1
CPUQuota=1000%

[Install]
WantedBy=graphical.target
UNIT
in_root() { chroot "$root" systemctl "$@" >>"$work/log" 2>&1; }
in_root enable payload.service
in_root set-default graphical.target
# What a guest of a minute does not need; and tmp.mount, so that /tmp is on a disk, as tests of layers and of page cache want.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service \
	systemd-timesyncd.service systemd-networkd.service systemd-pstore.service systemd-random-seed.service systemd-update-utmp.service \
	systemd-hwdb-update.service systemd-journal-catalog-update.service ldconfig.service getty.target getty-static.service \
	systemd-machine-id-commit.service systemd-boot-random-seed.service tmp.mount systemd-logind.service apparmor.service; do
	in_root mask "$unit"
done
echo guest >"$root/etc/hostname"
head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$root/etc/machine-id"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}

say "making the root file system"
mkdir "$work/image"
mv "$root"/boot/vmlinuz-* "$work/image/vmlinuz"
mv "$work/initrd.img" "$work/image/initrd"
truncate -s 2G "$work/image/root.img"
mke2fs -q -t ext4 -O ^has_journal -E root_owner=0:0 -d "$root" "$work/image/root.img"
touch "$work/image/complete"
find "$cache" -mindepth 1 -maxdepth 1 -regex '.*/[0-9a-f]+' -mmin +1440 -exec rm -rf {} + # images of older scripts
mv "$work/image" "$image"
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-0}" "$cache"
say "image ready after $((SECONDS - begin)) s: $image ($(du -sh "$image" | cut -f 1))"
echo "$image"
