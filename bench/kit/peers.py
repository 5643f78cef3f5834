"""What Tandem is measured against: Kamailio and rtpengine from Debian, and the bare loop."""

import shutil
import subprocess
import time
from pathlib import Path

from kit import addresses
from kit.process import Process, until

CONFIGURATION = Path(__file__).resolve().parent.parent / "kamailio" / "proxy.cfg"

# All that a load may need; only what is touched counts.
SHARED_MEMORY_MIB = 2048
PRIVATE_MEMORY_MIB = 32


class Kamailio(Process):
    """A dialog-aware proxy with one worker. Its default allocator, `qm`, is three times as dear as `fm`."""

    name = "kamailio"

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            [
                program("kamailio"),
                *("-f", CONFIGURATION),
                *("-DD", "-E", "-x", "fm"),
                *("-m", SHARED_MEMORY_MIB, "-M", PRIVATE_MEMORY_MIB),
                *("-Y", folder),
                f"--substdef=!LISTEN!{addresses.SYSTEM}!g",
                f"--substdef=!NEXT_HOP!{addresses.CALLEES[0]}!g",
            ],
            folder / "kamailio.log",
        )
        # It has no sign of being ready.
        time.sleep(2)
        self.expect_running()

    def expect_records(self, count):
        """It keeps none. What its timers still have to do is done soon."""
        time.sleep(1)


class Rtpengine(Process):
    """In user space, with one thread for packets."""

    name = "rtpengine"
    control = ("127.0.0.1", 2223)

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        first, last = addresses.RTP_PORTS.split("-")
        super().__init__(
            [
                program("rtpengine"),
                *("--config-file=none", "--table=-1", "--foreground", "--log-stderr", "--log-level=4", "--num-threads=1"),
                f"--interface={addresses.SYSTEM_HOST}",
                f"--listen-ng={self.control[0]}:{self.control[1]}",
                *(f"--port-min={first}", f"--port-max={last}"),
            ],
            folder / "rtpengine.log",
        )
        time.sleep(1.5)
        self.expect_running()


class Floor(Process):
    """The bare loop."""

    FIRST_PORT = 20000

    def __init__(self, tools, folder, mode, calls):
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"floor {mode}"
        self._calls = calls
        command = [tools / "floor", mode, calls, self.FIRST_PORT, addresses.CALLER_MEDIA, addresses.CALLEE_MEDIA, addresses.MEDIA_PORT]

        def start():
            # The kernel gives the ports of an io_uring back some time after its process.
            super(Floor, self).__init__(command, folder / "floor.log", stdout=subprocess.PIPE)
            return self.stdout.readline() == b"ready\n"

        until(start, f"{self.name}:\n{(folder / 'floor.log')}", 10, step=0.5)

    def streams(self):
        """Lines of rtpgen's map."""
        for call in range(self._calls):
            port = addresses.MEDIA_PORT + 2 * call
            first = self.FIRST_PORT + 4 * call
            yield f"{addresses.CALLER_MEDIA} {port} 127.0.0.1 {first}"
            yield f"{addresses.CALLEE_MEDIA} {port} 127.0.0.1 {first + 2}"


def program(name):
    """Debian keeps servers in folders that only root has in its path."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        raise RuntimeError(f"{name} is missing: run scripts/install-bench-peers.sh")
    return found


def versions():
    """What Debian calls the peers' versions."""
    wanted = "${Package} ${Version}\n"
    packages = ["kamailio", "rtpengine-daemon", "ngcp-rtpengine-daemon"]
    listed = subprocess.run(["dpkg-query", "-W", "-f", wanted, *packages], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return dict(line.split(" ", 1) for line in listed.stdout.splitlines() if not line.endswith(" "))
