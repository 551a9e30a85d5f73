package rootfs_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/seed31d4122e/reconciler/pkg/linux/rootfs"
)

// Users are those of the container's files. Links are followed inside the root: this one never leads to the node's own /srv.
func ExampleRoot_User() {
	dir, err := os.MkdirTemp("", "rootfs")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for path, text := range map[string]string{"etc/passwd": "web:x:1000:1000::/home/web:/bin/sh\n", "srv/group": "audio:x:29:web\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	if err := os.Symlink("/srv/group", filepath.Join(dir, "etc", "group")); err != nil {
		log.Fatal(err)
	}
	root, err := rootfs.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer root.Close()
	user, err := root.User("web", nil)
	fmt.Printf("%+v %v\n", user, err)
	user, err = root.User("4242:17", nil)
	fmt.Printf("%+v %v\n", user, err)
	// Output:
	// {UID:1000 GID:1000 Groups:[29] Name:web Home:/home/web} <nil>
	// {UID:4242 GID:17 Groups:[] Name: Home:/} <nil>
}

// Where a command is looked for: never in the working directory, which may be somebody else's.
func ExampleCandidates() {
	fmt.Println(rootfs.Candidates("sh", "/usr/bin::bin:/bin"))
	fmt.Println(rootfs.Candidates("/opt/app", "/usr/bin"))
	// Output:
	// [/usr/bin/sh /bin/sh]
	// [/opt/app]
}
