"""A node of Tandem with trunks on both sides, in a data directory of its own."""

import http.client
import json
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import time

from kit import addresses
from kit.process import Process, until


class Node(Process):
    """Calls that come in over a trunk of a caller are forwarded over a trunk of a callee."""

    name = "tandem"

    def __init__(self, binary, folder, **settings):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._binary = binary
        self.key = "bench_" + secrets.token_hex(16)
        self._database = folder / "data" / "tandem.db"
        self._env = {
            "PATH": os.environ["PATH"],
            "TANDEM_DATA_DIR": str(folder / "data"),
            "TANDEM_HTTP_LISTEN": addresses.HTTP,
            "TANDEM_SIP_LISTEN": f"udp:{addresses.SYSTEM}",
            "TANDEM_MEDIA_ADDRESS": addresses.SYSTEM_HOST,
            "TANDEM_RTP_PORTS": addresses.RTP_PORTS,
            "TANDEM_PEER_ALLOW": "127.0.0.0/8",
            "TANDEM_ADMIN_API_KEY": self.key,
            "TANDEM_API_RATE_LIMIT": "off",
            "TANDEM_LOG": "warn,tandem::serve=info",
            "TANDEM_DRAIN_TIMEOUT": "0",
            **settings,
        }
        super().__init__([binary, "serve"], folder / "log", env=self._env, cwd=folder)
        self._closed_before = 0
        try:
            until(self._is_ready, "tandem to be ready", 30)
            self._command("account", "set", "admin", "--max-trunks", "50", "--max-calls", "10000")
        except Exception as error:
            tail = self.log_tail()
            self.stop()
            raise RuntimeError(f"{error}\n{tail}") from error

    def _is_ready(self):
        self.expect_running()
        try:
            return self.request("GET", "/health/ready")[0] == 200
        except OSError:
            return False

    def _command(self, *arguments):
        subprocess.run([self._binary, *arguments], env=self._env, cwd=self.log.parent, check=True, stdout=subprocess.DEVNULL)

    def request(self, method, path, body=None):
        """One request to the API: the status and the parsed answer."""
        connection = http.client.HTTPConnection(*addresses.HTTP.split(":"), timeout=30)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None

    def add_trunk(self, name, address, direction, max_calls=addresses.CALLS_A_TRUNK, connect="forward", options_interval=0):
        """Calls that come in from the address's host are connected so."""
        host, port = address.split(":")
        status, answer = self.request(
            "POST",
            "/api/v1/telephony/trunks",
            {
                "name": name,
                "provider": "custom",
                "sip_domain": host,
                "sip_port": int(port),
                "sip_username": "bench",
                "sip_password": "bench",
                "call_direction": direction,
                "max_concurrent_calls": max_calls,
                "codec_preferences": ["PCMU", "PCMA"],
                "encryption_enabled": False,
                # No generator answers OPTIONS.
                "advanced_config": {"options_interval": options_interval},
                "allowed_ips": [host] if direction == "inbound" else [],
                "inbound_routing": {"default": {"type": connect}} if direction == "inbound" else {},
            },
        )
        if status != 201:
            raise RuntimeError(f"trunk {name}: {status} {answer}")
        return answer["id"]

    def add_trunks(self):
        """One for each caller and each callee."""
        for number, caller in enumerate(addresses.CALLERS, 1):
            self.add_trunk(f"caller {number}", caller, "inbound")
        for number, callee in enumerate(addresses.CALLEES, 1):
            self.add_trunk(f"callee {number}", callee, "outbound")
        # Routing follows a change within 100 ms.
        time.sleep(0.3)

    def readiness(self):
        return self.request("GET", "/health/ready")[1]

    def io_path(self):
        """By which of the kernel's interfaces media goes, as the log says at the start."""
        said = re.search(r"media_io=\W*(\w+)", self.log.read_text())
        return said.group(1) if said else "unknown"

    def records(self):
        """Calls whose record is in the database, ended."""
        with sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=10) as database:
            (count,) = database.execute("SELECT count(*) FROM call_logs WHERE ended_at IS NOT NULL").fetchone()
        return count

    def expect_records(self, count):
        """Waits until at least so many more calls are on record than at the last time, and nothing is left to be written."""
        wanted = self._closed_before + count
        until(lambda: self.records() >= wanted, f"{wanted} records", 60, step=0.2)
        until(self._has_stored_all, "the end of what is written", 60, step=0.5)
        self._closed_before = self.records()

    def _has_stored_all(self):
        live = self.readiness()["live"]
        return not (live["unstored_calls"] or live["records_unstored"])
