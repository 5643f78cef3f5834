"""Indexing a SIP message beside httparse: the bench of the crate itself, whose last line is its result."""

import json
import os
import subprocess

from kit.results import Budget, shown, table


def run(bench):
    command = [os.environ.get("CARGO", "cargo"), "bench", "--locked", "-p", "tandem-sip", "--bench", "parse"]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    last = finished.stdout.splitlines()[-1]
    for line in json.loads(last)["results"]:
        bench.results.add("parse", "tandem", 0, **line)


def tables(results):
    lines = results.of("parse")
    digits = {"sip_nanos": 0, "httparse_nanos": 0, "ratio": 2, "whole_nanos": 0, "whole_ratio": 2}
    rows = [[line["message"], *(shown(line[name], places) for name, places in digits.items())] for line in lines]
    head = ["message", "index ns", "httparse ns", "÷ httparse", "index and grammar ns", "÷ httparse"]
    table("Indexing a message", head, rows)
    judged = [line["ratio"] for line in lines if line["budget"] is not None]
    yield Budget("index of an INVITE, ÷ httparse", max(judged, default=None), 1.5)
