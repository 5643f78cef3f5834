#!/usr/bin/env python3
"""Checks that what the documents name is there: links, paths, the tests of docs/rfc.md, and the codes of the two lists."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
# A path of this repository in backticks.
PATH = re.compile(r"`((?:crates|docs|scripts|tests|console|\.ci)/[\w./-]+)`")
TEST = re.compile(r"`([a-z0-9]+(?:_[a-z0-9]+){2,})`")
FUNCTION = re.compile(r"^\s*(?:pub(?:\([a-z]+\))? )?(?:async )?fn (\w+)", re.MULTILINE)
CODE_ROW = re.compile(r"^\| `([a-z0-9_]+)` \|", re.MULTILINE)
CAUSE = re.compile(r'^\s*[A-Z]\w+ = "([a-z0-9_]+)",$', re.MULTILINE)
REASON = re.compile(r'^\s*(?:[A-Z]\w+|\}) = "([a-z0-9_]+)",$', re.MULTILINE)


def documents():
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def links_and_paths():
    for document in documents():
        text = document.read_text()
        for target in LINK.findall(text):
            if "://" not in target and not (document.parent / target).exists():
                yield f"{document.relative_to(ROOT)} links to {target}, which is not there"
        for path in PATH.findall(text):
            if not (ROOT / path).exists():
                yield f"{document.relative_to(ROOT)} names {path}, which is not there"


def tests():
    functions = set()
    for folder in ("crates", "tests"):
        for source in ROOT.glob(f"{folder}/**/*.rs"):
            functions.update(FUNCTION.findall(source.read_text()))
    for name in TEST.findall((ROOT / "docs/rfc.md").read_text()):
        if name not in functions:
            yield f"docs/rfc.md names {name}, which is no function of the sources"


def list_of_codes(document, source, pattern):
    """Each code of the source has one row in the document, and the document has no others."""
    known = pattern.findall((ROOT / source).read_text())
    listed = CODE_ROW.findall((ROOT / document).read_text())
    for code in sorted(set(known) - set(listed)):
        yield f"{document} does not list {code}"
    for code in sorted(set(listed) - set(known)):
        yield f"{document} lists {code}, which {source} does not have"
    for code in sorted({code for code in listed if listed.count(code) > 1}):
        yield f"{document} lists {code} twice"
    if not known:
        yield f"no code was found in {source}: its layout has changed, and this check with it"


def main():
    faults = [
        *links_and_paths(),
        *tests(),
        *list_of_codes("docs/causes.md", "crates/model/src/cause.rs", CAUSE),
        *list_of_codes("docs/reasons.md", "crates/model/src/receipt.rs", REASON),
    ]
    for fault in faults:
        print(f"docs: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
