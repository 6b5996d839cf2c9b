"""What clang accepts and Metal refuses."""

import functools
import hashlib
import re
from pathlib import Path

from .compiler import syntax_tree
from .prepare import blank_comments

_GROUP_ARRAY = re.compile(r"(?:^|[;{])\s*threadgroup\s+[\w:]+\s+\w+\s*(?:\[[^\]]*\]\s*)*;", re.M)
_NO_SPACE = re.compile(r"(?:ParmVarDecl|VarDecl) .* '[^']*__generic [^']*[*&][^']*'")
_SHIFT = re.compile(r"Operator 0x\w+ <.*> ('[^']*'(?::'[^']*')?) (?:lvalue )?'(?:<<|>>)=?'")
_NOT_BY_DEFAULT = {
    r"\blong\s+long\b": "long long does not exist",
    r"\b(?:try|catch|throw|dynamic_cast|typeid)\b": "exceptions and run-time types do not exist",
    r"\b__(?:global|local|private|constant)\b": "OpenCL words do not exist",
    r"\b__syncthreads\b": "CUDA words do not exist",
}


@functools.cache
def lint_version() -> str:
    """Changes with this file."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]


def text_faults(source: str, header: str) -> list[str]:
    """Faults the text shows: non-ASCII, foreign words, threadgroup arrays outside the kernel's outermost scope."""
    for number, text in enumerate((header + "\n" + source).splitlines(), start=-header.count("\n")):
        if not text.isascii():
            return [f"line {number}: non-ASCII text, MLX passes kernels as ASCII"]
    body, above = blank_comments(source), blank_comments(header)
    found = [what for pattern, what in _NOT_BY_DEFAULT.items() if re.search(pattern, body + above)]
    depth = 0
    for number, code in enumerate(body.splitlines(), start=1):
        if depth > 0 and _GROUP_ARRAY.search(code):
            found.append(f"line {number}: threadgroup variable not at kernel scope: {code.strip()}")
        depth += code.count("{") - code.count("}")
    if _GROUP_ARRAY.search(above):
        found.append("threadgroup variable outside the kernel")
    return found


def file_faults(text: str) -> list[str]:
    """Faults that a whole file's text shows: foreign words, threadgroup arrays outside functions."""
    code = blank_comments(text)
    found = [what for pattern, what in _NOT_BY_DEFAULT.items() if re.search(pattern, code)]
    depth = 0
    for number, line in enumerate(code.splitlines(), start=1):
        if depth == 0 and _GROUP_ARRAY.search(line):
            found.append(f"line {number}: threadgroup variable outside the kernel: {line.strip()}")
        depth += line.count("{") - line.count("}")
    return found


def tree_faults(unit: str, function: str, header: str) -> list[str]:
    """Faults the syntax tree shows: pointers and references with no address space, lambdas."""
    names = [function, *re.findall(r"\b(\w+)\s*\([^;{}()]*\)\s*\{", blank_comments(header))]
    found: list[str] = []
    for name in dict.fromkeys(names):
        own = False
        lines = syntax_tree(unit, name).splitlines()
        for number, line in enumerate(lines):
            if line.startswith("Dumping "):
                own = line.rstrip(":").split("::")[-1].split()[-1] == name
            if own and _NO_SPACE.search(line) and "msl_" not in line:
                found.append("pointer or reference with no address space: " + re.sub(r".*Decl 0x\w+ ", "", line)[:120])
            if own and "LambdaExpr" in line:
                found.append("a lambda")
            if own and (shift := _SHIFT.search(line)):
                count, bits = _constant(lines, number), 64 if "long" in shift[1] else 32
                if count is not None and count >= bits:
                    found.append(f"shift by {count}, the value has {bits} bits")
    return sorted(set(found))


def _constant(lines: list[str], operator: int) -> int | None:
    """The right operand of the binary operator in that line of a dump, if it is one number."""
    depth = _depth(lines[operator])
    end = next((i for i in range(operator + 1, len(lines)) if _depth(lines[i]) <= depth), len(lines))
    operands = [i for i in range(operator + 1, end) if _depth(lines[i]) == depth + 2]
    right = lines[operands[1] : end] if len(operands) == 2 else []
    if any(re.search(r"DeclRefExpr|Operator |CallExpr|MemberExpr", line) for line in right):
        return None
    literal = re.search(r"IntegerLiteral .* (\d+)$", "\n".join(right), re.M)
    return int(literal[1]) if literal else None


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" |`-"))
