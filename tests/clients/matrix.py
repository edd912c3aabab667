"""The table of what every client can do here: `python -m tests.clients.matrix --write` puts it into docs/protocol.md.

A run of `test_commands.py` leaves what it got from each client in `var/commands/`, until it is written; the columns of
clients that did not run stay as the document has them. A cell is YES, HANDED_ON, or the reason why the client cannot,
as a note.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.clients.releases import CLIENTS

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = CHECKOUT / "docs" / "protocol.md"
RESULTS = CHECKOUT / "var" / "commands"

BEGIN, END = "<!-- commands: begin -->", "<!-- commands: end -->"
YES, HANDED_ON = "✓", "npm"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# pnpm 9 does what pnpm 8 and 10 do: it hands nearly everything to npm.
COLUMNS = [name for name in CLIENTS if name != "pnpm-9"]

PREAMBLE = f"""\
Written by `python -m tests.clients.matrix --write` from a run of `tests/clients/test_commands.py`, which checks every
{YES} by what it changed in the registry, or by what the registry says for a command that only reads. By default the run
takes npm 6 and 12, pnpm 12, both yarns and bun; `LARDER_TEST_CLIENTS_ALL=1` takes all.

{YES}: works. {HANDED_ON}: works, and pnpm has its npm do it (npm 11 here). A letter: the client cannot, see below."""

Column = Mapping[str, str]  # the cell of each row


def keep(client: str, column: Column) -> None:
    """Leave what a run got from a client."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{client}.json").write_text(json.dumps(column, indent=1, ensure_ascii=False))


def forget(client: str) -> None:
    """Take away what an earlier run left, before another one begins, which may fail."""
    (RESULTS / f"{client}.json").unlink(missing_ok=True)


def kept() -> dict[str, Column]:
    """What runs have left here so far."""
    found = {name: RESULTS / f"{name}.json" for name in COLUMNS}
    return {name: json.loads(path.read_text()) for name, path in found.items() if path.exists()}


def documented(text: str) -> dict[str, Column]:
    """The columns of the table in a document, with reasons for letters."""
    lines = text.partition(BEGIN)[2].partition(END)[0].splitlines()
    reasons = dict(found.groups() for line in lines if (found := re.fullmatch(r"- ([a-z]): (.+)", line)))
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    if not table:
        return {}
    (_, *names), _, *rows = table
    return {
        name.replace(" ", "-"): {row[0]: reasons.get(row[place], row[place]) for row in rows}
        for place, name in enumerate(names, start=1)
    }


def written(rows: list[str], columns: Mapping[str, Column]) -> str:
    """The table with its notes, as Markdown."""
    letters: dict[str, str] = {}

    def cell(column: Column, row: str) -> str:
        found = column.get(row, "")
        return found if found in (YES, HANDED_ON, "") else letters.setdefault(found, LETTERS[len(letters)])

    names = [name for name in COLUMNS if name in columns]
    table = [[row, *(cell(columns[name], row) for name in names)] for row in rows]
    head = ["command", *(name.replace("-", " ") for name in names)]
    lines = [head, ["---", *(":-:" for _ in names)], *table]
    notes = [f"- {letter}: {reason}" for reason, letter in letters.items()]
    return "\n".join([PREAMBLE, "", *(f"| {' | '.join(line)} |" for line in lines), "", *notes])


def main(arguments: list[str]) -> int:
    """Print the table, or write it where the document has its two comment lines."""
    columns = {**kept()}
    for name, column in documented(DOCUMENT.read_text()).items():
        columns.setdefault(name, column)
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    table = written(rows, columns)
    if arguments == ["--write"]:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        _, found, after = rest.partition(END)
        if not found:
            print(f"{DOCUMENT} has no place for it: put {BEGIN} and {END} on lines of their own", file=sys.stderr)
            return 1
        DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")
        for name in COLUMNS:
            forget(name)
    else:
        print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
