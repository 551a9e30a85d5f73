#!/bin/bash
# Makes a package of what `make build` built. The same commit gives the same bytes, wherever it is built: see test/packaging.
# usage: VERSION=1.2.3 scripts/package.sh deb|rpm FOLDER    prints the package's path; SOURCE_DATE_EPOCH is the commit's time unless said
set -euo pipefail
cd "$(dirname "$0")/.."
kind=$1 out=$(realpath -m "$2")
: "${VERSION:?it is said by make}"
umask 022
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
# v1.2.3-4-gabc, four commits after a tag, is newer than 1.2.3; what has no tag is older than any that has.
VERSION=${VERSION#v}
case $VERSION in
[0-9]*.[0-9]*) VERSION=$(echo "$VERSION" | sed -E 's/^([0-9.]+)-/\1+/; s/-/./g') ;;
*) VERSION=0.0.0+git.$(git rev-list --count HEAD 2>/dev/null || echo 0).$VERSION VERSION=${VERSION//-/.} ;;
esac
export VERSION
arch=$(go env GOARCH)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $kind in
deb) zsh=/usr/share/zsh/vendor-completions ;;
rpm) zsh=/usr/share/zsh/site-functions ;;
*) echo "usage: $0 deb|rpm FOLDER" >&2; exit 1 ;;
esac
scripts/install.sh "$work/root" /usr "$zsh" "$VERSION"
doc=$work/root/usr/share/doc/reconciler
if [ "$kind" = deb ]; then
	{
		printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: reconciler\n\n'
		printf 'Files: *\nCopyright: 2026 the authors of reconciler\nLicense: Apache-2.0\n On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n'
	} >"$doc/copyright"
	gzip -9nc CHANGELOG.md >"$doc/CHANGELOG.md.gz"
	{
		printf 'reconciler (%s) unstable; urgency=medium\n\n  * What is new is in CHANGELOG.md.gz beside this file.\n\n' "$VERSION"
		printf ' -- %s  %s\n' "$(sed -n 's/^maintainer: "\(.*\)"/\1/p' packaging/nfpm.yaml)" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
	} | gzip -9n >"$doc/changelog.gz"
	install -D -m 644 packaging/lintian-overrides "$work/root/usr/share/lintian/overrides/reconciler"
else
	mkdir -p "$work/root/usr/share/licenses/reconciler"
	cp LICENSE "$work/root/usr/share/licenses/reconciler/"
	cp CHANGELOG.md "$doc/"
fi
chmod -R u=rwX,go=rX "$work/root"
find "$work/root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
sed -e "s|@ROOT@|$work/root|" -e "s|@SCRIPTS@|$PWD/packaging/scripts|" -e "s|@VERSION@|$VERSION|" -e "s|@ARCH@|$arch|" packaging/nfpm.yaml >"$work/nfpm.yaml"
mkdir -p "$out"
go tool -modfile=internal/tools/go.mod nfpm package --config "$work/nfpm.yaml" --packager "$kind" --target "$out" >"$work/said" || { cat "$work/said" >&2; exit 1; }
sed -n 's/^created package: //p' "$work/said"
