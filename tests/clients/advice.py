"""The table of what clients make of rules: `python -m tests.clients.advice --write` puts it into docs/bad-versions.md.

A run of `test_bad_versions.py` leaves what it saw of each client in `var/advice/`; the lines of clients that did not
run stay as the document has them.
"""

import json
import sys
from pathlib import Path

from tests.clients.releases import CLIENTS

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = CHECKOUT / "docs" / "bad-versions.md"
RESULTS = CHECKOUT / "var" / "advice"
BEGIN, END = "<!-- advice: begin -->", "<!-- advice: end -->"

Column = dict[str, str]  # what was seen, by row


def keep(client: str, column: Column) -> None:
    """Leave what a run saw of a client."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{client}.json").write_text(json.dumps(column, indent=1))


def documented(text: str) -> dict[str, Column]:
    """The columns of the table in a document: there, clients are lines."""
    lines = text.partition(BEGIN)[2].partition(END)[0].splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    if not table:
        return {}
    (_, *rows), _, *clients = table
    return {name.replace(" ", "-"): dict(zip(rows, cells, strict=True)) for name, *cells in clients}


def written(columns: dict[str, Column]) -> str:
    """The table, as Markdown."""
    names = [name for name in CLIENTS if name in columns]
    rows = list(columns[names[0]])
    lines = [["client", *rows], ["---"] * (len(rows) + 1)]
    lines += [[name.replace("-", " "), *(columns[name][row] for row in rows)] for name in names]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: list[str]) -> int:
    """Print the table, or write it where the document has its two comment lines."""
    columns = documented(DOCUMENT.read_text())
    for path in sorted(RESULTS.glob("*.json")):
        columns[path.stem] = json.loads(path.read_text())
    if arguments != ["--write"]:
        print(written(columns))
        return 0
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        print(f"{DOCUMENT} has no place for it: put {BEGIN} and {END} on lines of their own", file=sys.stderr)
        return 1
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{written(columns)}\n\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
