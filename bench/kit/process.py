"""A process under test: how it is started and stopped, and what it and its children cost."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cpu:
    """CPU time in µs."""

    user: float
    system: float

    @property
    def total(self):
        return self.user + self.system

    def __sub__(self, earlier):
        return Cpu(self.user - earlier.user, self.system - earlier.system)


class Process:
    """A process with everything that it starts."""

    def __init__(self, command, log, env=None, cwd=None, stdin=subprocess.DEVNULL, stdout=None):
        self.log = Path(log)
        self._log = self.log.open("ab")
        self._child = subprocess.Popen(
            [str(part) for part in command],
            stdin=stdin,
            stdout=stdout or self._log,
            stderr=self._log,
            env=env,
            cwd=cwd,
        )
        self.pid = self._child.pid
        self.stdin, self.stdout = self._child.stdin, self._child.stdout

    def is_running(self):
        return self._child.poll() is None

    def expect_running(self):
        if not self.is_running():
            raise RuntimeError(f"{self._child.args[0]} ended with {self._child.returncode}:\n{self.log_tail()}")

    def log_tail(self, lines=20):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, grace=20):
        """Asks it to end, and ends it when it does not."""
        if self.is_running():
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(grace)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()
        self._log.close()

    def wait(self, timeout):
        return self._child.wait(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def cpu(self):
        """User and system time of the whole tree so far; the kernel counts it to the ns and shows it in ticks of 10 ms."""
        user = system = 0
        for pid in self._tree():
            fields = _stat(pid)
            if fields:
                user += int(fields[11])
                system += int(fields[12])
        return Cpu(user * 1e6 / TICKS_A_SECOND, system * 1e6 / TICKS_A_SECOND)

    def pss_kib(self):
        """Memory of the tree; a page that several processes share counts once in all."""
        total = 0
        for pid in self._tree():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return total

    def sockets(self):
        """How many file descriptors of the tree are sockets."""
        total = 0
        for pid in self._tree():
            for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
                try:
                    total += os.readlink(descriptor).startswith("socket:")
                except OSError:
                    continue
        return total

    def _tree(self):
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := _stat(entry)):
                children.setdefault(int(fields[1]), []).append(int(entry))
        found, rest = [], [self.pid]
        while rest:
            pid = rest.pop()
            found.append(pid)
            rest += children.get(pid, [])
        return found


def slab_kib():
    """Memory of the kernel's own objects on the whole machine, sockets among them."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Slab:"))


def until(condition, what, seconds, step=0.05):
    """Waits for a condition and returns what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(step)


def _stat(pid):
    """The fields of /proc/PID/stat after the name: state, parent, …"""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()
