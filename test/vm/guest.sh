# Boots the guest of build-image.sh; for run.sh and reboot.sh, which see.

# disk makes a file system of a folder, with room for more: the guest's payload, whose run.sh it runs as root.
# usage: disk FOLDER IMAGE
disk() {
	truncate -s "$(($(du -sm "$1" | cut -f 1) + 256))M" "$2"
	mke2fs -q -F -t ext4 -O ^has_journal -d "$1" "$2"
}

# guest boots, and shows what the payload says. Nothing stays of it but what is on the payload's disk.
# usage: guest IMAGE CONSOLE CPU SMP    where IMAGE is the payload's, and CONSOLE the file for what the kernel says; TIMEOUT is in seconds
guest() {
	local image
	image=$(test/vm/build-image.sh)
	timeout -k 10 "${TIMEOUT:-2400}" qemu-system-x86_64 \
		-machine q35 -accel tcg,thread=multi -cpu "$3" -smp "$4" -m 2G -nodefaults -no-user-config -no-reboot -display none \
		-kernel "$image/vmlinuz" -initrd "$image/initrd" \
		-append "console=ttyS0 quiet panic=-1 psi=1 mitigations=off audit=0 apparmor=1 security=apparmor nokaslr random.trust_cpu=on systemd.show_status=false" \
		-drive "file=$image/root.img,if=virtio,format=raw,snapshot=on" \
		-drive "file=$1,if=virtio,format=raw,cache=unsafe" \
		-serial "file:$2" -device virtio-serial-pci \
		-chardev file,id=out,path=/dev/stdout -device virtserialport,chardev=out,name=out \
		</dev/null
}
