#!/usr/bin/env bash
# Runs one of the clients against a node: `run.sh python|typescript|schemathesis`. TANDEM_URL, TANDEM_KEY, TANDEM_SMALL_KEY and
# TANDEM_PEER say which, as python/contract.py tells. What is generated stays below cargo's target folder.
set -euo pipefail
cd "$(dirname "$0")/../.."

tools=$(realpath "${CARGO_TARGET_DIR:-target}/clients")
document=$(realpath crates/control/openapi.json)
sources=$PWD/tests/clients

case $1 in
python)
	work=$tools/python-client
	rm -rf "$work"
	mkdir -p "$work"
	"$tools/python/bin/openapi-python-client" generate --path "$document" --config "$sources/python/generator.yaml" \
		--meta none --output-path "$work/tandem_client" --fail-on-warning
	PYTHONPATH=$work "$tools/python/bin/python" "$sources/python/contract.py"
	;;
typescript)
	work=$tools/typescript
	rm -rf "$work/generated" "$work/built"
	cp "$sources/typescript/contract.ts" "$sources/typescript/tsconfig.json" "$work"
	cd "$work"
	# What may have any members is an object of whatever, not an object without members.
	node_modules/.bin/openapi-typescript "$document" --output generated/tandem.ts --empty-objects-unknown --default-non-nullable=false
	node_modules/.bin/tsc --project .
	node built/contract.js
	;;
schemathesis)
	cd "$tools"
	exec "$tools/python/bin/schemathesis" --config-file "$sources/schemathesis.toml" run "$document" --url "$TANDEM_URL" \
		--header "Authorization: Bearer $TANDEM_KEY" --max-examples "${EXAMPLES:-5}" --seed "${SEED:-1}"
	;;
*)
	echo "run.sh python|typescript|schemathesis" >&2
	exit 2
	;;
esac
