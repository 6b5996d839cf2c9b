"""Mutants that change nothing a caller could see, each with the reason. Lines are as in the file, without indent."""

from typing import NamedTuple

from .mutants import Mutant


class Equivalent(NamedTuple):
    """``old``, which the line ``before`` holds once, became ``new``."""

    op: str
    kernel: str
    before: str
    old: str
    new: str
    why: str

    @property
    def after(self) -> str:
        return self.before.replace(self.old, self.new)


CONV, SCAN = "causal_conv1d", "selective_scan"

GRID = "the grid has ceil(t / SPAN) rows: start never reaches t"
SHIFTED = "overwritten before it is read: every step shifts past and stores the newest input"
WRAPS = "unsigned: the first thread's end wraps to the last step, and it does the work of all; slower, the same sums"
UNUSED_TAIL = "K = 1 has no tail: the buffer stands in for one and its gradient is dropped"
BOUND = "both branches agree at the bound within rounding"
ROOM = "more memory than is used"
FEWER = "fewer chunks do the work; slower, the same states"
MORE_SLOTS = "a simdgroup has more slots for states; those past N are skipped"
SKIPPED = "one turn more, and that one is skipped: j is N or more, or k is count or more"
DEAD = "a lane past d: another factor is zero in every sum over lanes, and it stores nothing"
PAST_COUNT = "steps past count are never read"
UNUSED_GATE = "without a gate gz stands in and is dropped"
ANY_LANE = "simd_sum gives every lane the same sum, so any one may store it"
RESOLUTION = "moves the slope by 4e-6 at most, at the end of the series; the gradient of A is not closer to begin with"

BACK_ARRAYS = [f"threadgroup float {name}[SEGMENT * 32];" for name in ("steps", "inputs", "grads")]
BACK_ARRAYS += [f"threadgroup float {name}[SLICE * GROUPS * 32];" for name in ("to_input", "to_rate", "to_y")]
ENDS = "threadgroup float ends[CHUNKS > 1 ? CHUNKS * N * 32 : 1];"
SPANS = "threadgroup float spans[CHUNKS > 1 ? CHUNKS * 32 : 1];"
LENGTH = "const uint length = (segments + CHUNKS - 1) / CHUNKS * SEGMENT;"
OWN = "const int OWN = (N + GROUPS - 1) / GROUPS;"
GZ = "if (!GATED && block == 0 && row == 0 && group == 0 && lane == 0) {"
GROWTH = "return metal::abs(a) < 1.0f ? s : (exp_a - 1.0f) / a;"
SLOPE = "return a2 < 1.0f ? s : 1.0f / (1.0f - 1.0f / exp_a) - 1.0f / a;"
LATER = "for (uint k = uint(k0); k < metal::min(count, uint(k0 + SLICE)); k++) {"

EQUIVALENTS = [
    *(Equivalent(CONV, k, "if (c >= d || start >= t) {", "start >=", "start >", GRID) for k in ("forward", "backward")),
    *(Equivalent(CONV, k, "past[0] = 0.0f;", "0.0f", "1.0f", SHIFTED) for k in ("forward", "backward")),
    *(
        Equivalent(CONV, k, "const uint stop = metal::min(t, start + SPAN);", "+", "-", WRAPS)
        for k in ("forward", "backward")
    ),
    Equivalent(CONV, "backward", "past[K - 1] = 0.0f;", "0.0f", "1.0f", "read only before stop, where x replaces it"),
    Equivalent(CONV, "backward", "gtail[size_t(row) * d + c] = W(0.0f);", "0.0f", "1.0f", UNUSED_TAIL),
    Equivalent(SCAN, "header", GROWTH, "<", "<=", BOUND),
    Equivalent(SCAN, "header", SLOPE, "<", "<=", BOUND),
    Equivalent(SCAN, "header", "float s = -1.0f / 1209600.0f;", "-", "+", RESOLUTION),
    Equivalent(SCAN, "forward", ENDS, ">", ">=", ROOM),
    Equivalent(SCAN, "forward", ENDS, "32", "33", ROOM),
    Equivalent(SCAN, "forward", ENDS, ": 1", ": 2", ROOM),
    Equivalent(SCAN, "forward", SPANS, ">", ">=", ROOM),
    Equivalent(SCAN, "forward", SPANS, "32", "33", ROOM),
    Equivalent(SCAN, "forward", SPANS, ": 1", ": 2", ROOM),
    Equivalent(SCAN, "forward", LENGTH, "-", "+", FEWER),
    Equivalent(SCAN, "forward", LENGTH, "/", "*", FEWER),
    Equivalent(SCAN, "forward", "const uint end = metal::min(t, start + length);", "+", "-", WRAPS),
    *(Equivalent(SCAN, "backward", line, "32", "33", ROOM) for line in BACK_ARRAYS),
    Equivalent(SCAN, "backward", OWN, "-", "+", MORE_SLOTS),
    Equivalent(SCAN, "backward", OWN, "/", "*", MORE_SLOTS),
    *(
        Equivalent(SCAN, "backward", line, ": 0.0f", ": 1.0f", DEAD)
        for line in (
            "const float skip = live ? float(D[c]) : 0.0f;",
            "rate[p] = mine ? float(A[size_t(c) * N + j]) * 1.44269504f : 0.0f;",
            "gh[p] = mine ? float(gh_last[channel + j]) : 0.0f;",
            "float g = live ? float(gy[at]) : 0.0f;",
            "const float gate = live ? float(z[at]) : 0.0f;",
            "steps[k * 32 + lane] = live ? float(dt[at]) : 0.0f;",
            "inputs[k * 32 + lane] = live ? float(x[at]) : 0.0f;",
            "h[0] = live ? float(checkpoints[((size_t(row) * segments + s) * N + j) * d + c]) : 0.0f;",
        )
    ),
    Equivalent(SCAN, "backward", "for (int p = 0; p < OWN; p++) {", "<", "<=", SKIPPED),
    Equivalent(SCAN, "backward", "float h[SEGMENT + 1];", "1", "2", ROOM),
    Equivalent(SCAN, "backward", "h[k + 1] = 0.0f;", "0.0f", "1.0f", PAST_COUNT),
    Equivalent(SCAN, "backward", "for (int k = SEGMENT - 1; k >= 0; k--) {", "T - 1", "T + 1", SKIPPED),
    Equivalent(SCAN, "backward", "if (lane == 0) {", "0", "1", ANY_LANE),
    Equivalent(SCAN, "backward", LATER, "+ SLICE", "- SLICE", WRAPS),
    Equivalent(SCAN, "backward", GZ, "lane == 0", "lane == 1", ANY_LANE),
    Equivalent(SCAN, "backward", "gz[0] = V(0.0f);", "0.0f", "1.0f", UNUSED_GATE),
]


def reason(mutant: Mutant) -> str | None:
    """Why the mutant computes what the kernel does, or None."""
    for e in EQUIVALENTS:
        if (e.op, e.kernel, e.before, e.after) == (mutant.op, mutant.kernel, mutant.before, mutant.after):
            return e.why
    return None
