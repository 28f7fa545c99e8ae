"""QR codes: in the terminal by half blocks, and as SVG for everything else."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from node.cli.exits import CommandError, Exit, Failure

if TYPE_CHECKING:
    import segno

TERMINAL_BORDER = 2  # modules; four are in the standard, two are enough and fit into 80 columns
SVG_BORDER = 4
SVG_SCALE = 4
_LIGHT_ON_DARK, _RESET = "\x1b[97;40m", "\x1b[0m"  # what is drawn is light, whatever the terminal's colours are
_HALVES = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}  # (upper, lower); 1 is dark


def terminal_qr(text: str) -> str:
    """A code for the terminal, two modules in each character."""
    rows = [bytes(row) for row in _code(text).matrix_iter(border=TERMINAL_BORDER)]
    if len(rows) % 2:
        rows.append(bytes(len(rows[0])))
    lines = (
        "".join(_HALVES[bool(upper), bool(lower)] for upper, lower in zip(first, second, strict=True))
        for first, second in zip(rows[::2], rows[1::2], strict=True)
    )
    return "\n".join(f"{_LIGHT_ON_DARK}{line}{_RESET}" for line in lines)


def write_svg(text: str, path: Path) -> None:
    """A code as an SVG file."""
    drawn = io.BytesIO()
    _code(text).save(drawn, kind="svg", border=SVG_BORDER, scale=SVG_SCALE, light="white", xmldecl=True)
    path.write_bytes(drawn.getvalue())


def _code(text: str) -> "segno.QRCode":
    import segno

    try:
        return segno.make_qr(text, error="l", boost_error=False)
    except segno.DataOverflowError as error:
        raise CommandError(
            Failure(
                Exit.FAILED, "too_large", f"{len(text)} characters do not fit into a QR code", "give the text itself"
            )
        ) from error
