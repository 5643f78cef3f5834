"""Indexing a SIP message beside httparse: the bench of the crate itself, whose last line is its result."""

import json
import os
import subprocess

from kit.results import Budget, shown, table


def run(bench):
    command = [os.environ.get("CARGO", "cargo"), "bench", "--locked", "-p", "tandem-sip", "--bench", "parse"]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line for line in finished.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"no result of {' '.join(command)}:\n{finished.stdout}")
    for number, line in enumerate(lines, 1):
        bench.results.add("parse", "tandem", number, **json.loads(line))


def tables(results):
    yield Budget("index of an INVITE, ÷ httparse", results.median("parse", "tandem", "ratio"), 1.5)
