package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/crit"
	"github.com/checkpoint-restore/go-criu/v8/crit/images/criu-core"
	"github.com/checkpoint-restore/go-criu/v8/crit/images/mnt"
	"github.com/checkpoint-restore/go-criu/v8/crit/images/seccomp"
	"google.golang.org/protobuf/proto"

	"github.com/seed31d4122e/reconciler/pkg/checkpoint/image"
)

// A container of today's criu is what its policy says, and testdata is such a one.
func TestDumped(t *testing.T) {
	dir := dump(t)
	images := readDir(t, dir)
	if *update {
		save(t, images)
	}
	r := acquire(t, images)
	if err := errors.Join(r.Verify(t.Context()), r.Check(t.Context(), policy()), r.Fits(image.Here{CRIU: "4.2.1"})); err != nil {
		t.Error(err)
	}
	if got, want := kindsOf(images), kindsOf(saved(t)); !slices.Equal(got, want) {
		t.Errorf("criu wrote %v\nand testdata is %v: TestDumped -update writes it again", got, want)
	}
}

// Who looks at an image has it read no memory and no files: that they are damaged is told by Verify.
func TestDetailsReadNoMemory(t *testing.T) {
	dir := memoryDir(t)
	s := open(t, dir)
	i, err := commit(t, s, saved(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"checkpoint/pages-1.img", "rootfs-diff.tar"} {
		path := filepath.Join(dir, i.Ref(), name)
		text, err := os.ReadFile(path)
		if err != nil || len(text) == 0 {
			t.Fatalf("%s: %d bytes, %v", name, len(text), err)
		}
		text[0] ^= 1
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := s.Details(t.Context(), i.Ref())
	if err != nil || len(d.Processes) == 0 || len(d.Mounts) == 0 || len(d.Files) < 3 || d.Ref() != i.Ref() {
		t.Errorf("got %+v, %v", d, err)
	}
	if err := s.Verify(t.Context(), i.Ref()); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("verified: %v", err)
	}
}

// kindsOf are the names of images without their numbers.
func kindsOf(images map[string][]byte) (kinds []string) {
	for name := range images {
		if strings.HasPrefix(name, "pipes-data") { // there when a pipe held something at that moment
			continue
		}
		kinds = append(kinds, strings.TrimRight(strings.TrimSuffix(name, ".img"), "0123456789"))
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// What we read of criu's images is what its authors' own reader reads.
func TestLikeCrit(t *testing.T) {
	images := saved(t)
	dir := t.TempDir()
	for name, text := range images {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := acquire(t, images).Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := crit.New(nil, nil, dir, false, false).ExplorePs()
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	var walk func(*crit.PsTree)
	walk = func(p *crit.PsTree) {
		pids = append(pids, int(p.PID))
		i := slices.IndexFunc(f.Tasks, func(t image.Task) bool { return t.PID == int(p.PID) })
		if i < 0 || f.Tasks[i].Command != p.Comm {
			t.Fatalf("process %d (%s) is not there", p.PID, p.Comm)
		}
		for _, c := range p.Children {
			walk(c)
		}
	}
	walk(tree)
	if len(pids) != len(f.Tasks) || len(pids) != 4 {
		t.Errorf("processes: %v, and %d", pids, len(f.Tasks))
	}
	for _, task := range f.Tasks {
		likeCrit(t, task, dir)
	}
	for i, m := range critRead(t, dir, mountsName, &mnt.MntEntry{}) {
		e, got := m.(*mnt.MntEntry), f.Mounts[i]
		if got.Point != e.GetMountpoint() || got.Key != e.GetExtKey() || got.Root != e.GetRoot() || got.Flags != e.GetFlags() || !strings.EqualFold(got.Type, mnt.Fstype(e.GetFstype()).String()) && got.Type+"fs" != strings.ToLower(mnt.Fstype(e.GetFstype()).String()) {
			t.Errorf("mount %+v, crit has %v", got, e)
		}
	}
	filters := critRead(t, dir, "seccomp.img", &seccomp.SeccompEntry{})[0].(*seccomp.SeccompEntry).GetSeccompFilters()
	if len(filters) != len(f.Filters) {
		t.Fatalf("%d filters, crit has %d", len(f.Filters), len(filters))
	}
	for i := range filters {
		if !bytes.Equal(filters[i].GetFilter(), f.Filters[i]) {
			t.Errorf("filter %d differs", i)
		}
	}
}

// likeCrit compares a process.
func likeCrit(t *testing.T, task image.Task, dir string) {
	t.Helper()
	core := critRead(t, dir, "core-"+strconv.Itoa(task.PID)+".img", &criu_core.CoreEntry{})[0].(*criu_core.CoreEntry)
	c, got := core.GetThreadCore().GetCreds(), task.Threads[0]
	set := func(words []uint32) uint64 { return uint64(words[0]) | uint64(words[1])<<32 }
	if got.Permitted != set(c.GetCapPrm()) || got.Effective != set(c.GetCapEff()) || got.Inheritable != set(c.GetCapInh()) || got.Bounding != set(c.GetCapBnd()) ||
		got.NoNewPrivs != (c.GetNoNewPrivs() == 1) || got.Seccomp != uint32(core.GetThreadCore().GetSeccompMode()) {
		t.Errorf("thread %+v, crit has %v", got, c)
	}
	for i, l := range core.GetTc().GetRlimits().GetRlimits() {
		if task.Rlimits[i] != l.GetMax() {
			t.Errorf("limit %d is %d, crit has %d", i, task.Rlimits[i], l.GetMax())
		}
	}
}

func critRead(t *testing.T, dir, name string, kind proto.Message) (list []proto.Message) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := crit.New(f, nil, "", false, false).Decode(kind)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range img.Entries {
		list = append(list, e.Message)
	}
	return list
}

// Whatever a policy says otherwise than the image is refused, and named.
func TestPolicy(t *testing.T) {
	r := acquire(t, saved(t))
	if err := r.Check(t.Context(), policy()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*image.Policy)
		says   string
	}{
		"a mount less":       {func(p *image.Policy) { p.Mounts = p.Mounts[1:] }, "/proc is a mount that the container does not have"},
		"a mount more":       {func(p *image.Policy) { p.Mounts = append(p.Mounts, image.Mount{Point: "/etc", Key: "m/etc"}) }, "/etc is mounted in the container, and not in the image"},
		"another key":        {func(p *image.Policy) { p.Mounts[2].Key = "m/other" }, "/dev is a mount that the container does not have"},
		"inside":             {func(p *image.Policy) { p.Mounts[2].Key, p.Mounts[2].Type = "", "tmpfs" }, "/dev is a mount that the container does not have"},
		"another part":       {func(p *image.Policy) { p.Mounts[1].Root = "/" }, "/proc/irq"},
		"read-only":          {func(p *image.Policy) { p.Mounts[0].Flags = 1 }, "/proc is a mount that the container does not have, or not so"},
		"a capability less":  {func(p *image.Policy) { p.Bounding &^= 1 << 3 }, "thread 1 has capability 3"},
		"no filter":          {func(p *image.Policy) { p.Filter = []byte{1} }, "seccomp filter"},
		"a user namespace":   {func(p *image.Policy) { p.UIDs = []image.IDMap{{0, 100000, 65536}} }, "user namespace"},
		"a label":            {func(p *image.Policy) { p.LSM = "docker-default" }, "the security label"},
		"oom_score_adj":      {func(p *image.Policy) { p.OOMScoreAdj = 500 }, "oom_score_adj"},
		"a limit":            {func(p *image.Policy) { p.Rlimits = map[int]uint64{7: 1000} }, "resource limit 7"},
		"too many processes": {func(p *image.Policy) { p.Tasks = 3 }, "more than 3"},
		"a namespace":        {func(p *image.Policy) { p.Own = append(p.Own, "cgroup") }, "cgroup namespace of the node"},
	} {
		p := policy()
		c.change(&p)
		if err := r.Check(t.Context(), p); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mountsName is the image of mounts in testdata.
const mountsName = "mountpoints-13.img"

// message is one message of an image, of fields as they are on the wire.
func message(fields ...any) []byte {
	var body []byte
	for i := 0; i < len(fields); i += 2 {
		number := uint64(fields[i].(int))
		switch v := fields[i+1].(type) {
		case int:
			body = binary.AppendUvarint(binary.AppendUvarint(body, number<<3), uint64(v))
		case []byte:
			body = append(binary.AppendUvarint(binary.AppendUvarint(body, number<<3|2), uint64(len(v))), v...)
		case string:
			body = append(binary.AppendUvarint(binary.AppendUvarint(body, number<<3|2), uint64(len(v))), v...)
		}
	}
	return body
}

func framed(body []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// begin is what an image begins with.
func begin(magic uint32, messages ...[]byte) []byte {
	text := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 0x54564319), magic)
	for _, m := range messages {
		text = append(text, framed(m)...)
	}
	return text
}

// Images as somebody would write them who wants more than a container has: they have right sums, and make what criu would carry out as root.
func TestHostileImages(t *testing.T) {
	for name, c := range map[string]struct {
		change func(map[string][]byte)
		says   string
	}{
		"a device without a name": {func(m map[string][]byte) {
			m["ghost-file-1.img"] = begin(0x52583605, message(1, 0, 2, 0, 3, 0o060600, 6, 0x800))
		}, "device"},
		"a TUN device":       {func(m map[string][]byte) { m["tunfile.img"] = begin(0x57143751) }, "TUN"},
		"an open TUN device": {func(m map[string][]byte) { m["files.img"] = append(m["files.img"], framed(message(1, 15, 2, 99))...) }, "TUN"},
		"BPF maps":           {func(m map[string][]byte) { m["bpfmap-file.img"] = nil }, "BPF"},
		"AppArmor policy":    {func(m map[string][]byte) { m["apparmor.img"] = nil }, "AppArmor"},
		"firewall rules":     {func(m map[string][]byte) { m["nftables-10.img"] = nil }, "network"},
		"a tar of criu's":    {func(m map[string][]byte) { m["tmpfs-dev-63.tar.gz.img"] = nil }, "files in memory"},
		"an unknown file":    {func(m map[string][]byte) { m["evil.img"] = nil }, "known"},
		"a packet socket":    {func(m map[string][]byte) { m["files.img"] = append(m["files.img"], framed(message(1, 10, 2, 99))...) }, "packet socket"},
		"a raw socket": {func(m map[string][]byte) {
			m["files.img"] = append(m["files.img"], framed(message(1, 4, 2, 99, 4, message(1, 99, 3, 2, 4, 3)))...)
		}, "socket of type 3"},
		"a file of an unknown kind": {func(m map[string][]byte) { m["files.img"] = append(m["files.img"], framed(message(1, 77, 2, 99))...) }, "unknown"},
		"a console":                 {func(m map[string][]byte) { m["tty-info.img"] = begin(0x59453036, message(1, 1, 2, 2)) }, "console"},
		"a mount namespace more":    {func(m map[string][]byte) { m["mountpoints-99.img"] = m[mountsName] }, "more than one mount namespace"},
		"a disk": {func(m map[string][]byte) {
			m[mountsName] = append(m[mountsName], framed(message(1, 16, 2, 9999, 4, 9998, 5, 0, 6, "/", 7, "/mnt", 8, "/dev/vda", 14, "ext4"))...)
		}, "/mnt is a mount"},
		"proc once more": {func(m map[string][]byte) {
			m[mountsName] = append(m[mountsName], framed(message(1, 1, 2, 9999, 4, 9998, 5, 0, 6, "/", 7, "/proc/irq", 8, "proc"))...)
		}, "/proc/irq"},
		"a plugin": {func(m map[string][]byte) {
			m["inventory.img"] = grown(m["inventory.img"], 4, message(12, message(12, "x")))
		}, ""},
		"an nftables command": {func(m map[string][]byte) {
			m["inventory.img"] = bytes.Replace(m["inventory.img"], []byte("-"), []byte(";"), 1)
		}, "run of criu named"},
		"no filter": {func(m map[string][]byte) {
			m["core-21.img"] = bytes.Replace(m["core-21.img"], []byte{11 << 3, 2}, []byte{11 << 3, 0}, 1)
		}, "thread 21 has no seccomp filter"},
		"another filter": {func(m map[string][]byte) {
			m["seccomp.img"] = bytes.Replace(m["seccomp.img"], allowAll, []byte{0x06, 0, 0, 0, 1, 0, 0xff, 0x7f}, 1)
		}, "thread 1 has not the container's seccomp filter"},
		"a namespace of its own": {func(m map[string][]byte) {
			ids := bytes.Clone(m["ids-22.img"])
			ids[len(ids)-1]++
			m["ids-22.img"] = ids
		}, "namespaces of its own"},
		"the node's processes": {func(m map[string][]byte) {
			for _, pid := range []string{"1", "20", "21", "22"} { // each says that it is where criu was
				ids := m["ids-"+pid+".img"]
				ids[bytes.Index(ids, []byte{5 << 3, 9})+1] = 1
			}
		}, "in the pid namespace of the node"},
		"a process twice": {func(m map[string][]byte) { m["pstree.img"] = append(m["pstree.img"], m["pstree.img"][8:]...) }, "no place in the tree"},
		"no process 1":    {func(m map[string][]byte) { m["pstree.img"] = m["pstree.img"][:8] }, "no process 1"},
		"a core is gone":  {func(m map[string][]byte) { delete(m, "core-22.img") }, "core-22.img is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			images := saved(t)
			c.change(images)
			r := acquire(t, images)
			if err := r.Check(t.Context(), policy()); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

// grown adds fields to the one message of an image that begins after so many bytes.
func grown(image []byte, at int, fields []byte) []byte {
	body := append(bytes.Clone(image[at+4:]), fields...)
	return append(bytes.Clone(image[:at]), framed(body)...)
}

// Memory that is cut off, or of which there is more than is known of, is no image at all.
func TestPages(t *testing.T) {
	images := saved(t)
	s := open(t, memoryDir(t))
	i, err := commit(t, s, images)
	if err != nil {
		t.Fatal(err)
	}
	stored := 0
	for name, text := range images {
		if strings.HasPrefix(name, "pages-") {
			stored += len(text)
		}
	}
	if uint64(i.Memory) != uint64(stored) {
		t.Errorf("its memory is %d bytes, and the files have %d", i.Memory, stored)
	}
	for name, change := range map[string]func(map[string][]byte){
		"cut off":     func(m map[string][]byte) { m["pages-1.img"] = m["pages-1.img"][:len(m["pages-1.img"])-4096] },
		"half a page": func(m map[string][]byte) { m["pages-1.img"] = m["pages-1.img"][1:] },
		"more":        func(m map[string][]byte) { m["pages-1.img"] = append(m["pages-1.img"], make([]byte, 4096)...) },
		"gone":        func(m map[string][]byte) { delete(m, "pages-1.img") },
		"unknown":     func(m map[string][]byte) { m["pages-77.img"] = make([]byte, 4096) },
		"map cut off": func(m map[string][]byte) { m["pagemap-1.img"] = m["pagemap-1.img"][:len(m["pagemap-1.img"])-3] },
		"map empty":   func(m map[string][]byte) { m["pagemap-1.img"] = m["pagemap-1.img"][:8] },
		"map gone":    func(m map[string][]byte) { delete(m, "pagemap-1.img") },
		"of a parent": func(m map[string][]byte) {
			m["pagemap-1.img"] = append(m["pagemap-1.img"], framed(message(1, 1<<46, 2, 1, 3, 1))...)
		},
		"left out": func(m map[string][]byte) {
			m["pagemap-1.img"] = append(m["pagemap-1.img"], framed(message(1, 1<<46, 2, 1, 4, 2))...)
		},
		"out of order": func(m map[string][]byte) {
			m["pagemap-1.img"] = append(m["pagemap-1.img"], framed(message(1, 4096, 2, 1, 4, 0))...)
		},
		"endless": func(m map[string][]byte) {
			m["pagemap-1.img"] = append(m["pagemap-1.img"], framed(message(1, 1<<46, 2, 0, 4, 4, 5, 1<<62))...)
		},
	} {
		bad := maps.Clone(images)
		for name := range bad {
			bad[name] = bytes.Clone(bad[name])
		}
		change(bad)
		if _, err := commit(t, s, bad); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFits(t *testing.T) {
	r := acquire(t, saved(t))
	i := r.Image()
	cpu := image.CPU{Features: []string{"none"}}
	for name, c := range map[string]struct {
		here image.Here
		says string
	}{
		"here":         {image.Here{}, ""},
		"same criu":    {image.Here{CRIU: "4.2.1"}, ""},
		"newer criu":   {image.Here{CRIU: "4.10"}, ""},
		"older criu":   {image.Here{CRIU: "4.2"}, "taken with criu 4.2.1"},
		"enough":       {image.Here{Memory: i.Memory}, ""},
		"a page less":  {image.Here{Memory: i.Memory - 1}, "limit"},
		"another arch": {image.Here{Arch: "m68k"}, "m68k"},
		"another CPU":  {image.Here{CPU: cpu}, "processor here has not"},
	} {
		err := r.Fits(c.here)
		if (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzImages gives single images to the reader: it refuses or reads them.
func FuzzImages(f *testing.F) {
	images := saved(f)
	for name, text := range images {
		if !strings.HasPrefix(name, "pages-") {
			f.Add(name, text)
		}
	}
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		bad := maps.Clone(images)
		bad[name] = text
		facts, err := image.Scan(bad)
		if err == nil {
			err = facts.Check(policy())
		}
		if err != nil && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	})
}
