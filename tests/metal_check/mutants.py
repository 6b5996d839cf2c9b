"""Every one-token change of a kernel file: what a slip of the hand could have written instead."""

import re
from collections.abc import Iterator
from typing import NamedTuple

HEAD = re.compile(r"^// kernel: (\w+) ", re.M)
TOKEN = re.compile(
    r"(?P<number>(?:\d+\.\d*|\.\d+)(?:e[-+]?\d+)?f?|\d+[uUlL]*)|(?P<word>(?:\w+::)*[A-Za-z_]\w*)"
    r"|(?P<operator>\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/]=|[-+*/<>!])"
)
OPERATORS = {"+": "-", "-": "+", "*": "/", "/": "*", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*="}
OPERATORS |= {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&"}
OPERATORS |= {"++": "--", "--": "++", "!": ""}
WORDS = {"metal::min": "metal::max", "metal::max": "metal::min"}
BARRIER = re.compile(r"(?:threadgroup|simdgroup)_barrier\([^;]*\);")
COLLECTIVE = re.compile(r"simd_(?:sum|max|min|product|prefix_\w+)$")
INDEX = re.compile(r"\b(?:uint|int|size_t|ushort) (\w+) =")


class Mutant(NamedTuple):
    """``before`` and ``after`` are the changed line without its indent; ``text`` is the whole changed file."""

    op: str
    kernel: str  # "header" above the first kernel
    line: int
    before: str
    after: str
    text: str

    def __str__(self) -> str:
        return f"{self.op}.metal:{self.line} ({self.kernel}): {self.before}  =>  {self.after}"


def mutants(op: str, text: str) -> Iterator[Mutant]:
    """The mutants of ``metal/<op>.metal``, without those that repeat another."""
    lines = text.split("\n")
    kernel = "header"
    indices: list[str] = []
    for number, line in enumerate(lines):
        if head := HEAD.match(line):
            kernel, indices = head[1], []
        code = line.split("//")[0].rstrip()
        changed = dict.fromkeys(new for new in _changes(code, indices) if new != code)
        for new in changed:
            after = [*lines[:number], new, *lines[number + 1 :]]
            yield Mutant(op, kernel, number + 1, code.strip(), new.strip(), "\n".join(after))
        indices += INDEX.findall(code)


def _changes(code: str, indices: list[str]) -> Iterator[str]:
    for barrier in BARRIER.finditer(code):
        yield code[: barrier.start()] + ";" + code[barrier.end() :]
    if BARRIER.search(code):
        return
    for token in TOKEN.finditer(code):
        for other in _others(token, indices):
            yield code[: token.start()] + other + code[token.end() :]


def _others(token: re.Match[str], indices: list[str]) -> Iterator[str]:
    """What may stand in the token's place. An index becomes the one declared last before this line, if another."""
    text = token[0]
    if token["operator"] in OPERATORS:
        yield OPERATORS[text]
    elif text == "0.0f":
        yield "1.0f"
    elif text in WORDS:
        yield WORDS[text]
    elif COLLECTIVE.match(text):
        yield ""
    elif token["number"] and text.isdigit():
        yield str(int(text) + 1)
    elif text in indices:
        yield next((name for name in reversed(indices) if name != text), text)
