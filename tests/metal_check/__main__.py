"""``python -m metal_check FILE...``: check Metal kernels and say what is wrong with them.

A ``.metal`` file is compiled as it stands, explicit instantiations included. A ``.py`` file is run with
mx.fast.metal_kernel replaced, so that every kernel it calls is compiled and run under the checker.
"""

import runpy
import sys
from pathlib import Path

from . import Fault, NoCompiler, find_compiler, install
from .compiler import CompileError, check_syntax
from .lint import file_faults
from .prepare import PREAMBLE, rewrite


def check(file: Path) -> str | None:
    """What is wrong with the file, or None."""
    if file.suffix == ".py":
        try:
            with install():
                runpy.run_path(str(file), run_name="__main__")
        except Fault as fault:
            return str(fault)
        return None
    text = file.read_text()
    try:
        check_syntax(PREAMBLE + f'#line 1 "{file.name}"\n' + rewrite(text, keep_instantiations="host_name" not in text))
    except CompileError as error:
        return str(error)
    return "; ".join(file_faults(text)) or None


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__)
        return 2
    try:
        find_compiler()
    except NoCompiler as error:
        print(error)
        return 2
    wrong = 0
    for name in arguments:
        found = check(Path(name))
        wrong += found is not None
        print(f"{name}: {found or 'ok'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
