package image

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// kind is a kind of file among criu's images.
type kind struct {
	name  string // with %d or %x for a number
	magic uint32 // 0: it has none
	// refused says why no image of ours has such a file, and none is given to criu; "" for one that may be there.
	refused string
}

// commonMagic begins every image but the inventory.
const commonMagic = 0x54564319

// What begins the images that we read, see criu's magic.h.
const (
	magicInventory = 0x58313116
	magicPstree    = 0x50273030
	magicPagemap   = 0x56084025
	magicCore      = 0x55053847
	magicIDs       = 0x54432030
	magicMounts    = 0x55563928
	magicSeccomp   = 0x64413049
	magicUserns    = 0x55474906
	magicFiles     = 0x56303138
	magicGhost     = 0x52583605
	magicTTYInfo   = 0x59453036
)

const (
	ownNetwork = "the network is the node's to set up, and criu does that as root"
	noTar      = "files in memory are saved by ourselves"
	tooOld     = "criu has not written such a file for a decade"
)

// kinds are the files that criu 4 writes, of image-desc.c. What is not in this table is refused.
var kinds = []kind{
	{"inventory.img", magicInventory, ""},
	{"pstree.img", magicPstree, ""},
	{"core-%d.img", magicCore, ""},
	{"ids-%d.img", magicIDs, ""},
	{"mm-%d.img", 0x57492820, ""},
	{"fs-%d.img", 0x51403912, ""},
	{"fdinfo-%d.img", 0x56213732, ""},
	{"pagemap-%d.img", magicPagemap, ""},
	{"pagemap-shmem-%d.img", magicPagemap, ""},
	{"pages-%d.img", 0, ""},
	{"files.img", magicFiles, ""},
	{"ghost-file-%x.img", magicGhost, ""},
	{"remap-fpath.img", 0x59133954, ""},
	{"filelocks.img", 0x54323616, ""},
	{"eventpoll-tfd.img", 0x44433746, ""},
	{"inotify-wd.img", 0x54562009, ""},
	{"fanotify-mark.img", 0x56506035, ""},
	{"pipes-data.img", 0x56453709, ""},
	{"fifo-data.img", 0x59333054, ""},
	{"sk-queues.img", 0x56264026, ""},
	{"tcp-stream-%x.img", 0x51465506, ""},
	{"memfd.img", 0x48453499, ""},
	{"tty-info.img", magicTTYInfo, ""},
	{"tty-data.img", 0x59413026, ""},
	{"seccomp.img", magicSeccomp, ""},
	{"cgroup.img", 0x59383330, ""}, // criu is told to leave cgroups alone
	{"cpuinfo.img", 0x61404013, ""},
	{"mountpoints-%d.img", magicMounts, ""},
	{"utsns-%d.img", 0x54473203, ""},
	{"ipcns-var-%d.img", 0x53115007, ""},
	{"ipcns-shm-%d.img", 0x46283044, ""},
	{"ipcns-msg-%d.img", 0x55453737, ""},
	{"ipcns-sem-%d.img", 0x59573019, ""},
	{"netns-%d.img", 0x55933752, ""},
	{"timens-%d.img", 0x43114433, ""},
	{"userns-%d.img", magicUserns, ""},

	{"netdev-%d.img", 0, ownNetwork},
	{"ifaddr-%d.img", 0, ownNetwork},
	{"route-%d.img", 0, ownNetwork},
	{"route6-%d.img", 0, ownNetwork},
	{"rule-%d.img", 0, ownNetwork},
	{"iptables-%d.img", 0, ownNetwork},
	{"ip6tables-%d.img", 0, ownNetwork},
	{"nftables-%d.img", 0, ownNetwork},
	{"netns-ct-%d.img", 0, ownNetwork},
	{"netns-exp-%d.img", 0, ownNetwork},
	{"tunfile.img", 0, "it has a TUN device"},
	{"tmpfs-%d.tar.gz.img", 0, noTar},
	{"tmpfs-dev-%d.tar.gz.img", 0, noTar},
	{"autofs-%d.img", 0, "it has an automounter"},
	{"binfmt-misc-%d.img", 0, "it has formats of programs, which are the node's"},
	{"binfmt-misc.img", 0, "it has formats of programs, which are the node's"},
	{"bpfmap-file.img", 0, "it has maps of BPF programs"},
	{"bpfmap-data.img", 0, "it has maps of BPF programs"},
	{"apparmor.img", 0, "it has AppArmor policy, which is the node's"},
	{"pidns-%d.img", 0, "it has a pid namespace of somebody else"},
	{"irmap-cache.img", 0, "it has paths of the node"},
	{"reg-files.img", 0, tooOld},
	{"creds-%d.img", 0, tooOld},
	{"vmas-%d.img", 0, tooOld},
}

// kindsByName are the kinds, with each number as #.
var kindsByName = func() map[string]kind {
	m := map[string]kind{}
	for _, k := range kinds {
		m[strings.NewReplacer("%d", "#", "%x", "#").Replace(k.name)] = k
	}
	return m
}()

// numbered is a name with a number. Hexadecimal ones are not told from decimal ones: criu looks for the names that its other images give.
var numbered = regexp.MustCompile(`^([a-z0-9-]+-)([0-9a-f]{1,16})((?:[.]tar[.]gz)?[.]img)$`)

// kindOf finds the kind of a file among criu's images. One that no image of ours has is fs.ErrInvalid.
func kindOf(name string) (kind, error) {
	k, ok := kindsByName[name]
	if !ok {
		if parts := numbered.FindStringSubmatch(name); parts != nil {
			k, ok = kindsByName[parts[1]+"#"+parts[3]]
		}
	}
	switch {
	case !ok:
		return k, fmt.Errorf("%s is no image of criu's that is known: %w", name, fs.ErrInvalid)
	case k.refused != "":
		return k, fmt.Errorf("%s is refused: %s: %w", name, k.refused, fs.ErrInvalid)
	}
	return k, nil
}
