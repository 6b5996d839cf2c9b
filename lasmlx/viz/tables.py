"""Lists of what stands out, as columns of text."""

from __future__ import annotations

import math

from lasmlx.viz.hebb import HebbTrace
from lasmlx.viz.spikes import SpikesTrace
from lasmlx.viz.steps import StepsTrace
from lasmlx.viz.text import DOT


def synapse_rows(trace: HebbTrace, count: int) -> list[tuple[str, ...]]:
    """Who moved, from whom to whom, and from what to what; in columns."""
    moved = trace.most_moved(count)
    wide = max(len(str(s.target)) for s in moved)
    from_ = max(len(s.source) for s in moved)
    return [
        (
            f"layer {s.layer}  head {s.head:<2}",
            f" {s.source.ljust(from_)} to {s.target:>{wide}} ",
            f"{s.before:6.3f} → {s.after:.3f}",
        )
        for s in moved
    ]


def hardest_rows(trace: StepsTrace, count: int) -> list[tuple[str, str, str, str]]:
    """Steps, surprise, what stands before, and the token; in columns."""
    rows = []
    for token in trace.hardest(count):
        bits = "first" if math.isnan(token.bits) else f"{token.bits:.1f} bits"
        rows.append(
            (f"{token.steps:6.3g}", f"{bits:>10} ", readable(token.context).rjust(16), f"[{readable(token.token)}]")
        )
    return rows


def operation_rows(trace: SpikesTrace) -> list[tuple[str, ...]]:
    """What each part computes for an element: its name, all operations, and those that zeros leave; with a head."""
    rows: list[tuple[str, ...]] = [("", "dense", "MACs", "ACs")]
    rows += [(of.part, *map(_whole, (of.dense, of.macs, of.acs))) for of in trace.parts()]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [(row[0].ljust(wide[0]), *(v.rjust(n) for v, n in zip(row[1:], wide[1:], strict=True))) for row in rows]


def _whole(count: float) -> str:
    if count == 0:
        return "-"
    return f"{count / 1e6:,.1f} M" if count >= 1e7 else f"{count:,.0f}" if count >= 10 else f"{count:.1f}"


def readable(data: bytes) -> str:
    """Bytes as a word or a few: one line, a dot for what has no sign."""
    signs = data.decode("utf-8", "replace").replace("\ufffd", DOT)
    return "".join(chr(0x2400 + ord(c)) if ord(c) < 0x20 else c if c.isprintable() else DOT for c in signs)
