"""What a call costs from INVITE to BYE, with media ports and its record in the database, and how long its INVITE takes to come through."""

import time

from kit import addresses
from kit.load import sip_load
from kit.node import Node
from kit.peers import Kamailio
from kit.results import Budget, ratio, shown, table

# Calls a second, and how many calls.
LOADS = {100: 2000, 500: 10000, 1000: 20000, 3000: 30000}
BUDGET_RATE = 1000
# Half of the budget's load: what set-up delay is judged at.
DELAY_RATE = 500
WARM_UP = {"rate": 500, "calls": 1000}


def run(bench):
    for number in bench.runs():
        _measure_direct(bench, number)
        for rate in LOADS:
            with Kamailio(bench.folder) as proxy:
                _measure(bench, number, proxy, rate, callees=addresses.CALLEES[:1])
            with Node(bench.binary, bench.folder / "node") as node:
                node.add_trunks()
                _measure(bench, number, node, rate, callees=addresses.CALLEES)


def _measure_direct(bench, number):
    """The generator calling itself: what it adds to a delay."""
    callees = addresses.CALLEES[:1]
    report = sip_load(bench.tools, DELAY_RATE, bench.count(2000), target=callees[0], callees=callees)
    bench.results.add("calls", "direct", number, rate=DELAY_RATE, us_per_call=0, **_of_report(report))


def _measure(bench, number, system, rate, callees):
    calls = bench.count(LOADS[rate])
    sip_load(bench.tools, WARM_UP["rate"], WARM_UP["calls"], callees=callees)
    system.expect_records(WARM_UP["calls"])
    before = system.cpu()
    report = sip_load(bench.tools, rate, calls, callees=callees)
    load_over = system.cpu()
    began_waiting = time.monotonic()
    system.expect_records(report["ok"])
    spent = system.cpu() - before
    if report["ok"] < calls:
        print(f"warning: {system.name} failed calls: {report}")
    each = max(report["ok"], 1)
    bench.results.add(
        "calls",
        system.name,
        number,
        rate=rate,
        us_per_call=round(spent.total / each, 1),
        user_us=round(spent.user / each, 1),
        system_us=round(spent.system / each, 1),
        us_after_load=round((system.cpu() - load_over).total / each, 1),
        records_late_s=round(time.monotonic() - began_waiting, 1),
        **_of_report(report),
    )


def _of_report(report):
    kept = ("calls", "ok", "failed", "seconds", "peak", "resent", "callee_resent", "generator_us_per_call", "statuses")
    delays = ("invite_through_us", "invite_to_final_us", "bye_us")
    return {name: report[name] for name in (*kept, *delays)}


def tables(results):
    def get(system, rate, figure):
        return results.median("calls", system, figure, rate=rate)

    rows = []
    for rate in LOADS:
        proxy = get("kamailio", rate, "us_per_call")
        for system in ("kamailio", "tandem"):
            cost = get(system, rate, "us_per_call")
            if cost is not None:
                parts = [shown(get(system, rate, figure), 1) for figure in ("us_per_call", "user_us", "system_us")]
                rest = [shown(ratio(cost, proxy)), shown(get(system, rate, "failed"), 0), shown(get(system, rate, "resent"), 0)]
                rows.append([rate, system, *parts, *rest])
    head = ["calls a second", "system", "µs a call", "user", "system", "÷ kamailio", "failed", "resent"]
    table("A call, INVITE to BYE (tandem: media ports, journal and record in SQLite)", head, rows)

    rows = []
    for rate in LOADS:
        for system in ("direct", "kamailio", "tandem"):
            ranks = [get(system, rate, f"invite_through_us.{rank}") for rank in ("p50", "p90", "p99", "max")]
            if ranks[0] is not None:
                answer = [get(system, rate, f"invite_to_final_us.{rank}") for rank in ("p50", "p99")]
                rows.append([rate, system, *(shown(delay, 0) for delay in [*ranks, *answer])])
    head = ["calls a second", "system", "INVITE through, p50 µs", "p90", "p99", "max", "answer p50", "p99"]
    table("Delay of a call's set-up", head, rows)

    call = ratio(get("tandem", BUDGET_RATE, "us_per_call"), get("kamailio", BUDGET_RATE, "us_per_call"))
    yield Budget(f"call at {BUDGET_RATE:,} a second, ÷ kamailio", call, 0.75, aim=0.5)
    delay = get("tandem", DELAY_RATE, "invite_through_us.p99")
    yield Budget(f"INVITE through at {DELAY_RATE} a second, p99", delay and delay / 1000, 1, " ms")
