#!/bin/sh
# Makes a small busybox root file system. usage: scripts/rootfs.sh DIR
set -eu
root=$1
[ ! -d "$root" ] || exit 0
dir=$root.new
rm -rf "$dir"
mkdir -p "$dir"/bin "$dir"/sbin "$dir"/usr/bin "$dir"/usr/sbin "$dir"/proc "$dir"/sys "$dir"/dev "$dir"/etc "$dir"/tmp "$dir"/root "$dir"/run "$dir"/var/tmp "$dir"/www
chmod 1777 "$dir/tmp" "$dir/var/tmp"
cp "$(command -v busybox)" "$dir/bin/busybox"
for applet in $("$dir/bin/busybox" --list); do
	[ "$applet" = busybox ] || ln -sf busybox "$dir/bin/$applet"
done
cat >"$dir/etc/passwd" <<EOF
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
EOF
cat >"$dir/etc/group" <<EOF
root:x:0:
daemon:x:1:
tty:x:5:daemon
nogroup:x:65534:
EOF
echo '<h1>reconciled</h1>' >"$dir/www/index.html"
mv -T "$dir" "$root"
echo "made $root from $(command -v busybox)"
