package spec

import "slices"

// Capabilities changes the default list, drop first, then add; or it says each set of capabilities(7) itself. ALL means every capability.
type Capabilities struct {
	// Add names capabilities to add, without CAP_: NET_ADMIN.
	Add []string `json:"add,omitzero" class:"replace" format:"capability"`
	// Drop names capabilities to take away.
	Drop []string `json:"drop,omitzero" class:"replace" format:"capability"`
	// Bounding is, like the four below, one whole set instead of a change of the default list: what the processes can ever gain. A set that is not said while another is, is empty.
	Bounding []string `json:"bounding,omitzero" class:"replace" format:"capability"`
	// Effective is what the process uses from the start; of permitted.
	Effective []string `json:"effective,omitzero" class:"replace" format:"capability"`
	// Permitted is what the process may use.
	Permitted []string `json:"permitted,omitzero" class:"replace" format:"capability"`
	// Inheritable is what files with inheritable capabilities give; of bounding.
	Inheritable []string `json:"inheritable,omitzero" class:"replace" format:"capability"`
	// Ambient is what a user other than the superuser keeps over execve(2); of permitted and inheritable.
	Ambient []string `json:"ambient,omitzero" class:"replace" format:"capability"`
}

// Explicit tells that the sets are said one by one, instead of as changes of the default list.
func (c Capabilities) Explicit() bool {
	return len(c.Bounding)+len(c.Effective)+len(c.Permitted)+len(c.Inheritable)+len(c.Ambient) > 0
}

// Check tells why the kernel would refuse the sets: see "Programmatically adjusting capability sets" in capabilities(7).
func (c Capabilities) Check() error { return asOne(c.check()) }

func (c Capabilities) check() (key string, err error) {
	if c.Explicit() && len(c.Add)+len(c.Drop) > 0 {
		key = "add"
		if len(c.Add) == 0 {
			key = "drop"
		}
		return key, fault{"changes the default list, which the sets beside it replace", "say either add and drop, or the five sets"}
	}
	for _, law := range []struct {
		key, within string
		set, bound  []string
	}{
		{"effective", "permitted", c.Effective, c.Permitted},
		{"inheritable", "bounding", c.Inheritable, c.Bounding},
		{"ambient", "permitted", c.Ambient, c.Permitted},
		{"ambient", "inheritable", c.Ambient, c.Inheritable},
	} {
		if slices.Contains(law.bound, CapabilityAll) {
			continue
		}
		for _, name := range law.set {
			if !slices.Contains(law.bound, name) {
				return law.key, fault{quoteBare(name) + " is not in " + law.within, "add it there, or remove it here"}
			}
		}
	}
	return "", nil
}
