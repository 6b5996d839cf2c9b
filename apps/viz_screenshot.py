"""A picture of the terminal, for documents."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS, ROWS = 100, 44
CELL, LINE, ASCENT = 12.2, 24.4, 18.5  # of Rich's pictures: width and height of a cell, from its top to the baseline
BRAILLE = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))  # column and row of a character's dots


def console() -> Console:
    """A terminal that only remembers."""
    from rich.console import Console

    remembers: Any = {"record": True, "file": io.StringIO(), "width": COLUMNS, "height": ROWS}
    return Console(**remembers, force_terminal=True, color_system="truecolor", highlight=False)


def write(console: Console, path: Path, title: str) -> None:
    """What was printed, as an SVG.

    Raises:
        ValueError: the name does not end in .svg. FileError: it cannot be written.
    """
    from lasmlx.models.files import write_atomically

    if path.suffix != ".svg":
        raise ValueError(f"a picture of the terminal is saved as .svg, got {str(path)!r}.")
    write_atomically(path, picture(console, title).encode())


def picture(console: Console, title: str, **options: Any) -> str:
    """The SVG: it asks for no font of the web, and blocks and braille are drawn, so that they look alike everywhere."""
    from rich._export_format import CONSOLE_SVG_FORMAT

    plain = re.sub(r"@font-face \{\{.*?\n    \}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    fonts = plain.replace("Fira Code, monospace", "monospace")
    svg = console.export_svg(title=title, code_format=fonts, unique_id="las", **options)
    svg = re.sub(r"<!--.*?-->\s*", "", svg)
    svg = re.sub(r'<clipPath id="las-line-\d+">.*?</clipPath>\s*', "", svg, flags=re.DOTALL)
    svg = re.sub(r' clip-path="url\(#las-line-\d+\)"', "", svg)
    svg = svg.replace(' shape-rendering="crispEdges"', "").replace(
        "<style>", "<style>rect {shape-rendering: crispEdges}", 1
    )
    text = r'<text class="(las-r\d+)" x="([\d.]+)" y="([\d.]+)" textLength="[\d.]+">([^<]+)</text>'
    return re.sub(text, _drawn, svg)


def _merged(svg: str) -> str:
    """With the backgrounds of one colour in one path."""
    box = re.compile(r'<rect fill="(#\w+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/>')
    paths: dict[str, str] = {}
    for fill, x, y, width, height in box.findall(svg):
        paths[fill] = paths.get(fill, "") + f"M{x} {y}h{width}v{height}h-{width}z"
    merged = "".join(f'<path fill="{fill}" shape-rendering="crispEdges" d="{d}"/>' for fill, d in paths.items())
    first = box.search(svg)
    return svg if first is None else svg[: first.start()] + merged + box.sub("", svg[first.start() :])


def _drawn(match: re.Match[str]) -> str:
    style, x, y, content = match.groups()
    chars = html.unescape(content).replace("\xa0", " ")
    if not all(char == " " or _boxes(char) for char in chars):
        return match.group()
    left, top = float(x), float(y) - ASCENT
    path = "".join(
        f"M{left + (i + bx) * CELL:.1f} {top + by * LINE:.1f}h{w * CELL:.3g}v{h * LINE:.3g}h-{w * CELL:.3g}z"
        for i, char in enumerate(chars)
        for bx, by, w, h in _boxes(char)
    )
    return f'<path class="{style}" d="{path}"/>' if path else ""


def _boxes(char: str) -> list[tuple[float, float, float, float]]:
    """The boxes (x, y, width, height) that make up a block or braille character, in cells."""
    code = ord(char)
    if char == "▌":
        return [(0, 0, 0.5, 1.01)]
    if 0x2581 <= code <= 0x2588:
        share = (code - 0x2580) / 8
        return [(0, 1 - share, 1.01, share + 0.01)]
    if 0x2800 < code <= 0x28FF:
        dots = [place for bit, place in enumerate(BRAILLE) if (code - 0x2800) >> bit & 1]
        return [(0.13 + 0.5 * column, 0.06 + 0.25 * row, 0.24, 0.12) for column, row in dots]
    return []
