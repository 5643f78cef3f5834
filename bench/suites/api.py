"""`GET /trunks/{id}` beside a bare axum handler that returns the same JSON, and how old an answer may be after a write."""

import http.client
import json
import os
import re
import subprocess
import time

from kit import addresses
from kit.node import Node
from kit.process import Process, until
from kit.results import Budget, ratio, shown, table

BARE = "127.0.0.1:8081"
# The simulated carrier, which answers OPTIONS.
CARRIER = "127.0.0.2:5060"
# Requests are counted, and the log has a span of each, as they have in service; no limit is reached.
SETTINGS = {"TANDEM_API_RATE_LIMIT": "1000000", "TANDEM_LOG": "info"}
CONNECTIONS = 8
SECONDS = 5
TRUNKS = (1, 20)
WRITES = 200


def run(bench):
    bare = bench.binary.parent / "examples/bare"
    if not bare.is_file():
        raise RuntimeError(f"{bare} is missing: build it with `cargo build --release -p tandem-server --example bare`")
    for number in bench.runs():
        with Node(bench.binary, bench.folder / "node", **SETTINGS) as node, _carrier(bench) as _:
            ids = [node.add_trunk(f"trunk {index}", CARRIER, "outbound", options_interval=30) for index in range(max(TRUNKS))]
            paths = [f"/api/v1/telephony/trunks/{id}" for id in ids]
            for path in paths:
                until(lambda: node.request("GET", path)[1]["health_status"] == "healthy", "a healthy trunk", 30)
            shown_once = bench.folder / "trunk.json"
            shown_once.write_text(json.dumps(node.request("GET", paths[0])[1]))
            # As many threads as the node has for its API.
            threads = {"TOKIO_WORKER_THREADS": str(max(1, len(os.sched_getaffinity(0)) // 2))}
            with Process([bare, BARE, shown_once], bench.folder / "bare.log", env=threads) as other:
                until(lambda: _answers(BARE), "the bare handler", 10)
                for trunks in TRUNKS:
                    _measure(bench, number, "tandem", node, f"http://{addresses.HTTP}", paths[:trunks], node.key)
                    _measure(bench, number, "bare axum", other, f"http://{BARE}", [f"/trunks/{id}" for id in ids[:trunks]], node.key)
            _measure_age(bench, number, node, paths[0])


def _carrier(bench):
    environment = {"TANDEM_DATA_DIR": str(bench.folder / "carrier")}
    return Process([bench.binary, "carrier", "--listen", f"{CARRIER},127.0.0.3:5060"], bench.folder / "carrier.log", env=environment)


def _answers(address):
    try:
        connection = http.client.HTTPConnection(*address.split(":"), timeout=5)
        connection.request("GET", "/trunks/1")
        return connection.getresponse().status == 200
    except OSError:
        return False


def _measure(bench, number, system, process, base, paths, key):
    """As many requests as it answers, by `wrk`, over kept connections and each trunk in turn."""
    script = bench.folder / "paths.lua"
    listed = ", ".join(json.dumps(path) for path in paths)
    script.write_text(
        f"local paths = {{{listed}}}\nlocal turn = 0\n"
        "request = function()\n  turn = turn % #paths + 1\n  return wrk.format('GET', paths[turn])\nend\n"
    )
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-s{script}", f"-HAuthorization: Bearer {key}"]
    subprocess.run([*command, "-d1s", base], check=True, stdout=subprocess.DEVNULL)
    before = process.cpu()
    finished = subprocess.run([*command, f"-d{bench.seconds(SECONDS)}s", base], check=True, stdout=subprocess.PIPE, text=True)
    spent = process.cpu() - before
    requests = int(re.search(r"(\d+) requests in", finished.stdout).group(1))
    if "Non-2xx" in finished.stdout:
        raise RuntimeError(f"{system} refused requests:\n{finished.stdout}")
    bench.results.add(
        "api", system, number, trunks=len(paths), requests=requests, us_each=round(spent.total / requests, 2), user_us=round(spent.user / requests, 2)
    )


def _measure_age(bench, number, node, path):
    """The longest time from the end of a write, which another process made, to the first answer that shows it."""
    worst = 0
    for write in range(bench.count(WRITES)):
        priority = 1 + write % 100
        if node.request("PUT", path, {"priority": priority})[0] != 200:
            raise RuntimeError("a trunk could not be changed")
        written = time.monotonic()
        until(lambda: node.request("GET", path)[1]["priority"] == priority, "an answer that shows the write", 5, step=0)
        worst = max(worst, time.monotonic() - written)
    bench.results.add("api", "tandem", number, case="age after a write by the same node", writes=bench.count(WRITES), worst_ms=round(worst * 1000, 2))


def tables(results):
    rows = []
    for trunks in TRUNKS:
        bare = results.median("api", "bare axum", "us_each", trunks=trunks)
        for system in ("bare axum", "tandem"):
            cost = results.median("api", system, "us_each", trunks=trunks)
            rows.append([trunks, system, shown(cost, 1), shown(results.median("api", system, "user_us", trunks=trunks), 1), shown(ratio(cost, bare))])
    table("GET /trunks/{id}", ["trunks in turn", "system", "µs each", "of it user", "÷ bare axum"], rows)
    worst = max(
        (ratio(results.median("api", "tandem", "us_each", trunks=trunks), results.median("api", "bare axum", "us_each", trunks=trunks)) or 0 for trunks in TRUNKS),
        default=None,
    )
    yield Budget("GET /trunks/{id}, ÷ a bare axum handler", worst or None, 2.5)
