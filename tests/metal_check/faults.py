"""What the harness says when a kernel is wrong, or cannot be checked."""


class Fault(Exception):  # noqa: N818
    """A kernel is wrong. ``kind`` is one of a fixed few words, ``report`` every finding, one a line.

    The text names the kernel, the line, and where it ran: the lane, the simdgroup and the threadgroup.
    """

    def __init__(self, kernel: str, kind: str, report: str) -> None:
        super().__init__(f"kernel {kernel}: {report}")
        self.kernel = kernel
        self.kind = kind
        self.report = report


class NoCompiler(RuntimeError):  # noqa: N818
    """Neither clang nor ziglang is here; the text says how to install one."""
