#!/usr/bin/env bash
# Makes sure that the tools are there which make clients from the OpenAPI document and try out what it says: in the versions that are
# written down in tests/clients, below cargo's target folder, where nothing else on the machine sees them. Nothing is asked of the
# network when nothing has changed.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=${CARGO_TARGET_DIR:-target}/clients
mkdir -p "$tools"

wanted=tests/clients/python/requirements.txt
if ! cmp -s "$wanted" "$tools/python/requirements.txt"; then
	echo "Installing the Python tools of tests/clients."
	rm -rf "$tools/python"
	python3 -m venv "$tools/python"
	"$tools/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$wanted"
	cp "$wanted" "$tools/python/requirements.txt"
fi

wanted=tests/clients/typescript
if ! cmp -s "$wanted/package-lock.json" "$tools/typescript/installed-lock.json"; then
	echo "Installing the TypeScript tools of tests/clients."
	rm -rf "$tools/typescript"
	mkdir -p "$tools/typescript"
	cp "$wanted/package.json" "$wanted/package-lock.json" "$tools/typescript"
	npm ci --prefix "$tools/typescript" --no-audit --no-fund --loglevel error
	cp "$wanted/package-lock.json" "$tools/typescript/installed-lock.json"
fi
