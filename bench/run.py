#!/usr/bin/env -S python3 -B
"""Measures Tandem beside its peers and judges the figures by the budgets. `make bench` builds and installs what it needs.

Every system is started anew for each measurement, the systems take turns, and a table shows the median of the runs. What a
system costs is the CPU time, user and system, of its processes for a unit of work, taken once every record is in the database.
Everything is on loopback.
"""

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

from kit import peers
from kit.results import Results, table
from suites import api, calls, memory, parse, refusals, relay

HERE = Path(__file__).resolve().parent
SUITES = {"parse": parse, "relay": relay, "calls": calls, "memory": memory, "refusals": refusals, "api": api}
# A run that only shows that all works.
QUICK_SHARE = 0.1


class Bench:
    """What the suites are given."""

    def __init__(self, options, results):
        self.binary = options.tandem.resolve()
        self.folder = options.folder.resolve()
        self.tools = self.folder / "tools"
        self.results = results
        self._runs = options.runs
        self._share = QUICK_SHARE if options.quick else 1

    def runs(self, most=None):
        return range(1, min(self._runs, most or self._runs) + 1)

    def count(self, calls):
        return max(1, int(calls * self._share))

    def seconds(self, span):
        return max(1, span * self._share)


def machine():
    """What the figures were taken on."""
    models = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else "unknown",
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
        **peers.versions(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; all of them unless named")
    parser.add_argument("--tandem", type=Path, default=HERE.parent / "target/release/tandem", help="the binary, built in release")
    parser.add_argument("--folder", type=Path, default=HERE.parent / "target/bench", help="for tools, logs, data and results")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of every load: shows that all works, not what it costs")
    parser.add_argument("--realtime", action="store_true", help="root only: before everything else that runs on this machine")
    parser.add_argument("--show", type=Path, metavar="FILE", help="measure nothing; show the tables of these results")
    options = parser.parse_args()
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"there is no suite {unknown[0]}; there are {', '.join(SUITES)}")
    chosen = options.suites or list(SUITES)
    failed = []

    if options.show:
        results = Results.read(options.show)
    else:
        if not options.tandem.is_file():
            parser.error(f"{options.tandem} is missing: build it with `make build`")
        if options.realtime:
            # What is measured and what measures it inherit this.
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        options.folder.mkdir(parents=True, exist_ok=True)
        results = Results(options.folder / "results.jsonl")
        bench = Bench(options, results)
        subprocess.run(["make", "-s", "-C", HERE / "load", f"OUT={bench.tools}"], check=True)
        results.add("machine", "all", 0, realtime=options.realtime, **machine())
        for name in chosen:
            try:
                SUITES[name].run(bench)
            except (RuntimeError, TimeoutError, subprocess.SubprocessError) as error:
                print(f"{name} was not measured to its end: {error}", file=sys.stderr)
                failed.append(name)

    budgets = [budget.row() for name in chosen for budget in SUITES[name].tables(results)]
    table("Budgets", ["work", "budget", "measured", "verdict"], budgets)
    if not options.show:
        print(f"\nraw results: {options.folder / 'results.jsonl'}; show them again with {sys.argv[0]} --show FILE")
    sys.exit(1 if failed else 0)


main()
