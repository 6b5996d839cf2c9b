"""What clang accepts and Metal refuses."""

import re

from .compiler import syntax_tree
from .prepare import blank_comments

_GROUP_ARRAY = re.compile(r"(?:^|[;{])\s*threadgroup\s+[\w:]+\s+\w+\s*(?:\[[^\]]*\]\s*)*;", re.M)
_NO_SPACE = re.compile(r"(?:ParmVarDecl|VarDecl) .* '[^']*__generic [^']*[*&][^']*'")
_NOT_BY_DEFAULT = {
    r"\blong\s+long\b": "long long does not exist",
    r"\b(?:try|catch|throw|dynamic_cast|typeid)\b": "exceptions and run-time types do not exist",
    r"\b__(?:global|local|private|constant)\b": "OpenCL words do not exist",
    r"\b__syncthreads\b": "CUDA words do not exist",
}


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


def tree_faults(unit: str, function: str, header: str) -> list[str]:
    """Faults the syntax tree shows: pointers and references with no address space, lambdas."""
    names = [function, *re.findall(r"\b(\w+)\s*\([^;{}()]*\)\s*\{", blank_comments(header))]
    found: list[str] = []
    for name in dict.fromkeys(names):
        own = False
        for line in syntax_tree(unit, name).splitlines():
            if line.startswith("Dumping "):
                own = line.rstrip(":").split("::")[-1].split()[-1] == name
            if own and _NO_SPACE.search(line) and "msl_" not in line:
                found.append("pointer or reference with no address space: " + re.sub(r".*Decl 0x\w+ ", "", line)[:120])
            if own and "LambdaExpr" in line:
                found.append("a lambda")
    return sorted(set(found))
