package seccomp

// muxed is a call that i386 programs can also, or only, make through socketcall(2) or ipc(2): with its number there as
// the first argument.
type muxed struct {
	through string
	number  uint64
}

// mux386 are all of them, see linux/net.h and linux/ipc.h.
var mux386 = map[string]muxed{
	"socket": {"socketcall", 1}, "bind": {"socketcall", 2}, "connect": {"socketcall", 3}, "listen": {"socketcall", 4},
	"accept": {"socketcall", 5}, "getsockname": {"socketcall", 6}, "getpeername": {"socketcall", 7},
	"socketpair": {"socketcall", 8}, "send": {"socketcall", 9}, "recv": {"socketcall", 10}, "sendto": {"socketcall", 11},
	"recvfrom": {"socketcall", 12}, "shutdown": {"socketcall", 13}, "setsockopt": {"socketcall", 14},
	"getsockopt": {"socketcall", 15}, "sendmsg": {"socketcall", 16}, "recvmsg": {"socketcall", 17},
	"accept4": {"socketcall", 18}, "recvmmsg": {"socketcall", 19}, "sendmmsg": {"socketcall", 20},

	"semop": {"ipc", 1}, "semget": {"ipc", 2}, "semctl": {"ipc", 3}, "semtimedop": {"ipc", 4},
	"msgsnd": {"ipc", 11}, "msgrcv": {"ipc", 12}, "msgget": {"ipc", 13}, "msgctl": {"ipc", 14},
	"shmat": {"ipc", 21}, "shmdt": {"ipc", 22}, "shmget": {"ipc", 23}, "shmctl": {"ipc", 24},
}

// lead is how many bits of the first argument name the call: ipc(2) keeps a version above them.
var lead = map[string]uint64{"socketcall": 1<<32 - 1, "ipc": 1<<16 - 1}

// rule is a rule on the call as one on that through which it goes. The arguments are then behind a pointer or in other
// places, where a filter does not see them: a rule that asks for them counts only if it is stricter than the verdict
// without it. (libseccomp lets it count always, so that a condition on an allowed call is no condition.)
func (m muxed) rule(r Rule, denied Action) (Rule, bool) {
	if len(r.If) > 0 && !r.Then.stricter(denied) {
		return Rule{}, false
	}
	return Rule{If: []Condition{{Op: Equal, Mask: lead[m.through], Value: m.number}}, Then: r.Then}, true
}
