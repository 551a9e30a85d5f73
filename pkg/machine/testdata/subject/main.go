// Command subject is what containers run that images are taken of. It sets up parts, says "up", and at each SIGUSR1 looks whether all of them are still as
// they were, and work.
package main

import (
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// parts set something up, and give what looks at it again. What comes after = in a part's word is its argument.
var parts = map[string]func(arg string) func() error{}

// roles are what further processes do.
var roles = map[string]func(args []string){"serve": serve}

func main() {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		roles[os.Args[1]](os.Args[2:])
		return
	}
	asked := make(chan os.Signal, 8)
	signal.Notify(asked, syscall.SIGUSR1)
	checks := map[string]func() error{}
	for _, word := range os.Args[1:] {
		name, arg, _ := strings.Cut(word, "=")
		if parts[name] == nil {
			fatal("no part %q", name)
		}
		checks[word] = parts[name](arg)
	}
	fmt.Println("up")
	for round := 1; ; round++ {
		<-asked
		failed := 0
		for _, word := range slices.Sorted(maps.Keys(checks)) {
			if err := checks[word](); err != nil {
				fmt.Printf("round %d: %s: %v\n", round, word, err)
				failed++
			}
		}
		fmt.Printf("round %d: %d failed of %d\n", round, failed, len(checks))
	}
}

func fatal(format string, args ...any) {
	fmt.Printf("FATAL "+format+"\n", args...)
	os.Exit(3)
}

// must ends what cannot be set up.
func must(what string, err error) {
	if err != nil {
		fatal("%s: %v", what, err)
	}
}

func got[T any](what string) func(v T, err error) T {
	return func(v T, err error) T {
		must(what, err)
		return v
	}
}

func number(arg string, otherwise int) int {
	if n, err := strconv.Atoi(arg); err == nil {
		return n
	}
	return otherwise
}

// want compares.
func want[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}
