"""What a held call takes: PSS from 500 to 2,000 calls, twice in one process, and what is left a minute after a load."""

import time

from kit import addresses
from kit.load import HeldCalls, sip_load
from kit.node import Node
from kit.peers import Kamailio
from kit.process import slab_kib
from kit.results import Budget, shown, table

LOW, HIGH = 500, 2000
RATE = 200
SETTLE_SECONDS = 5
LOAD = {"rate": 1000, "calls": 20000}
REST_SECONDS = 60
# Noise of the second round that is no growth.
GROWTH_KIB = 256


def run(bench):
    for number in bench.runs(most=1):
        with Kamailio(bench.folder) as proxy:
            _measure(bench, number, proxy, addresses.CALLEES[:1])
        with Node(bench.binary, bench.folder / "node") as node:
            node.add_trunks()
            _measure(bench, number, node, addresses.CALLEES)
            _measure_rest(bench, number, node)


def _measure(bench, number, system, callees):
    media = f"{addresses.CALLER_MEDIA},{addresses.CALLEE_MEDIA},{addresses.MEDIA_PORT}"
    with HeldCalls(bench.tools, bench.folder, rate=RATE, calls=3 * HIGH, callees=callees, media=media) as calls:
        idle = _sizes(system)
        for round_number in (1, 2):
            sizes = {}
            for count in (LOW, HIGH):
                calls.hold(count)
                time.sleep(SETTLE_SECONDS)
                sizes[count] = _sizes(system)
            span = HIGH - LOW
            bench.results.add(
                "memory",
                system.name,
                number,
                round=round_number,
                kib_per_call=round((sizes[HIGH]["pss"] - sizes[LOW]["pss"]) / span, 2),
                slab_kib_per_call=round((sizes[HIGH]["slab"] - sizes[LOW]["slab"]) / span, 2),
                sockets_per_call=round((sizes[HIGH]["sockets"] - sizes[LOW]["sockets"]) / span, 2),
                idle_kib=idle["pss"],
                low_kib=sizes[LOW]["pss"],
                high_kib=sizes[HIGH]["pss"],
            )
            calls.end()
            system.expect_records(HIGH)
            # What SIP keeps of a call that has ended, it keeps for 32 s (timers D, H, L and M).
            time.sleep(bench.seconds(40))


def _sizes(system):
    return {"pss": system.pss_kib(), "slab": slab_kib(), "sockets": system.sockets()}


def _measure_rest(bench, number, node):
    """Two loads in a row: what the second adds is a leak, what the first leaves is the allocator's."""
    left = [node.pss_kib()]
    peaks = []
    for _ in range(2):
        report = sip_load(bench.tools, LOAD["rate"], bench.count(LOAD["calls"]))
        peaks.append(node.pss_kib())
        node.expect_records(report["ok"])
        time.sleep(bench.seconds(REST_SECONDS))
        left.append(node.pss_kib())
    bench.results.add("memory", node.name, number, after_load_kib=peaks, rest_kib=left, rest_seconds=bench.seconds(REST_SECONDS))


def tables(results):
    def get(system, turn, figure):
        return results.median("memory", system, figure, round=turn)

    rows = []
    for system in ("kamailio", "tandem"):
        for turn in (1, 2):
            if get(system, turn, "kib_per_call") is not None:
                sizes = [shown(get(system, turn, f"{name}_kib"), 0) for name in ("idle", "low", "high")]
                costs = [shown(get(system, turn, name)) for name in ("kib_per_call", "slab_kib_per_call", "sockets_per_call")]
                rows.append([system, turn, *sizes, *costs])
    head = ["system", "round", "idle KiB", f"{LOW} calls", f"{HIGH:,} calls", "KiB a call", "kernel slab KiB", "sockets"]
    table("Memory of a held call (PSS; kamailio has no media)", head, rows)
    rest = [line for line in results.of("memory", "tandem") if "rest_kib" in line]
    rows = [
        [turn, shown(before, 0), shown(peak, 0), shown(after, 0)]
        for line in rest[:1]
        for turn, (before, peak, after) in enumerate(zip(line["rest_kib"], line["after_load_kib"], line["rest_kib"][1:]), 1)
    ]
    table(
        f"Memory beside loads of {LOAD['calls']:,} calls at {LOAD['rate']:,} a second",
        ["load", "before KiB", "at its end", "60 s later"],
        rows,
    )
    yield Budget("memory of a held call", get("tandem", 1, "kib_per_call"), 24, " KiB")
    first, second = get("tandem", 1, "high_kib"), get("tandem", 2, "high_kib")
    growth = second - first if first is not None and second is not None else None
    yield Budget("growth in the second round", growth, GROWTH_KIB, " KiB")
