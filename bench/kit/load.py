"""The generators of bench/load, run and read."""

import json
import subprocess

from kit import addresses
from kit.process import Process

# Longer than any load here takes.
LIMIT_SECONDS = 600


def sip_command(tools, rate, calls, callers=None, callees=None, target=addresses.SYSTEM, **options):
    command = [
        tools / "sipload",
        *("--target", target),
        *("--callers", ",".join(callers or addresses.CALLERS)),
        *("--callees", ",".join(callees or addresses.CALLEES)),
        *("--prefix", addresses.NUMBER_PREFIX),
        *("--rate", rate, "--calls", calls, "--limit", LIMIT_SECONDS),
    ]
    for name, value in options.items():
        command += [f"--{name}"] if value is True else [f"--{name}", value]
    return [str(part) for part in command]


def sip_load(*arguments, **options):
    """Makes calls and gives the generator's report. `expect` is the final status that counts as success."""
    command = sip_command(*arguments, **options)
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT_SECONDS + 60, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


class HeldCalls(Process):
    """A generator that holds as many calls as it is told."""

    def __init__(self, tools, folder, rate, calls, **options):
        folder.mkdir(parents=True, exist_ok=True)
        command = sip_command(tools, rate, calls, commands=True, **options)
        super().__init__(command, folder / "sipload.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def hold(self, count):
        """Waits until so many are up."""
        event = self._order(f"hold {count}")
        if event["up"] != count:
            raise RuntimeError(f"{count} calls were to be held: {event}")

    def end(self):
        """Ends all that are up, and waits until they are."""
        self._order("end")

    def report(self):
        return self._order("quit")

    def _order(self, text):
        self.stdin.write(f"{text}\n".encode())
        self.stdin.flush()
        line = self.stdout.readline()
        if not line:
            raise RuntimeError(f"sipload has ended:\n{self.log_tail()}")
        return json.loads(line)


def rtp_load(tools, map_file, seconds):
    """Sends RTP over the streams of a map and gives the generator's report."""
    command = [str(tools / "rtpgen"), str(map_file), str(seconds)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds + 60, check=True)
    return json.loads(finished.stdout)


class Garbage(Process):
    """Datagrams of a stranger that are no SIP, for so long."""

    def __init__(self, tools, folder, rate, seconds):
        command = [tools / "garbage", addresses.GARBAGE, addresses.SYSTEM, rate, seconds]
        super().__init__(command, folder / "garbage.log", stdout=subprocess.PIPE)

    def report(self):
        line = self.stdout.readline()
        self.stop()
        return json.loads(line)
