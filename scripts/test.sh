#!/bin/bash
# Runs `go test` as given on every package, then lists the skips and counts. usage: scripts/test.sh go test ...
set -uo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" -count=1 -timeout 30m -p 1 -v ./... 2>&1 | tee "$log" | grep -aE --line-buffered '^(ok|FAIL|panic|---? FAIL|\?|#|[^ ]+\.go:[0-9]+:)|^ +--- FAIL|_test\.go:[0-9]+: .*(want|got|cannot)' | grep -a --line-buffered -v 'no test files'
status=${PIPESTATUS[0]}
echo
echo "skipped:"
grep -aE 'skip: needs|--- SKIP' "$log" | sed 's/^ *//' | sort | uniq -c | sed 's/^/  /' || true
if [ "$status" != 0 ]; then
	echo "output of the failed tests:"
	grep -anE -B 60 '^ *--- FAIL|^panic|^FAIL' "$log" | tail -n 400
fi
passed=$(grep -acE '^ *--- PASS' "$log")
failed=$(grep -acE '^ *--- FAIL' "$log")
skipped=$(grep -acE '^ *--- SKIP' "$log")
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
