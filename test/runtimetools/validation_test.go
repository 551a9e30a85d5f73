package runtimetools

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// row is a program in the closing table.
type row struct {
	program    string
	runc, ours outcome
}

// Every line that runc passes on this machine passes here, but for the exclusions. A difference counts when it shows twice: the programs
// wait for fixed times, on machines that are busy with others.
func TestValidation(t *testing.T) {
	s := newSuite(t)
	var mu sync.Mutex
	var rows []row
	t.Cleanup(func() { // when the parallel tests have ended
		for _, r := range s.runtimes {
			if left := r.clean(t); len(left) > 0 {
				t.Logf("containers that the programs leave to %s: %d", r.name, len(left))
			}
		}
		cleanCgroups(t)
		report(t, rows)
	})
	for _, program := range s.names(t) {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			r := row{program: program}
			for try := range 2 {
				r.runc, r.ours = s.run(t, program, s.runtimes[0]), s.run(t, program, s.runtimes[1])
				if len(r.unexcused()) == 0 {
					break
				}
				if try == 0 {
					t.Logf("differs, and is tried again: %q", r.unexcused())
				}
			}
			if unexcused := r.unexcused(); len(unexcused) > 0 {
				t.Errorf("runc passes, and this does not: %s\n%s", strings.Join(unexcused, "\n    "), r.ours.messages)
			}
			for _, e := range exclusions {
				if e.program == program && r.stale(e) {
					t.Errorf("the exclusion %q is not needed any more", e.lines)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			rows = append(rows, r)
		})
	}
}

// differences are the lines that runc passes and this runtime does not.
func (r row) differences() (lines []string) {
	for _, line := range slices.Sorted(maps.Keys(r.runc.verdicts)) {
		if r.runc.verdicts[line] && !r.ours.verdicts[line] {
			lines = append(lines, line)
		}
	}
	if r.runc.code == 0 && r.ours.code != 0 {
		lines = append(lines, fmt.Sprintf("(ends with code %d)", r.ours.code))
	}
	return lines
}

// unexcused are the differences that no exclusion is for.
func (r row) unexcused() []string {
	return slices.DeleteFunc(r.differences(), func(line string) bool {
		return slices.ContainsFunc(exclusions, func(e exclusion) bool { return e.program == r.program && strings.HasPrefix(line, e.lines) })
	})
}

// stale tells whether both pass what an exclusion is for.
func (r row) stale(e exclusion) bool {
	passed := 0
	for line, ok := range r.runc.verdicts {
		if !strings.HasPrefix(line, e.lines) {
			continue
		}
		if ok && !r.ours.verdicts[line] {
			return false
		}
		if ok {
			passed++
		}
	}
	return passed > 0
}

// report logs the table: for each program the lines passed and not passed.
func report(t *testing.T, rows []row) {
	t.Helper()
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.program, b.program) })
	var table strings.Builder
	fmt.Fprintf(&table, "%-34s %13s %13s\n", "lines passed, not passed", "runc", "this runtime")
	var programs [2]int
	var lines [2]int
	for _, r := range rows {
		fmt.Fprintf(&table, "%-34s", r.program)
		for i, o := range []outcome{r.runc, r.ours} {
			fmt.Fprintf(&table, " %6d, %5d", o.count(true), o.count(false))
			if lines[i] += o.count(true); o.count(false) == 0 && o.code == 0 {
				programs[i]++
			}
		}
		fmt.Fprintln(&table)
		for _, reason := range reasons(r.program) {
			fmt.Fprintf(&table, "    excluded, because %s:\n", reason)
			for _, e := range exclusions {
				if e.program == r.program && e.reason == reason {
					fmt.Fprintf(&table, "        %s (runc passes %s)\n", e.lines, passes(r.runc, e.lines))
				}
			}
		}
		for _, line := range slices.Sorted(maps.Keys(r.ours.verdicts)) {
			if ok, said := r.runc.verdicts[line]; said && !ok && r.ours.verdicts[line] {
				fmt.Fprintf(&table, "    only here: %s\n", line)
			}
		}
	}
	t.Logf("\n%s", table.String())
	t.Logf("%d programs: runc passes all of %d and %d lines, this runtime all of %d and %d lines", len(rows), programs[0], lines[0], programs[1], lines[1])
}

// reasons are those of a program's exclusions, each once.
func reasons(program string) (list []string) {
	for _, e := range exclusions {
		if e.program == program && !slices.Contains(list, e.reason) {
			list = append(list, e.reason)
		}
	}
	return list
}

// passes says how the lines that begin with a text went.
func passes(o outcome, prefix string) string {
	passed, all := 0, 0
	for line, ok := range o.verdicts {
		if strings.HasPrefix(line, prefix) {
			if all++; ok {
				passed++
			}
		}
	}
	return fmt.Sprintf("%d of %d", passed, all)
}
