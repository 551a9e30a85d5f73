#!/bin/bash
# Installs, upgrades, downgrades and removes rpm packages in a root of its own that is this machine's with a layer above: nothing of it stays.
#
# usage: unshare --mount test/packaging/rpm.sh OLD.rpm NEW.rpm    needs root, rpm and overlayfs
#
# systemd does not run there, so the scripts are to leave it alone; test/vm/package.sh has them do all, from a Debian package.
set -euo pipefail
old=$(realpath "$1") new=$(realpath "$2")
mount -t tmpfs -o mode=755 rpm /mnt
mkdir /mnt/{above,work,root}
mount -t overlay -o lowerdir=/,upperdir=/mnt/above,workdir=/mnt/work rpm /mnt/root
cp "$old" /mnt/root/mnt/old.rpm
cp "$new" /mnt/root/mnt/new.rpm
mount -t proc proc /mnt/root/proc
mount -t tmpfs run /mnt/root/run
exec chroot /mnt/root /bin/bash -euxc '
exec 2>&1
file=/etc/reconciler/config.yaml
rm -rf /etc/reconciler /usr/local /var/lib/rpm
rpm --initdb
# This machine may have systemd without that rpm knows, which --nodeps is for.
rpm -K --nosignature /mnt/old.rpm
rpm -i --nodeps /mnt/old.rpm
rpm -V --nodeps reconciler
getent group reconciler
reconciler version | grep " v*1\.2\.3[+-]4"
echo "# mine" >>$file

rpm -U --nodeps /mnt/new.rpm
reconciler version | grep " 1\.3\.0 "
[ "$(tail -n 1 $file)" = "# mine" ]
rpm -U --nodeps --oldpackage /mnt/old.rpm
reconciler version | grep " v*1\.2\.3[+-]4"
[ "$(tail -n 1 $file)" = "# mine" ]
reconciler config --check

rpm -e reconciler
[ "$(tail -n 1 $file.rpmsave)" = "# mine" ]
[ -z "$(find /usr /etc/systemd /run -name "reconciler*")" ]
'
