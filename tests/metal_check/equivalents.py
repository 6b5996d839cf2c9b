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


CONV, SCAN, LIQUID, LTC, PLASTIC = "causal_conv1d", "selective_scan", "liquid_scan", "ltc_scan", "plastic"
LIF = "lif_scan"
CFC = "cfc_scan"
SPLINES = "bspline"

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
DEAD_ROW = "a row past the last: nothing reads its states"
BELOW_ROUNDING = "moves tanh by less than 1.1e-7 of itself: x^6 is below 1e-6 there"
NO_ZERO = "0 is below 0.1, where the other formula is taken"
UNROLL = "how often the compiler copies the loop: the same sums in the same order"
SET_BEFORE = "written by the second half of a midpoint step before the first half reads it"
CLAMP = "r is below ROWS: never clamped"
PAST_ROW = "one turn more, and that one is skipped: i is N or more"
PAST_PIECE = "the trace after a piece's last element is not read; past the piece nothing is below last"
SKIPPED_PIECE = "turns more, and those are skipped: past the piece nothing is below last"
REPEATED = "rows past the last then have no trace at all, and store nothing"
DELTA = "s is read where RULE is 2 only"
UNUSED_PLASTIC = "what stands in for an array that is not there is dropped"
UNUSED_SOFT = "without SOFT gV2 and gb2 stand in and are dropped"
UNREAD = "not read where no neuron adapts or none rests"
ALONE = "without POTENTIAL the element stands in and is dropped: any lane may store it"
ONE_COLUMN = "there is one column: k is 0"
UNUSED_Z = "without z gu stands in and is dropped"
ANY_THREAD = "a threadgroup has 32 threads or more, any one may store it"
NONE_OF_OURS = "of a function that would need a knot past the ends: it is not stored"
SAME_END = "where the two are equal both branches are 0"
NO_INPUTS = "one turn more, and that one has no inputs"
NO_ROWS = "one turn more, and that one has no rows"
NOT_SKIPPED = "rows that reach none of the functions are not skipped: slower, the same sums"

BACK_ARRAYS = [f"threadgroup float {name}[SEGMENT * 32];" for name in ("steps", "inputs", "grads")]
BACK_ARRAYS += [f"threadgroup float {name}[SLICE * GROUPS * 32];" for name in ("to_input", "to_rate", "to_y")]
ENDS = "threadgroup float ends[CHUNKS > 1 ? CHUNKS * N * 32 : 1];"
SPANS = "threadgroup float spans[CHUNKS > 1 ? CHUNKS * 32 : 1];"
LENGTH = "const uint length = (segments + CHUNKS - 1) / CHUNKS * SEGMENT;"
OWN = "const int OWN = (N + GROUPS - 1) / GROUPS;"
GZ = "if (!GATED && block == 0 && row == 0 && group == 0 && lane == 0) {"
UNADAPTED = ("float kappa = 0.0f;", "float rho = 0.0f;")
POTENTIALS = "if (!POTENTIAL && c == 0 && row == 0) {"
GROWTH = "return metal::abs(a) < 1.0f ? s : (exp_a - 1.0f) / a;"
SLOPE = "return a2 < 1.0f ? s : 1.0f / (1.0f - 1.0f / exp_a) - 1.0f / a;"
LATER = "for (uint k = uint(k0); k < metal::min(count, uint(k0 + SLICE)); k++) {"
SMALL = "const float small = x * (1.0f + x2 * (-1.0f / 3.0f + x2 * (2.0f / 15.0f - x2 * (17.0f / 315.0f))));"
TANH = "return metal::abs(x) < 0.1f ? small : (x < 0.0f ? -large : large);"
CFC_INNER = "threadgroup float inner[DEEP ? M * ROWS : 1];"
INNER = "threadgroup float inner[SOFT ? M * ROWS : 1];"
PAIR = "threadgroup float pair[2 * H * ROWS];"
STATES = "threadgroup float states[2 * H * ROWS];"
FIRST = "states[i * ROWS + r] = r < rows ? h0[size_t(first + r) * H + i] : 0.0f;"
MIDDLE = "middle[i * ROWS + r] = 0.0f;"
HEAR = "las_hear<ROWS>(recurrent + i, H, H, {} + now, ROWS, 1, ROWS - 1, current, conductance);"
ROW_BY_ROW = "for (uint r = 0; r < uint(ROWS) && r < rows; r++) {"
LEADER = "if (thread_index_in_simdgroup == 0) {"
STORE = "for (uint j = 0; j < uint(N + 31) / 32; j++) {"
OWN_S = "const float own_s = RULE == 2 ? seen[own * m + row] : 0.0f;"
SHARED_S = "const float s = RULE == 2 ? simd_broadcast(own_s, e) : 0.0f;"
ROW_LEADER = "if (live && lane == 0) {"
SEEN = "if (RULE != 2 && pair == 0 && first == 0 && lane == 0) {"
STAND_IN = "if (pair == 0 && part == 0 && thread_index_in_threadgroup == 0) {"
TRACE = "las_load<N>(H0 + trace + own * N, lane, H[r]);"
KNOT = "knots[q] = float(t[int(m) < P ? 0 : metal::min(m - uint(P), last)]);"
FIRST_OF = "return int(cell) < P ? 0 : metal::min(cell - uint(P), K - uint(S));"
REACHED = "cells[own] = seen - seen == 0.0f ? cell : first;"
FLEXIBLE = "las_load<N>(alpha + (size_t(head) * m + first + own) * N, lane, flexible[r]);"

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
    *(
        Equivalent(LIF, kernel, line, "0.0f", "1.0f", UNREAD)
        for kernel, lines in (
            ("forward", UNADAPTED),
            ("backward", (*UNADAPTED, "float rest = 0.0f;", "float a = 0.0f;")),
        )
        for line in lines
    ),
    Equivalent(LIF, "forward", POTENTIALS, "c == 0", "c == 1", ALONE),
    Equivalent(LIF, "forward", POTENTIALS, "row == 0", "row != 0", ALONE),
    Equivalent(LIF, "forward", POTENTIALS, "row == 0", "row == 1", ALONE),
    Equivalent(LIF, "forward", "potentials[0] = T(0.0f);", "0.0f", "1.0f", ALONE),
    Equivalent(LIF, "backward", "float trace[SEGMENT + 1];", "1", "2", ROOM),
    Equivalent(LIF, "backward", "for (int e = 0; e < SEGMENT; e++) {", "<", "<=", SKIPPED),
    Equivalent(LIF, "backward", "for (int e = SEGMENT - 1; e >= 0; e--) {", "T - 1", "T + 1", SKIPPED),
    Equivalent(CFC, "header", SMALL, "- x2", "+ x2", BELOW_ROUNDING),
    Equivalent(CFC, "header", TANH, "< 0.1f", "<= 0.1f", BOUND),
    Equivalent(CFC, "header", TANH, "< 0.0f", "<= 0.0f", NO_ZERO),
    Equivalent(CFC, "header", "values[r] = r < rows ? column[r * pitch] : 0.0f;", "0.0f", "1.0f", DEAD_ROW),
    Equivalent(CFC, "header", "#pragma unroll(4)", "4", "5", UNROLL),
    Equivalent(CFC, "forward", STATES, "2", "3", ROOM),
    Equivalent(CFC, "forward", FIRST, "0.0f", "1.0f", DEAD_ROW),
    Equivalent(CFC, "forward", "float heads[4 * ROWS];", "4", "5", ROOM),
    Equivalent(CFC, "backward", "float pre[4 * ROWS];", "4", "5", ROOM),
    Equivalent(CFC, "backward", "threadgroup float grads[4 * H * ROWS];", "4", "5", ROOM),
    *(Equivalent(CFC, kernel, CFC_INNER, ": 1", ": 2", ROOM) for kernel in ("forward", "backward")),
    *(
        Equivalent(CFC, kernel, f"las_multiply<1, ROWS>({weights}, sums);", ", 0,", ", 1,", ONE_COLUMN)
        for kernel, weights in (
            ("forward", "V_t + m, 0, H, M, states + now"),
            ("backward", "W + m, 0, 4 * H, M, grads"),
            ("backward", "V + i, 0, M, H, inner"),
            ("backward", "V + i, 0, 4 * H, H, grads"),
        )
    ),
    Equivalent(CFC, "backward", "if (!DEEP && first == 0 && unit == 0) {", "unit == 0", "unit == 1", ANY_THREAD),
    Equivalent(CFC, "backward", "gu[0] = 0.0f;", "0.0f", "1.0f", UNUSED_Z),
    Equivalent(LIQUID, "header", SMALL, "- x2", "+ x2", BELOW_ROUNDING),
    Equivalent(LIQUID, "header", TANH, "< 0.1f", "<= 0.1f", BOUND),
    Equivalent(LIQUID, "header", TANH, "< 0.0f", "<= 0.0f", NO_ZERO),
    Equivalent(LIQUID, "header", "#pragma unroll(4)", "4", "5", UNROLL),
    *(Equivalent(LIQUID, kernel, INNER, ": 1", ": 2", ROOM) for kernel in ("forward", "backward")),
    Equivalent(LIQUID, "backward", "if (!SOFT && tile == 0 && unit == 0) {", "unit == 0", "unit == 1", ANY_THREAD),
    *(
        Equivalent(LIQUID, "backward", line, "0.0f", "1.0f", UNUSED_SOFT)
        for line in ("gV2[0] = 0.0f;", "gb2[0] = 0.0f;")
    ),
    Equivalent(LTC, "forward", "threadgroup float heard[2 * H * ROWS];", "2", "3", ROOM),
    Equivalent(LTC, "forward", HEAR.format("states"), "ROWS - 1", "ROWS + 1", CLAMP),
    Equivalent(LTC, "backward", HEAR.format("pair"), "ROWS - 1", "ROWS + 1", CLAMP),
    Equivalent(LTC, "backward", ROW_BY_ROW, "< uint(ROWS)", "<= uint(ROWS)", "rows is ROWS at most"),
    Equivalent(PLASTIC, "header", SMALL, "- x2", "+ x2", BELOW_ROUNDING),
    Equivalent(PLASTIC, "header", TANH, "< 0.1f", "<= 0.1f", BOUND),
    Equivalent(PLASTIC, "header", TANH, "< 0.0f", "<= 0.0f", NO_ZERO),
    Equivalent(PLASTIC, "header", STORE, "<", "<=", PAST_ROW),
    Equivalent(PLASTIC, "header", STORE, "31", "32", PAST_ROW),
    Equivalent(PLASTIC, "forward", TRACE, "[r]", "[own]", REPEATED),
    Equivalent(PLASTIC, "forward", FLEXIBLE, "[r]", "[own]", REPEATED),
    *(Equivalent(PLASTIC, kernel, ROW_LEADER, "== 0", "== 1", ANY_LANE) for kernel in ("forward", "backward")),
    Equivalent(PLASTIC, "forward", SEEN, "lane == 0", "lane == 1", ANY_LANE),
    Equivalent(PLASTIC, "forward", "seen[0] = 0.0f;", "0.0f", "1.0f", UNUSED_PLASTIC),
    Equivalent(PLASTIC, "backward", "threadgroup float to_key[KEY ? GROUPS * N : 1];", ": 1", ": 2", ROOM),
    *(Equivalent(PLASTIC, "backward", line, "0.0f", "1.0f", DELTA) for line in (OWN_S, SHARED_S)),
    Equivalent(PLASTIC, "backward", "for (int k = 1; k < PIECE; k++) {", "<", "<=", PAST_PIECE),
    Equivalent(PLASTIC, "backward", "if (e + 1 < last) {", "<", "<=", PAST_PIECE),
    Equivalent(PLASTIC, "backward", "for (int k = PIECE - 1; k >= 0; k--) {", "E - 1", "E + 1", SKIPPED_PIECE),
    Equivalent(PLASTIC, "backward", STAND_IN, "group == 0", "group == 1", ANY_THREAD),
    *(
        Equivalent(PLASTIC, "backward", line, "0.0f", "1.0f", UNUSED_PLASTIC)
        for line in ("gkey[0] = 0.0f;", "gtarget[0] = 0.0f;")
    ),
    *(
        found
        for op in (LIQUID, LTC)
        for found in (
            Equivalent(op, "forward", STATES, "2", "3", ROOM),
            Equivalent(op, "forward", FIRST, "0.0f", "1.0f", DEAD_ROW),
            Equivalent(op, "backward", PAIR, "2", "3", ROOM),
            Equivalent(op, "backward", MIDDLE, "0.0f", "1.0f", SET_BEFORE),
            Equivalent(op, "backward", LEADER, "== 0", "== 1", ANY_LANE),
        )
    ),
    Equivalent(SPLINES, "header", "float knots[2 * P + 1];", "2", "3", ROOM),
    Equivalent(SPLINES, "header", "float knots[2 * P + 1];", "1", "2", ROOM),
    Equivalent(SPLINES, "header", "for (int q = 0; q < 2 * P; q++) {", "<", "<=", "the last is not read"),
    Equivalent(SPLINES, "header", KNOT, "<", "<=", SAME_END),
    Equivalent(SPLINES, "header", KNOT, "? 0", "? 1", NONE_OF_OURS),
    Equivalent(SPLINES, "header", "float n[P + 1];", "1", "2", ROOM),
    Equivalent(SPLINES, "header", FIRST_OF, "<", "<=", SAME_END),
    Equivalent(SPLINES, "forward", "for (uint start = 0; start < d; start += FEATURES) {", "<", "<=", NO_INPUTS),
    Equivalent(SPLINES, "backward_x", LEADER, "== 0", "== 1", ANY_LANE),
    Equivalent(
        SPLINES, "backward_C", "for (uint begin = span * 32; begin < rows; begin += 32 * SPANS) {", "<", "<=", NO_ROWS
    ),
    Equivalent(SPLINES, "backward_C", REACHED, "-", "+", NOT_SKIPPED),
    Equivalent(SPLINES, "backward_C", REACHED, "0.0f", "1.0f", NOT_SKIPPED),
    Equivalent(SPLINES, "backward_C", "if (base || cells[pair] - first < uint(N + P)) {", "<", "<=", NOT_SKIPPED),
]


def reason(mutant: Mutant) -> str | None:
    """Why the mutant computes what the kernel does, or None."""
    for e in EQUIVALENTS:
        if (e.op, e.kernel, e.before, e.after) == (mutant.op, mutant.kernel, mutant.before, mutant.after):
            return e.why
    return None
