#!/usr/bin/env bash
# Makes sure that the tools of `make lint` are there in the versions that the checks were written for. They are built from crates.io
# on first use (cargo-deny takes some minutes) and stay where cargo keeps its programs, so later runs find them.
set -euo pipefail

# Crate and version; each is a subcommand of cargo.
tools=(
	"cargo-deny 0.20.2"
	"cargo-machete 0.9.2"
)

for tool in "${tools[@]}"; do
	read -r crate version <<<"$tool"
	installed=$(cargo "${crate#cargo-}" --version 2>/dev/null || true)
	if [[ "${installed##* }" == "$version" ]]; then
		continue
	fi
	echo "Installing $crate $version."
	cargo install --locked --version "$version" "$crate"
done
