"""Results as Markdown."""

from dataclasses import dataclass, field

MIB = 1 << 20


@dataclass
class Table:
    """A titled table; cells are text."""

    title: str
    head: list[str]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    note: str = ""

    def add(self, *cells: str) -> None:
        """Add a row."""
        self.rows.append(cells)

    def markdown(self) -> str:
        """The table under a heading."""
        lines = [f"### {self.title}", ""]
        lines += [_line(self.head), _line(["---"] * len(self.head))]
        lines += [_line([cell.replace("|", "\\|").replace("\n", " ") for cell in row]) for row in self.rows]
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
