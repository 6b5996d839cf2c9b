"""Source lines of machine addresses, from the library's own DWARF 4 line table; enough of it for what clang writes."""

import bisect
import functools
import struct
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    address: int
    file: str
    line: int


def place(library: Path, address: int) -> str:
    """ "kernel.metal:7": the row at the address or, inside the shim, the nearest one before it that is the kernel's."""
    rows = _rows(library)
    at = bisect.bisect_right(rows, address, key=lambda row: row.address) - 1
    for row in rows[at::-1] if at >= 0 else []:
        if row.line and row.file.endswith((".metal", ".header")):
            return f"{row.file}:{row.line}"
    return f"address {address:x}"


@functools.cache
def _rows(library: Path) -> list[Row]:
    data = _section(library.read_bytes(), b".debug_line")
    rows: list[Row] = []
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        rows += _program(_Reader(data[at + 4 : at + 4 + length]))
        at += 4 + length
    return sorted(rows, key=lambda row: row.address)


def _section(elf: bytes, wanted: bytes) -> bytes:
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    strings = headers[names][4]
    for name, _, _, _, offset, length in headers:
        start = strings + name
        if elf[start : elf.index(b"\0", start)] == wanted:
            return elf[offset : offset + length]
    return b""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, format: str) -> int:
        value: int = struct.unpack_from("<" + format, self.data, self.at)[0]
        self.at += struct.calcsize(format)
        return value

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.take("B")
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def signed(self) -> int:
        start = self.at
        value = self.unsigned()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if self.data[self.at - 1] & 64 else value

    def string(self) -> str:
        end = self.data.index(b"\0", self.at)
        text = self.data[self.at : end].decode()
        self.at = end + 1
        return text


def _program(r: _Reader) -> list[Row]:
    """Run one unit's line program (DWARF 4, section 6.2)."""
    version = r.take("H")
    if version > 4:
        return []
    start = r.take("I") + r.at
    step, _, _, base, width, first_special = (r.take(f) for f in ("B", "B", "B", "b", "B", "B"))
    lengths = [r.take("B") for _ in range(first_special - 1)]
    while r.string():
        pass  # folders
    files = [""]
    while name := r.string():
        files.append(Path(name).name)
        for _ in range(3):
            r.unsigned()
    r.at = start
    rows: list[Row] = []
    address, file, line = 0, 1, 1
    while r.at < len(r.data):
        code = r.take("B")
        if code >= first_special:
            advance, change = divmod(code - first_special, width)
            address += advance * step
            line += base + change
            rows.append(Row(address, files[file], line))
        elif code == 0:
            size = r.unsigned()
            end = r.at + size
            extended = r.take("B")
            if extended == 2:
                address = r.take("Q")
            elif extended == 1:
                rows.append(Row(address, "", 0))
                address, file, line = 0, 1, 1
            r.at = end
        elif code == 1:
            rows.append(Row(address, files[file], line))
        elif code == 2:
            address += r.unsigned() * step
        elif code == 3:
            line += r.signed()
        elif code == 4:
            file = r.unsigned()
        elif code == 8:
            address += (255 - first_special) // width * step
        elif code == 9:
            address += r.take("H")
        else:
            for _ in range(lengths[code - 1]):
                r.unsigned()
    return rows
