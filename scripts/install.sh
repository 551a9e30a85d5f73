#!/bin/bash
# Installs what `make build` built, with units, manual pages and completions. `make install` and scripts/package.sh call it.
# usage: scripts/install.sh DESTDIR PREFIX ZSH VERSION    below DESTDIR, for a system whose programs are below PREFIX; ZSH is where its zsh looks for completions
set -euo pipefail
cd "$(dirname "$0")/.."
dest=$1 prefix=$2 zsh=$3 version=$4
umask 022
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
go run -tags pages ./cmd/reconciler "$pages"
go run ./internal/sbom bin/reconciler "$version" >"$pages/reconciler.cdx.json"

put() { # put MODE FOLDER FILE...
	local mode=$1 folder=$dest$2
	shift 2
	mkdir -p "$folder"
	install -m "$mode" "$@" "$folder"
}
put 755 "$prefix/bin" bin/reconciler
for unit in packaging/systemd/*; do
	sed "s|/usr/bin/reconciler|$prefix/bin/reconciler|" "$unit" >"$pages/${unit##*/}"
	put 644 "$prefix/lib/systemd/system" "$pages/${unit##*/}"
done
for kind in sysusers tmpfiles; do put 644 "$prefix/lib/$kind.d" packaging/$kind/reconciler.conf; done
gzip -9n "$pages"/man/*
put 644 "$prefix/share/man/man1" "$pages"/man/*.1.gz
put 644 "$prefix/share/man/man5" "$pages"/man/*.5.gz
mv "$pages/completion/reconciler.bash" "$pages/completion/reconciler"
mv "$pages/completion/reconciler.zsh" "$pages/completion/_reconciler"
put 644 "$prefix/share/bash-completion/completions" "$pages/completion/reconciler"
put 644 "$zsh" "$pages/completion/_reconciler"
put 644 "$prefix/share/fish/vendor_completions.d" "$pages/completion/reconciler.fish"
put 644 "$prefix/share/doc/reconciler" README.md "$pages/reconciler.cdx.json"
mkdir -p "$dest/etc/reconciler/manifests.d"
[ -e "$dest/etc/reconciler/config.yaml" ] || put 644 /etc/reconciler packaging/config.yaml
