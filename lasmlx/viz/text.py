"""Bytes as text that keeps a column for each of them."""

from __future__ import annotations

import unicodedata

DOT = "·"  # a byte with no sign of its own


def byte_signs(data: bytes) -> list[str]:
    """A sign for each byte, so that those of n bytes together fill n columns.

    A control byte is its picture (``␊``). A character of several bytes stands at its first; a wide one takes the column
    of its second as well, whose sign is then empty. What is left is a dot: the other bytes of a character, and those
    that are not UTF-8.
    """
    signs = []
    for char in data.decode("utf-8", "surrogateescape"):
        code = ord(char)
        if code < 0x20:
            signs.append(chr(0x2400 + code))
        elif code < 0x7F:
            signs.append(char)
        elif code == 0x7F:
            signs.append("␡")
        elif 0xDC80 <= code <= 0xDCFF:
            signs.append(DOT)
        else:
            size = len(char.encode())
            shown = [char, ""] if _is_wide(char) else [char if _is_printable(char) else DOT]
            signs += shown + [DOT] * (size - len(shown))
    return signs


def text_rows(data: bytes, width: int, gap: int = 2) -> list[list[tuple[int, int]]]:
    """``data`` in lines, broken after each line feed and when ``width`` is full; short lines stand side by side.

    Returns:
        For each row its lines, as the first byte and the end; line k of a row begins at column
        ``k (longest line + gap)``.
    """
    lines, start = [], 0
    while start < len(data):
        feed = data.find(b"\n", start, start + width)
        stop = feed + 1 if feed >= 0 else min(start + width, len(data))
        lines.append((start, stop))
        start = stop
    longest = max((stop - start for start, stop in lines), default=1)
    across = (width + gap) // (longest + gap)
    return [lines[i : i + across] for i in range(0, len(lines), across)]


def text_columns(rows: list[list[tuple[int, int]]], gap: int = 2) -> int:
    """How far apart the lines of a row of :func:`text_rows` begin."""
    return max((stop - start for row in rows for start, stop in row), default=0) + gap


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF" and _is_printable(char)


def _is_printable(char: str) -> bool:
    return char.isprintable() and not unicodedata.category(char).startswith("M")
