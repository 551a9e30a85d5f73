package rootfs

import (
	"slices"
	"strings"
	"testing"
)

func FuzzUser(f *testing.F) {
	f.Add("root:x:0:0::/root\n1000:x:0:0::/\nweb:x:7:7::/w", "www:x:33:web", "web:www")
	f.Add("a:x:4294967296:0::/", "", "a")
	f.Fuzz(func(t *testing.T, passwd, group, user string) {
		u, err := lookupUser(passwd, group, user, nil)
		if err != nil {
			return
		}
		if id, _, _ := strings.Cut(user, ":"); strings.Trim(id, "0123456789") == "" && strings.Trim(id, "0") != "" && u.UID == 0 {
			t.Errorf("%q became root", user)
		}
		if u.UID == 1<<32-1 || u.GID == 1<<32-1 || slices.Contains(u.Groups, 1<<32-1) || !strings.HasPrefix(u.Home, "/") {
			t.Errorf("%q gives %+v", user, u)
		}
	})
}
