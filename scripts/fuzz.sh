#!/bin/sh
# Fuzzes every target for the given time, one after the other. usage: scripts/fuzz.sh 10s
set -eu
export CGO_ENABLED=0
git grep -l '^func Fuzz' -- '*_test.go' | xargs -n 1 dirname | sort -u | while read -r dir; do
	for target in $(grep -h '^func Fuzz' "$dir"/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/'); do
		echo "== $dir $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$1" -parallel 2 "./$dir"
	done
done
