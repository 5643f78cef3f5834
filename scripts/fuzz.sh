#!/usr/bin/env bash
# Fuzzes, in one of two ways:
#   scripts/fuzz.sh run [SECONDS [TARGET...]]     each target for so long, 60 s unless told
#   scripts/fuzz.sh proof [SECONDS [TARGET...]]   each target until it has found the bug that is planted for it
# What is new and worth keeping is left in fuzz/found/TARGET; crashes are in fuzz/artifacts/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_FUZZ_VERSION=0.13.2
# The sanitizers are switched on by flags that only this lets a stable compiler take.
export RUSTC_BOOTSTRAP=1

mode=${1:?run or proof}
seconds=${2:-$([ "$mode" = run ] && echo 60 || echo 600)}
targets=("${@:3}")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(cd fuzz/fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//')
fi

if ! cargo fuzz --version 2>/dev/null | grep -q "cargo-fuzz $CARGO_FUZZ_VERSION"; then
    echo "Installing cargo-fuzz $CARGO_FUZZ_VERSION."
    cargo install cargo-fuzz --version "$CARGO_FUZZ_VERSION" --locked
fi

# What is new goes to the first folder; the corpus is only read.
fuzz() { # TARGET [cargo-fuzz's options...] -- [libFuzzer's options...]
    local target=$1
    shift
    mkdir -p "fuzz/found/$target"
    cargo fuzz run "$target" "fuzz/found/$target" "fuzz/corpus/$target" "$@" -use_value_profile=1 -max_len=4096
}

case $mode in
run)
    for target in "${targets[@]}"; do
        fuzz "$target" -- "-max_total_time=$seconds"
    done
    ;;
proof)
    for target in "${targets[@]}"; do
        artifacts=$(mktemp -d)
        if fuzz "$target" --features planted-bugs -- "-max_total_time=$seconds" "-artifact_prefix=$artifacts/" >"$artifacts/log" 2>&1; then
            echo "$target: the planted bug was not found in $seconds s" >&2
            exit 1
        fi
        crash=$(find "$artifacts" -name 'crash-*' | head -n 1)
        if [ -z "$crash" ]; then
            tail -n 30 "$artifacts/log" >&2
            echo "$target: it failed without a crash" >&2
            exit 1
        fi
        # Without the bug there is nothing to be found in it.
        cargo fuzz run "$target" "$crash" >/dev/null 2>"$artifacts/log" || { cat "$artifacts/log" >&2; exit 1; }
        echo "$target: found the planted bug"
        rm -r "$artifacts"
    done
    ;;
*)
    echo "$0: run or proof, not $mode" >&2
    exit 2
    ;;
esac
