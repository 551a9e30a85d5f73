package spec

import "strings"

// Device is a device of the node that the container gets a node of, and may use. Without source, type and numbers it is the node's device
// of the same path.
type Device struct {
	// Path is where the device is inside the container: /dev/kvm. What is missing above it is made.
	Path string `json:"path" class:"replace" format:"devicePath"`
	// Source is the absolute path of the device on the node. Default: the same as path.
	Source string `json:"source,omitzero" class:"replace" format:"path"`
	// Type is c (character), b (block) or p (pipe). Default: that of source. With a type, source is not looked at.
	Type DeviceType `json:"type,omitzero" class:"replace"`
	// Major is the number of the driver. Default: that of source.
	Major Number `json:"major,omitzero" class:"replace" min:"0" max:"4095"`
	// Minor is the number of the device. Default: that of source.
	Minor Number `json:"minor,omitzero" class:"replace" min:"0" max:"1048575"`
	// Mode is the file mode as an octal string. Default: that of source, or "0666".
	Mode string `json:"mode,omitzero" class:"replace" format:"deviceMode"`
	// UID is the user the node belongs to, as the container counts. Default 0.
	UID Number `json:"uid,omitzero" class:"replace" min:"0" max:"4294967294"`
	// GID is the group the node belongs to, as the container counts. Default 0.
	GID Number `json:"gid,omitzero" class:"replace" min:"0" max:"4294967294"`
	// Access is what the container may do with it: r (read), w (write) and m (make further nodes). Default rwm. Not looked at where spec.deviceRules is said.
	Access string `json:"access,omitzero" class:"replace" format:"access"`
}

// DeviceType is a kind of device node, as ls(1) shows it.
type DeviceType string

// The kinds of device nodes.
const (
	DeviceChar  DeviceType = "c"
	DeviceBlock DeviceType = "b"
	DevicePipe  DeviceType = "p"
)

// DeviceRule allows or denies the use of devices.
type DeviceRule struct {
	// Allow says whether the devices may be used.
	Allow bool `json:"allow" class:"live"`
	// Type is c (character), b (block) or a (both; default).
	Type DeviceRuleType `json:"type,omitzero" class:"live"`
	// Major is the number of the driver. Default: any.
	Major Number `json:"major,omitzero" class:"live" min:"0" max:"4294967295"`
	// Minor is the number of the device. Default: any.
	Minor Number `json:"minor,omitzero" class:"live" min:"0" max:"4294967295"`
	// Access is what is allowed or denied: r (read), w (write) and m (make nodes). Default rwm.
	Access string `json:"access,omitzero" class:"live" format:"access"`
}

// DeviceRuleType is the kind of device a rule is about.
type DeviceRuleType string

// The kinds of devices in rules.
const (
	RuleAll   DeviceRuleType = "a"
	RuleChar  DeviceRuleType = "c"
	RuleBlock DeviceRuleType = "b"
)

// DefaultDeviceRules are those of a container that says none: it may make any node, and use the harmless devices and its terminals.
// The console, c 5:1, is not among them: /dev/console of a container is a terminal, and that number is the node's own.
var DefaultDeviceRules = []DeviceRule{
	{Allow: false},
	{Allow: true, Type: RuleChar, Access: "m"},
	{Allow: true, Type: RuleBlock, Access: "m"},
	{Allow: true, Type: RuleChar, Major: NewNumber(1), Minor: NewNumber(3)}, // null
	{Allow: true, Type: RuleChar, Major: NewNumber(1), Minor: NewNumber(5)}, // zero
	{Allow: true, Type: RuleChar, Major: NewNumber(1), Minor: NewNumber(7)}, // full
	{Allow: true, Type: RuleChar, Major: NewNumber(1), Minor: NewNumber(8)}, // random
	{Allow: true, Type: RuleChar, Major: NewNumber(1), Minor: NewNumber(9)}, // urandom
	{Allow: true, Type: RuleChar, Major: NewNumber(5), Minor: NewNumber(0)}, // tty
	{Allow: true, Type: RuleChar, Major: NewNumber(5), Minor: NewNumber(2)}, // ptmx
	{Allow: true, Type: RuleChar, Major: NewNumber(136)},                    // terminals
}

// checkDevicePath checks where a node is to be made.
func checkDevicePath(s string) error {
	if err := checkPath(s); err != nil {
		return err
	}
	for _, dir := range []string{"/proc", "/sys"} {
		if s == dir || strings.HasPrefix(s, dir+"/") {
			return fault{"no device can be below " + dir, "what is there is the kernel's: devices go below /dev"}
		}
	}
	return nil
}

func checkAccess(s string) error {
	for i, letter := range s {
		if strings.ContainsRune(s[:i], letter) {
			return faultf("%s is said twice in %s", string(letter), quote(s))
		}
	}
	return nil
}
