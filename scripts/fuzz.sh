#!/bin/sh
# Fuzzes every target with the given number of inputs, one after the other. A number, not a time: the end of a time can fail a target
# that found nothing (go.dev/issue/75804, until Go 1.27). usage: scripts/fuzz.sh 20000x
set -eu
export CGO_ENABLED=0
git grep -l '^func Fuzz' -- '*_test.go' | xargs -n 1 dirname | sort -u | while read -r dir; do
	for target in $(grep -h '^func Fuzz' "$dir"/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do
		echo "== $dir $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" -fuzzminimizetime 1000x -parallel 2 "./$dir"
	done
done
