"""Results as Markdown."""

from collections.abc import Iterable, Sequence

MIB = 1 << 20


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table under a heading."""
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *escaped)]
    return "\n".join([f"### {title}", "", *lines]) + "\n"
