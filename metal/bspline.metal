// y_j = sum_i (W_ij silu(x_i) + sum_k C_ikj B_ik(x_i)), B_ik of degree P on the knots t of input i. In a cell,
// t_c <= x < t_{c+1}, only B_{c-P} .. B_c are not zero; before the first knot and from the last on none is.
//
// x, gx: (rows, d); C: (d, K, out); W: (d, out), not read where not BASE; knots: (d, K + P + 1), float32; y, gy:
// (rows, out). parts: (SPANS, d, K + BASE, out), float32, the gradient of C and, as if it were function K, of W: partial
// sums, one a span of rows, no atomics, the same bits every run.
//
// Templates: T the type of x; P the degree; S = min(P + 1, K) functions of an input that may not be zero; BASE whether
// there is a W; THREADS a threadgroup; ROWS and OUTS, rows and outputs a thread; N functions a thread; SPANS of rows.
// x, C, W and gy are float, half or bfloat; everything inside is float.
//
// A threadgroup has THREADS pairs of a row and an input at a time: each thread evaluates the functions of one, into
// threadgroup memory [function][pair], then all use them. Nothing of size (rows, d, K) exists.
//
// forward     a simdgroup owns ROWS rows, a lane OUTS outputs, 32 apart; grid (THREADS ceil(rows / tile), ceil(out /
//             (32 OUTS)), 1), a tile THREADS / 32 ROWS rows. Every pair has its own rows of C, each read coalesced
//             over outputs, from the caches. 4 THREADS (S + 2) bytes, ROWS OUTS + 30 registers.
// backward_x  the same rows, 32 / ROWS inputs, all outputs; grid (THREADS ceil(rows / tile), ceil(d ROWS / 32), 1).
//             The functions' slopes take their place; a sum over lanes ends it. 4 THREADS (S + 3) bytes,
//             ROWS (S + 5) + 30 registers.
// backward_C  a simdgroup owns an input, a lane OUTS outputs, N functions of each in registers; grid
//             (THREADS ceil(32 d / THREADS), blocks of functions for each block of outputs, SPANS). A span takes every
//             SPANS-th chunk of 32 rows. Rows that reach none of the N are skipped. 4 THREADS (N + 1) bytes,
//             N OUTS + 40 registers.
//
// A line "// kernel: name (inputs) -> (outputs)" starts a kernel's body; the text above the first is their header.

inline float las_sigmoid(float x) {
  return 1.0f / (1.0f + metal::precise::exp(-x));
}
// The cell of x between the knots t_0 .. t_last; last where it is in none.
template <typename X>
inline uint las_cell(X t, uint last, float x) {
  if (!(x >= float(t[0]) && x < float(t[last]))) {
    return last;
  }
  uint cell = 0;
  uint end = last;
  while (end - cell > 1) {
    const uint middle = (cell + end) / 2;
    if (x >= float(t[middle])) {
      cell = middle;
    } else {
      end = middle;
    }
  }
  return cell;
}
// slots [N], APART apart, = the functions first .. first + N - 1 at x, or their slopes; NaN where x is not finite.
template <int P, int N, int APART, bool SLOPES, typename X, typename V>
inline void las_splines(X t, uint last, uint cell, float x, uint first, V slots) {
  const bool flat = SLOPES && P == 0;
  for (int s = 0; s < N; s++) {
    slots[s * APART] = flat ? 0.0f : x - x;
  }
  if (cell == last) {
    return;
  }
  float knots[2 * P + 1];  // t_{c+1-P} .. t_{c+P}; a function that would need one past the ends is none of ours
  for (int q = 0; q < 2 * P; q++) {
    const uint m = cell + 1 + uint(q);
    knots[q] = float(t[int(m) < P ? 0 : metal::min(m - uint(P), last)]);
  }
  float n[P + 1];
  n[0] = flat ? 0.0f : 1.0f;
  for (int j = 1; j <= P; j++) {
    const bool slopes = SLOPES && j == P;
    float saved = 0.0f;
    for (int r = 0; r < j; r++) {
      const float share = n[r] / (knots[P + r] - knots[P - j + r]);
      n[r] = saved + (slopes ? -float(P) : knots[P + r] - x) * share;
      saved = (slopes ? float(P) : x - knots[P - j + r]) * share;
    }
    n[j] = saved;
  }
  for (int r = 0; r <= P; r++) {
    const uint s = cell + uint(r) - uint(P) - first;
    if (s < uint(N)) {
      slots[s * APART] = n[r];
    }
  }
}
// The first of S of the K functions of an input, among them all that are not zero in the cell.
template <int P, int S>
inline uint las_first(uint cell, uint K) {
  return int(cell) < P ? 0 : metal::min(cell - uint(P), K - uint(S));
}

// kernel: forward (x, C, W, knots) -> (y)
threadgroup float values[(S + BASE) * THREADS];
threadgroup uint firsts[THREADS];
const uint rows = uint(x_shape[0]);
const uint d = uint(x_shape[1]);
const uint K = uint(C_shape[1]);
const uint out = uint(C_shape[2]);
const uint FEATURES = 32 / ROWS;
const uint own = thread_index_in_threadgroup;
const uint mine = simdgroup_index_in_threadgroup * ROWS;
const uint top = threadgroup_position_in_grid.x * (THREADS / FEATURES);
const uint left = threadgroup_position_in_grid.y * (32 * OUTS) + thread_index_in_simdgroup;
uint columns[OUTS];
float sums[ROWS * OUTS];
for (uint j = 0; j < uint(OUTS); j++) {
  columns[j] = metal::min(left + 32 * j, out - 1);
  for (uint r = 0; r < uint(ROWS); r++) {
    sums[r * OUTS + j] = 0.0f;
  }
}
for (uint start = 0; start < d; start += FEATURES) {
  const uint at = metal::min(start + own % FEATURES, d - 1);
  const float seen = float(x[size_t(metal::min(top + own / FEATURES, rows - 1)) * d + at]);
  const auto t = knots + size_t(at) * (K + P + 1);
  const uint cell = las_cell(t, K + P, seen);
  const uint first = las_first<P, S>(cell, K);
  firsts[own] = first;
  las_splines<P, S, THREADS, false>(t, K + P, cell, seen, first, values + own);
  if (BASE) {
    values[S * THREADS + own] = seen * las_sigmoid(seen);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint i = start; i < metal::min(start + FEATURES, d); i++) {
    for (uint r = 0; r < uint(ROWS); r++) {
      const uint pair = (mine + r) * FEATURES + i - start;
      const auto c = C + (size_t(i) * K + firsts[pair]) * out;
      for (uint s = 0; s < uint(S); s++) {
        const float v = values[s * THREADS + pair];
        for (uint j = 0; j < uint(OUTS); j++) {
          sums[r * OUTS + j] += v * float(c[s * out + columns[j]]);
        }
      }
      if (BASE) {
        const float v = values[S * THREADS + pair];
        for (uint j = 0; j < uint(OUTS); j++) {
          sums[r * OUTS + j] += v * float(W[size_t(i) * out + columns[j]]);
        }
      }
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
}
for (uint r = 0; r < uint(ROWS); r++) {
  for (uint j = 0; j < uint(OUTS); j++) {
    if (top + mine + r < rows && left + 32 * j < out) {
      y[size_t(top + mine + r) * out + columns[j]] = T(sums[r * OUTS + j]);
    }
  }
}

// kernel: backward_x (x, C, W, knots, gy) -> (gx)
threadgroup float slopes[(S + BASE) * THREADS];
threadgroup uint firsts[THREADS];
threadgroup float totals[THREADS];
const uint rows = uint(x_shape[0]);
const uint d = uint(x_shape[1]);
const uint K = uint(C_shape[1]);
const uint out = uint(C_shape[2]);
const uint FEATURES = 32 / ROWS;
const uint own = thread_index_in_threadgroup;
const uint mine = simdgroup_index_in_threadgroup * ROWS;
const uint top = threadgroup_position_in_grid.x * (THREADS / FEATURES);
const uint start = threadgroup_position_in_grid.y * FEATURES;
const uint input = start + own % FEATURES;
const uint row = top + own / FEATURES;
const uint at = metal::min(input, d - 1);
const float seen = float(x[size_t(metal::min(row, rows - 1)) * d + at]);
const auto t = knots + size_t(at) * (K + P + 1);
const uint cell = las_cell(t, K + P, seen);
const uint first = las_first<P, S>(cell, K);
firsts[own] = first;
las_splines<P, S, THREADS, true>(t, K + P, cell, seen, first, slopes + own);
if (BASE) {
  const float open = las_sigmoid(seen);
  slopes[S * THREADS + own] = open * (1.0f + seen * (1.0f - open));
}
threadgroup_barrier(mem_flags::mem_threadgroup);
for (uint i = start; i < metal::min(start + FEATURES, d); i++) {
  float v[ROWS * (S + BASE)];
  size_t places[ROWS];
  float sums[ROWS];
  for (uint r = 0; r < uint(ROWS); r++) {
    const uint pair = (mine + r) * FEATURES + i - start;
    places[r] = (size_t(i) * K + firsts[pair]) * out;
    sums[r] = 0.0f;
    for (uint s = 0; s < uint(S + BASE); s++) {
      v[r * (S + BASE) + s] = slopes[s * THREADS + pair];
    }
  }
  for (uint o = thread_index_in_simdgroup; o < out; o += 32) {
    for (uint r = 0; r < uint(ROWS); r++) {
      float slope = 0.0f;
      for (uint s = 0; s < uint(S); s++) {
        slope += v[r * (S + BASE) + s] * float(C[places[r] + s * out + o]);
      }
      if (BASE) {
        slope += v[r * (S + BASE) + S] * float(W[size_t(i) * out + o]);
      }
      sums[r] += slope * float(gy[size_t(metal::min(top + mine + r, rows - 1)) * out + o]);
    }
  }
  for (uint r = 0; r < uint(ROWS); r++) {
    const float total = simd_sum(sums[r]);
    if (thread_index_in_simdgroup == 0) {
      totals[(mine + r) * FEATURES + i - start] = total;
    }
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);
if (row < rows && input < d) {
  gx[size_t(row) * d + input] = T(totals[own]);
}

// kernel: backward_C (x, knots, gy) -> (parts)
threadgroup float values[N * THREADS];
threadgroup uint cells[THREADS];
const uint rows = uint(x_shape[0]);
const uint d = uint(x_shape[1]);
const uint K = uint(knots_shape[1]) - P - 1;
const uint out = uint(gy_shape[1]);
const uint FEATURES = THREADS / 32;
const uint blocks = (K + BASE + N - 1) / N;
const uint own = thread_index_in_threadgroup;
const uint group = simdgroup_index_in_threadgroup;
const uint start = threadgroup_position_in_grid.x * FEATURES;
const uint first = threadgroup_position_in_grid.y % blocks * N;
const uint left = threadgroup_position_in_grid.y / blocks * (32 * OUTS) + thread_index_in_simdgroup;
const uint span = threadgroup_position_in_grid.z;
const uint at = metal::min(start + own % FEATURES, d - 1);
const auto t = knots + size_t(at) * (K + P + 1);
const bool base = BASE && K - first < uint(N);  // silu is one of the N
uint columns[OUTS];
float sums[N * OUTS];
for (uint j = 0; j < uint(OUTS); j++) {
  columns[j] = metal::min(left + 32 * j, out - 1);
  for (uint k = 0; k < uint(N); k++) {
    sums[k * OUTS + j] = 0.0f;
  }
}
for (uint begin = span * 32; begin < rows; begin += 32 * SPANS) {
  const float seen = float(x[size_t(metal::min(begin + own / FEATURES, rows - 1)) * d + at]);
  const uint cell = las_cell(t, K + P, seen);
  cells[own] = seen - seen == 0.0f ? cell : first;  // what is not finite reaches every function
  las_splines<P, N, THREADS, false>(t, K + P, cell, seen, first, values + own);
  if (base) {
    values[(K - first) * THREADS + own] = seen * las_sigmoid(seen);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint row = begin; row < metal::min(begin + 32, rows); row++) {
    const uint pair = (row - begin) * FEATURES + group;
    if (base || cells[pair] - first < uint(N + P)) {
      float g[OUTS];
      for (uint j = 0; j < uint(OUTS); j++) {
        g[j] = float(gy[size_t(row) * out + columns[j]]);
      }
      for (uint k = 0; k < uint(N); k++) {
        const float v = values[k * THREADS + pair];
        for (uint j = 0; j < uint(OUTS); j++) {
          sums[k * OUTS + j] += v * g[j];
        }
      }
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
}
if (start + group < d) {
  for (uint k = 0; k < uint(N) && first + k < K + BASE; k++) {
    for (uint j = 0; j < uint(OUTS); j++) {
      if (left + 32 * j < out) {
        parts[((size_t(span) * d + start + group) * (K + BASE) + first + k) * out + columns[j]] = sums[k * OUTS + j];
      }
    }
  }
}
