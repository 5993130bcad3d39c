"""Tables in plain columns without borders, for terminals and logs."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

_GAP = 3


def show(console: Console, rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> None:
    """Print rows under their header, the first of them. The columns in `numbers` are aligned to the right."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for position, row in enumerate(texts):
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = (" " * _GAP).join(cells).rstrip()
        console.print(Text(line, style="" if position else "bold"), soft_wrap=True)
