#!/bin/bash
# Everything that must hold besides the tests: generated files fresh, formatted, vetted, linted, within budget. `make check` says LEAN, how the binary is built.
set -euo pipefail
export CGO_ENABLED=0
: "${LEAN:?it is said by make check}"
tool() { go tool -modfile=internal/tools/go.mod "$@"; }

echo "== generated files"
go generate ./...
git diff --exit-code -- manifests/.schema.json docs pkg packaging/config.yaml || { echo "error: generated files are stale; run make generate and commit" >&2; exit 1; }
echo "== format"
unformatted=$(git ls-files '*.go' | xargs go tool -modfile=internal/tools/go.mod gofumpt -l)
[ -z "$unformatted" ] || { echo "error: not formatted (gofumpt -w): $unformatted" >&2; exit 1; }
echo "== vet, amd64 and arm64"
go vet ./...
GOARCH=arm64 go vet ./...
go vet -tags pages ./cmd/reconciler
echo "== staticcheck"
tool staticcheck ./...
echo "== budget"
# shellcheck disable=SC2086 # words
go build -trimpath $LEAN -ldflags '-s -w' -o bin/reconciler ./cmd/reconciler
size=$(stat -c %s bin/reconciler)
modules=$(go version -m bin/reconciler | grep -c '^	dep')
cgo=$(go list -deps -f '{{if .CgoFiles}}{{.ImportPath}}{{end}}' ./cmd/reconciler | wc -l)
echo "binary $size bytes (budget 16777216), $modules modules (budget 45), $cgo cgo packages (budget 0), $(file -b bin/reconciler 2>/dev/null | grep -o 'statically linked' || echo 'linkage not checked: no file command')"
[ "$size" -le 16777216 ] && [ "$modules" -le 45 ] && [ "$cgo" -eq 0 ]
