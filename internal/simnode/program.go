package simnode

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// program is what a command does, as far as an agent can tell.
type program struct {
	ends  bool // by itself
	after time.Duration
	code  int
	traps map[string]reaction // signals that are caught
	port  int                 // where it listens, 0 for nowhere
}

// reaction is what a program does on a signal it catches: exits, or nothing.
type reaction struct {
	exits bool
	code  int
}

var (
	exits  = regexp.MustCompile(`(?:sleep ([0-9.]+); *)?exit ([0-9]+)$`)
	trap   = regexp.MustCompile(`trap '(?:exit ([0-9]+)|:)' ([A-Z0-9 ]+);`)
	listen = regexp.MustCompile(`httpd -p ([0-9]+)`)
	sleeps = regexp.MustCompile(`^[0-9.]+$`)
)

// parse understands the commands that tests use; every other one runs for ever and catches nothing:
//
//	/bin/sh -c "exit 3"                      /bin/sh -c "sleep 0.5; exit 3"
//	/bin/sleep 10
//	/bin/sh -c "trap 'exit 3' TERM; ..."     /bin/sh -c "trap ':' TERM; ..."
//	/bin/sh -c "httpd -p 8080; ..."
func parse(command []string) program {
	p := program{traps: map[string]reaction{}}
	last := ""
	if len(command) > 0 {
		last = command[len(command)-1]
	}
	for _, m := range trap.FindAllStringSubmatch(last, -1) {
		code, err := strconv.Atoi(m[1])
		for _, signal := range strings.Fields(m[2]) {
			p.traps["SIG"+signal] = reaction{exits: err == nil, code: code}
		}
	}
	if m := listen.FindStringSubmatch(last); m != nil {
		p.port, _ = strconv.Atoi(m[1])
	}
	switch m := exits.FindStringSubmatch(last); {
	case m != nil:
		p.ends, p.after = true, seconds(m[1])
		p.code, _ = strconv.Atoi(m[2])
	case len(command) == 2 && sleeps.MatchString(last):
		p.ends, p.after = true, seconds(last)
	}
	return p
}

func seconds(s string) time.Duration {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return time.Duration(math.Min(f*1e9, math.MaxInt64/2))
}
