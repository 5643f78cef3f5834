#!/usr/bin/env python3
"""Checks the rules of ARCHITECTURE.md that neither the compiler nor clippy can see.

- The crates of the workspace depend on each other only as ALLOWED says.
- The crates without IO have nothing in their dependencies that opens a socket, runs tasks or draws random numbers, and each has a
  clippy.toml that forbids clocks, sockets and threads.
- No program has the feature by which the simulation switches rules off.
- No source file has a name that says nothing about its content.
- What can be printed by a derived Debug holds no secret but in a type that hides it.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Each crate of ours, and those of ours that it may depend on.
ALLOWED = {
    "tandem-model": set(),
    "tandem-sip": {"tandem-model"},
    "tandem-media": {"tandem-model"},
    "tandem-switch": {"tandem-model", "tandem-sip", "tandem-media"},
    "tandem-carrier": {"tandem-model", "tandem-sip", "tandem-media"},
    "tandem-netio": set(),
    "tandem-store": {"tandem-model"},
    "tandem-control": {"tandem-model", "tandem-store"},
    "tandem-journal": {"tandem-model"},
    "tandem-server": {
        "tandem-journal",
        "tandem-model",
        "tandem-sip",
        "tandem-media",
        "tandem-switch",
        "tandem-carrier",
        "tandem-netio",
        "tandem-store",
        "tandem-control",
    },
    # Talks to the binary over sockets only; of our code it borrows what plays the far end.
    "tandem-e2e": {"tandem-model", "tandem-sip", "tandem-media"},
    "tandem-lab": {"tandem-model", "tandem-sip", "tandem-switch"},
    "tandem-scale": {"tandem-control", "tandem-model", "tandem-store"},
    "tandem-sim": {"tandem-lab", "tandem-model", "tandem-sip", "tandem-media", "tandem-switch", "tandem-carrier"},
    "tandem-fuzz": {"tandem-journal", "tandem-lab", "tandem-model", "tandem-sip", "tandem-media", "tandem-switch"},
}

# What its tests may know besides.
ALLOWED_IN_TESTS = {"tandem-scale": {"tandem-e2e"}, "tandem-switch": {"tandem-lab"}}

# The feature that lets the simulation switch rules off, and who may have it: on the command line alone.
MUTATION = "sim-mutations"
MUTABLE = {"tandem-sip", "tandem-switch", "tandem-sim"}

# Bytes, time and randomness come into these as arguments.
WITHOUT_IO = ["tandem-model", "tandem-sip", "tandem-media", "tandem-switch", "tandem-carrier"]
IO_CRATES = {"async-io", "async-std", "fastrand", "getrandom", "mio", "polling", "rand", "smol", "socket2", "tokio"}
FORBIDDEN_CALLS = [
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::net::UdpSocket::bind",
    "std::net::TcpStream::connect",
    "std::net::TcpListener::bind",
    "std::thread::spawn",
    "std::thread::sleep",
]

EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
SOURCES = {".rs", ".ts", ".tsx", ".py", ".sh"}
NOT_OURS = {"target", "node_modules", ".git", "data", "corpus", "found", "artifacts"}


# A struct or enum up to the end of its body, with all that is derived for it.
DERIVES_DEBUG = re.compile(
    r"^ *#\[derive\([^)]*\bDebug\b[^)]*\)\]\n(?: *(?:#\[|//)[^\n]*\n)*"
    r" *(?:pub(?:\([a-z]+\))? )?(?:struct|enum) (?P<name>\w+)(?P<body>[^{;]*(?:;|\{.*?^ *\}))",
    re.MULTILINE | re.DOTALL,
)
# The Debug of Zeroizing shows what is in it, as that of a text and of octets does.
SHOWN_SECRET = re.compile(
    r"\bZeroizing<|\b\w*(?:password|secret|bearer|credentials|(?:access|refresh|link)_token)s?:"
    r" (?:Option<)?(?:&(?:'\w+ )?)?(?:String|str|Box<str>|Vec<u8>|\[u8|HeaderValue)",
    re.IGNORECASE,
)


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def workspace():
    """The packages of ours by name."""
    metadata = json.loads(cargo("metadata", "--locked", "--no-deps", "--format-version", "1"))
    return {package["name"]: package for package in metadata["packages"]}


def directions(ours):
    for name, package in sorted(ours.items()):
        if name not in ALLOWED:
            yield f"{name} is not in ALLOWED: say there what it may depend on"
            continue
        for dependency in package["dependencies"]:
            in_tests = ALLOWED_IN_TESTS.get(name, set()) if dependency["kind"] == "dev" else set()
            if dependency["name"] in ours and dependency["name"] not in ALLOWED[name] | in_tests:
                yield f"{name} depends on {dependency['name']}, which it may not know"


def mutations(ours):
    """Rules that can be switched off are for the simulation alone."""
    for name, package in sorted(ours.items()):
        for feature, enables in package["features"].items():
            if feature == "default" and enables or name not in MUTABLE and any("mutations" in each for each in enables):
                yield f"{name} has the feature {feature}, which enables {enables}"
        for dependency in package["dependencies"]:
            if MUTATION in dependency["features"]:
                yield f"{name} asks {dependency['name']} for {MUTATION}"


def purity(ours):
    for name in WITHOUT_IO:
        # Asked of one crate at a time: what the whole binary turns on in a shared dependency is not this crate's doing.
        tree = cargo("tree", "--locked", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}")
        dependencies = {line.split()[0] for line in tree.splitlines() if line}
        for dependency in sorted(dependencies & IO_CRATES):
            yield f"{name} has no IO, yet depends on {dependency}: see cargo tree -p {name} -e normal -i {dependency}"
        clippy = Path(ours[name]["manifest_path"]).parent / "clippy.toml"
        text = clippy.read_text() if clippy.exists() else ""
        for call in FORBIDDEN_CALLS:
            if f'"{call}"' not in text:
                yield f"{clippy.relative_to(ROOT)} does not forbid {call}"


def names():
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [each for each in folders if each not in NOT_OURS]
        for file in files:
            path = Path(folder, file)
            parts = {path.stem, path.parent.name} if path.stem == "mod" else {path.stem}
            if path.suffix in SOURCES and parts & EMPTY_NAMES:
                yield f"{path.relative_to(ROOT)}: name the file after its subject"


def secrets():
    for path in sorted(ROOT.glob("crates/*/src/**/*.rs")):
        for derived in DERIVES_DEBUG.finditer(path.read_text()):
            for field in derived["body"].splitlines():
                if SHOWN_SECRET.search(field.split("//")[0]):
                    kept = "model::Secret, or a type whose own Debug hides it"
                    yield f"{path.relative_to(ROOT)}: {derived['name']} shows `{field.strip()}`; keep it in {kept}"


def main():
    ours = workspace()
    faults = [*directions(ours), *mutations(ours), *purity(ours), *names(), *secrets()]
    for fault in faults:
        print(f"layout: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
