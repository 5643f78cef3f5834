"""Raw results, one JSON line each, and what the tables take from them."""

import json
import statistics


class Results:
    def __init__(self, path):
        """Begins a new file of results; the last one is kept beside it."""
        if path.exists():
            path.rename(path.with_suffix(".old.jsonl"))
        self._path = path
        self.lines = []

    @classmethod
    def read(cls, path):
        """Results of an earlier run."""
        results = cls.__new__(cls)
        results._path = None
        results.lines = [json.loads(line) for line in path.read_text().splitlines()]
        return results

    def add(self, bench, system, run, **figures):
        line = {"bench": bench, "system": system, "run": run, **figures}
        self.lines.append(line)
        text = json.dumps(line)
        print(text, flush=True)
        with self._path.open("a") as file:
            file.write(text + "\n")

    def of(self, bench, system=None, **matching):
        """The lines of a bench, of one system, with these figures."""
        wanted = {"bench": bench, **({"system": system} if system else {}), **matching}
        return [line for line in self.lines if all(line.get(key) == value for key, value in wanted.items())]

    def median(self, bench, system, figure, **matching):
        """The median over the runs; `None` when there is none. A dot goes into an object: `invite_through_us.p99`."""
        values = [_figure(line, figure) for line in self.of(bench, system, **matching)]
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else None


def _figure(line, name):
    value = line
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def ratio(value, base):
    return value / base if value is not None and base else None


def shown(value, digits=2):
    """A figure for a table; a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def table(title, head, rows):
    """A table in Markdown, aligned for a terminal too."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    print(f"\n### {title}\n")
    for number, row in enumerate(cells):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |")
        if not number:
            print("| " + " | ".join("-" * width for width in widths) + " |")


class Budget:
    """What is allowed, what was measured, and whether that is met."""

    def __init__(self, work, figure, limit, unit="", aim=None):
        self.work, self.figure, self.limit, self.unit, self.aim = work, figure, limit, unit, aim

    def row(self):
        if self.figure is None:
            verdict = "not measured"
        elif self.figure > self.limit:
            verdict = "missed"
        elif self.aim is not None and self.figure <= self.aim:
            verdict = "met, and the aim"
        else:
            verdict = "met"
        aim = "" if self.aim is None else f" (aim {self.aim:g})"
        return [self.work, f"≤ {self.limit:g}{self.unit}{aim}", shown(self.figure) + self.unit, verdict]
