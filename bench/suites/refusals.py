"""What it costs to say no: to a stranger, on a full trunk, and to what is no SIP; as a share of an accepted call."""

from kit import addresses
from kit.load import Garbage, HeldCalls, sip_load
from kit.node import Node
from kit.results import Budget, ratio, shown, table

RATE = 500
# Where messages come so close that a refusal costs what it does, and not a wake-up more: who floods is refused at this price.
FLOOD_RATE = 3000
CALLS = 10000
GARBAGE_RATE = 5000
FORBIDDEN, UNAVAILABLE = 403, 503


def run(bench):
    for number in bench.runs():
        with Node(bench.binary, bench.folder / "node") as node:
            node.add_trunks()
            node.add_trunk("narrow", addresses.NARROW_CALLER, "inbound", max_calls=1, connect="echo")
            for rate in (FLOOD_RATE, RATE):
                accepted = _measure(bench, number, node, "accepted", addresses.CALLERS, 200, rate)
                _measure(bench, number, node, "stranger", [addresses.STRANGER], FORBIDDEN, rate)
            _measure_full(bench, number, node)
            _measure_garbage(bench, number, node, accepted)


def _measure(bench, number, node, case, callers, status, rate=RATE):
    calls = bench.count(CALLS)
    before = node.cpu()
    report = sip_load(bench.tools, rate, calls, callers=callers, expect=status)
    # Refusals have records of their own, which it waits for too.
    node.expect_records(report["ok"] if status == 200 else 0)
    spent = node.cpu() - before
    each = round(spent.total / max(report["ok"], 1), 1)
    delays = {name: report[name] for name in ("invite_through_us", "invite_to_final_us")}
    figures = {name: report[name] for name in ("calls", "ok", "failed", "resent", "statuses")}
    bench.results.add("refusals", node.name, number, case=case, rate=rate, us_each=each, **figures, **delays)
    return spent


def _measure_full(bench, number, node):
    # The node itself answers the one call that has the slot.
    holder, nobody = [addresses.NARROW_HOLDER], [addresses.NARROW_CALLEE]
    with HeldCalls(bench.tools, bench.folder, rate=10, calls=1, callers=holder, callees=nobody) as held:
        held.hold(1)
        _measure(bench, number, node, "full trunk", [addresses.NARROW_CALLER], UNAVAILABLE)
        held.end()
    node.expect_records(1)


def _measure_garbage(bench, number, node, accepted):
    seconds = bench.count(CALLS) / RATE
    with Garbage(bench.tools, bench.folder, GARBAGE_RATE, seconds) as garbage:
        spent = _measure(bench, number, node, "beside garbage", addresses.CALLERS, 200)
        report = garbage.report()
    each = (spent.total - accepted.total) / report["sent"]
    bench.results.add("refusals", node.name, number, case="garbage", us_each=round(each, 2), **report)


def tables(results):
    def get(case, figure, rate=RATE):
        # Garbage has a rate of its own.
        by_rate = {} if case == "garbage" else {"rate": rate}
        return results.median("refusals", "tandem", figure, case=case, **by_rate)

    accepted = get("accepted", "us_each")
    rows = []
    for rate in (RATE, FLOOD_RATE):
        for case in ("accepted", "stranger", "full trunk", "beside garbage", "garbage"):
            cost = get(case, "us_each", rate)
            if cost is None or (case == "garbage" and rate != RATE):
                continue
            share = ratio(cost, get("accepted", "us_each", rate))
            delays = [shown(get(case, f"invite_through_us.{rank}", rate), 0) for rank in ("p50", "p99")]
            rows.append([rate, case, shown(cost, 1), shown(share, 3), shown(get(case, "failed", rate), 0), *delays])
    head = ["a second", "what", "µs each", "÷ accepted call", "failed", "INVITE through p50 µs", "p99"]
    table(f"Refusals, and {GARBAGE_RATE:,} garbage datagrams a second beside calls", head, rows)
    yield Budget("INVITE of a stranger, ÷ accepted call", ratio(get("stranger", "us_each"), accepted), 0.1)
    yield Budget("INVITE on a full trunk, ÷ accepted call", ratio(get("full trunk", "us_each"), accepted), 0.25)
