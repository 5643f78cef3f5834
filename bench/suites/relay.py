"""What it costs to relay one packet of 20 ms G.711: 200 calls, both ways."""

import time

from kit import addresses
from kit.load import HeldCalls, rtp_load
from kit.ng import Control
from kit.node import Node
from kit.peers import Floor, Rtpengine
from kit.results import Budget, ratio, shown, table

CALLS = 200
SECONDS = 15
FLOORS = ["ports", "connected", "uring"]
# The call set-up must be over before packets are counted.
SETTLE_SECONDS = 2


def run(bench):
    for number in bench.runs():
        for mode in FLOORS:
            with Floor(bench.tools, bench.folder, mode, CALLS) as floor:
                _measure(bench, number, floor, floor.streams(), mode)
        with Rtpengine(bench.folder) as engine:
            control = Control(engine.control)
            streams = [stream for call in range(CALLS) for stream in control.relay(call)]
            _measure(bench, number, engine, streams, "epoll")
        with Node(bench.binary, bench.folder / "node") as node:
            node.add_trunks()
            _measure_node(bench, number, node)


def _measure_node(bench, number, node):
    negotiated = bench.folder / "negotiated.map"
    media = f"{addresses.CALLER_MEDIA},{addresses.CALLEE_MEDIA},{addresses.MEDIA_PORT}"
    with HeldCalls(bench.tools, bench.folder, rate=100, calls=CALLS, media=media, map=negotiated) as calls:
        calls.hold(CALLS)
        streams = negotiated.read_text().splitlines()
        if len(streams) != 2 * CALLS:
            raise RuntimeError(f"{len(streams)} streams of {CALLS} calls")
        _measure(bench, number, node, streams, node.io_path())
        calls.end()
    node.expect_records(CALLS)


def _measure(bench, number, system, streams, io_path):
    map_file = bench.folder / "streams.map"
    map_file.write_text("".join(f"{stream}\n" for stream in streams))
    time.sleep(SETTLE_SECONDS)
    before = system.cpu()
    report = rtp_load(bench.tools, map_file, bench.seconds(SECONDS))
    spent = system.cpu() - before
    packets = report["received"]
    if packets < 0.99 * report["sent"]:
        print(f"warning: {system.name} lost packets, so that its figure says little: {report}")
    bench.results.add(
        "relay",
        system.name,
        number,
        io=io_path,
        us_per_packet=round(spent.total / packets, 3),
        user_us=round(spent.user / packets, 3),
        system_us=round(spent.system / packets, 3),
        lost_percent=round(100 * (1 - packets / report["sent"]), 3),
        delay_ms=report["delay_ms"],
        latest_ms=report["latest_ms"],
        packets=packets,
    )


def tables(results):
    def cost(system, figure="us_per_packet"):
        return results.median("relay", system, figure)

    engine, ports, tandem = cost("rtpengine"), cost("floor ports"), cost("tandem")
    rows = []
    for system in [*(f"floor {mode}" for mode in FLOORS), "rtpengine", "tandem"]:
        lines = results.of("relay", system)
        if lines:
            costs = [shown(cost(system, figure)) for figure in ("us_per_packet", "user_us", "system_us")]
            ratios = [shown(ratio(cost(system), engine)), shown(ratio(cost(system), ports))]
            delays = [shown(cost(system, "delay_ms.p50")), shown(cost(system, "delay_ms.p99")), shown(cost(system, "lost_percent"))]
            rows.append([system, lines[0]["io"], *costs, *ratios, *delays])
    head = ["system", "I/O", "µs a packet", "user", "system", "÷ rtpengine", "÷ floor ports", "delay p50 ms", "p99", "lost %"]
    table(f"Relay of one 20 ms G.711 packet, {CALLS} calls", head, rows)
    yield Budget("relay of a packet, ÷ rtpengine", ratio(tandem, engine), 0.7, aim=0.5)
    yield Budget("relay of a packet, ÷ bare loop", ratio(tandem, ports), 1.25, aim=1.0)
