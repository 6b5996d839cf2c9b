// y = u + (alpha * H) x, then H' = c H + w k^T, at each element, a trace H a sequence and head; its gradient. For each
// output, with p = target or else tanh(y) and s = H k: hebb c = keep, w = rate p; oja c = keep - rate p^2, w = rate p;
// delta c = keep, w = rate (p - keep s).
//
// u, target, y, gu, grate, gkeep, gtarget: (b, t, g, m); x, key: (b, t, g, N); alpha: (g, m, N); rate, keep: (b, t, g);
// H0, H_last, gH0, galpha: (b, g, m, N); seen: as y, s of delta; checkpoints: (ceil(t / 32), b, g, m, N), the trace
// before each segment of 32 elements; gx, gkey: (parts, b, t, g, N), partial sums. galpha is still to be summed over b,
// grate and gkeep over m. All float32.
//
// Templates: N synapses a row, at most 512; RULE 0 hebb, 1 oja, 2 delta; KEY and TARGET whether key (else x is the key)
// and target are there: what is not is not read; GROUPS simdgroups a threadgroup. A simdgroup has a row of the trace in
// registers, lane i the synapses i, i + 32, ...: J = ceil(N / 32) of them.
//
// forward            a simdgroup has ROWS rows, which share the loads of x and key; grid (32 b g, GROUPS
//                    ceil(m / (GROUPS ROWS)), 1), group (32, GROUPS, 1), no threadgroup memory. 42 registers (N 32,
//                    ROWS 4) to 87 (N 512, ROWS 1), as NVIDIA's compiler counts for sm_90. Checkpoints take b g m N t /
//                    8 bytes, 1/32 of every trace.
// backward           grid (32 b g, GROUPS parts, 1), group (32, GROUPS, 1); 4 GROUPS N bytes of threadgroup memory,
//                    twice that with KEY. Segments come last to first; in each a simdgroup takes TURNS rows one after
//                    the other, whose gradients wait in gH0 and galpha meanwhile. c and w of a segment follow from y
//                    and seen, an element a lane, so a trace is computed again without sums over lanes, PIECE elements
//                    at a time, from the checkpoint: 16 / PIECE times on average. A part has GROUPS TURNS rows; gx and
//                    gkey take 4 parts b t g N bytes each: no atomics, the same bits every run. 80 registers (N 32,
//                    PIECE 8) to 128 (N 512, PIECE 1).
//
// A line "// kernel: name (inputs) -> (outputs)" starts a kernel's body; the text above the first is their header.

inline float las_tanh(float x) {
  const float e = metal::precise::exp(-2.0f * metal::abs(x));
  const float large = (1.0f - e) / (1.0f + e);
  const float x2 = x * x;
  const float small = x * (1.0f + x2 * (-1.0f / 3.0f + x2 * (2.0f / 15.0f - x2 * (17.0f / 315.0f))));
  return metal::abs(x) < 0.1f ? small : (x < 0.0f ? -large : large);
}
// c and w
inline float las_kept(int rule, float p, float rate, float keep) {
  return rule == 1 ? keep - rate * p * p : keep;
}
inline float las_written(int rule, float p, float s, float rate, float keep) {
  return rate * (rule == 2 ? p - keep * s : p);
}
struct las_gradients {
  float p;
  float s;
  float rate;
  float keep;
};
// Of those of c and w.
inline las_gradients las_pull(int rule, float p, float s, float rate, float keep, float to_kept, float to_written) {
  las_gradients to;
  to.p = rate * (rule == 1 ? to_written - 2.0f * p * to_kept : to_written);
  to.s = rule == 2 ? -rate * keep * to_written : 0.0f;
  to.rate = rule == 2 ? (p - keep * s) * to_written : p * (rule == 1 ? to_written - p * to_kept : to_written);
  to.keep = rule == 2 ? to_kept - rate * s * to_written : to_kept;
  return to;
}
template <typename P>
inline void las_add(P to, float x, bool fresh) {
  *to = fresh ? x : *to + x;
}
// A lane's synapses of a row, 0 past the last.
template <int N, typename P>
inline void las_load(P row, uint lane, thread float* values) {
  for (int j = 0; j < (N + 31) / 32; j++) {
    const uint i = lane + 32 * j;
    values[j] = i < uint(N) ? row[i] : 0.0f;
  }
}
// The key of the element whose x and key are at `at`.
template <int N, bool KEY, typename X, typename K>
inline void las_load_key(X x, K key, size_t at, uint lane, thread float* values) {
  if (KEY) {
    las_load<N>(key + at, lane, values);
  } else {
    las_load<N>(x + at, lane, values);
  }
}
template <int N, typename P>
inline void las_store(P row, uint lane, const thread float* values) {
  for (uint j = 0; j < uint(N + 31) / 32; j++) {
    const uint i = lane + 32 * j;
    if (i < uint(N)) {
      row[i] = values[j];
    }
  }
}

// kernel: forward (u, x, alpha, H0, rate, keep, key, target) -> (y, H_last, seen, checkpoints)
const int J = (N + 31) / 32;
const uint b = uint(u_shape[0]);
const uint t = uint(u_shape[1]);
const uint g = uint(u_shape[2]);
const uint m = uint(u_shape[3]);
const uint lane = thread_index_in_simdgroup;
const uint pair = threadgroup_position_in_grid.x;  // of a sequence and a head
const uint first = (threadgroup_position_in_grid.y * GROUPS + simdgroup_index_in_threadgroup) * ROWS;
if (first >= m) {
  return;
}
const uint rows = metal::min(uint(ROWS), m - first);
const uint head = pair % g;
const size_t trace = (size_t(pair) * m + first) * N;
float H[ROWS][J];
float flexible[ROWS][J];
for (uint r = 0; r < uint(ROWS); r++) {
  const size_t own = metal::min(r, rows - 1);  // rows past the last repeat it and store nothing
  las_load<N>(H0 + trace + own * N, lane, H[r]);
  las_load<N>(alpha + (size_t(head) * m + first + own) * N, lane, flexible[r]);
}
for (uint e = 0; e < t; e++) {
  const size_t at = (size_t(pair / g) * t + e) * g + head;
  const float rate_e = rate[at];
  const float keep_e = keep[at];
  float x_e[J];
  float key_e[J];
  las_load<N>(x + at * N, lane, x_e);
  las_load_key<N, KEY>(x, key, at * N, lane, key_e);
  for (uint r = 0; r < uint(ROWS); r++) {
    const bool live = r < rows;
    const size_t out = at * m + first + metal::min(r, rows - 1);
    if (e % 32 == 0 && live) {
      las_store<N>(checkpoints + (size_t(e / 32) * b * g * m + r) * N + trace, lane, H[r]);
    }
    float sum = 0.0f;
    float s = 0.0f;
    for (int j = 0; j < J; j++) {
      sum += flexible[r][j] * H[r][j] * x_e[j];
      s += H[r][j] * key_e[j];
    }
    const float y_e = u[out] + simd_sum(sum);
    if (RULE == 2) {
      s = simd_sum(s);
    }
    const float p = TARGET ? target[out] : las_tanh(y_e);
    const float kept = las_kept(RULE, p, rate_e, keep_e);
    const float written = las_written(RULE, p, s, rate_e, keep_e);
    for (int j = 0; j < J; j++) {
      H[r][j] = kept * H[r][j] + written * key_e[j];
    }
    if (live && lane == 0) {
      y[out] = y_e;
      if (RULE == 2) {
        seen[out] = s;
      }
    }
  }
}
for (uint r = 0; r < rows; r++) {
  las_store<N>(H_last + trace + r * N, lane, H[r]);
}
if (RULE != 2 && pair == 0 && first == 0 && lane == 0) {
  seen[0] = 0.0f;
}

// kernel: backward (x, alpha, rate, keep, key, target, y, seen, checkpoints, gy, gH_last) -> (gu, gx, galpha, gH0, grate, gkeep, gkey, gtarget)
threadgroup float to_x[GROUPS * N];              // each simdgroup's share of the gradient of an element's x
threadgroup float to_key[KEY ? GROUPS * N : 1];  // and of its key
const int J = (N + 31) / 32;
const uint b = uint(y_shape[0]);
const uint t = uint(y_shape[1]);
const uint g = uint(y_shape[2]);
const uint m = uint(y_shape[3]);
const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const uint pair = threadgroup_position_in_grid.x;  // of a sequence and a head
const uint part = threadgroup_position_in_grid.y;
const uint head = pair % g;
const uint segments = (t + 31) / 32;
for (uint segment = segments; segment-- > 0;) {
  const uint start = segment * 32;
  const uint count = metal::min(32u, t - start);
  const size_t begin = (size_t(pair / g) * t + start) * g + head;  // the segment's first element; the next is g on
  for (uint turn = 0; turn < uint(TURNS); turn++) {
    const uint first = (part * TURNS + turn) * GROUPS;
    if (first >= m) {
      break;
    }
    const uint rows = metal::min(uint(GROUPS), m - first);
    const bool live = group < rows;
    const uint row = first + metal::min(group, rows - 1);  // simdgroups past the last row repeat it and store nothing
    const size_t trace = (size_t(pair) * m + row) * N;
    const size_t own = begin + size_t(metal::min(lane, count - 1)) * g;  // lane i computes c and w of element i
    const float own_p = TARGET ? target[own * m + row] : las_tanh(y[own * m + row]);
    const float own_s = RULE == 2 ? seen[own * m + row] : 0.0f;
    const float own_kept = las_kept(RULE, own_p, rate[own], keep[own]);
    const float own_written = las_written(RULE, own_p, own_s, rate[own], keep[own]);
    float flexible[J];
    float grad[J];  // of the trace after the element at hand, then before it
    float to_alpha[J];
    las_load<N>(alpha + (size_t(head) * m + row) * N, lane, flexible);
    if (live && segment + 1 < segments) {
      las_load<N>(gH0 + trace, lane, grad);
      las_load<N>(galpha + trace, lane, to_alpha);
    } else {
      las_load<N>(gH_last + trace, lane, grad);
      for (int j = 0; j < J; j++) {
        to_alpha[j] = 0.0f;
      }
    }
    for (uint last = count; last > 0;) {
      const uint from = (last - 1) / PIECE * PIECE;
      float H[PIECE][J];  // before each element of the piece
      float key_e[J];
      las_load<N>(checkpoints + size_t(segment) * b * g * m * N + trace, lane, H[0]);
      for (uint e = 0; e < from; e++) {
        const float kept = simd_broadcast(own_kept, e);
        const float written = simd_broadcast(own_written, e);
        las_load_key<N, KEY>(x, key, (begin + size_t(e) * g) * N, lane, key_e);
        for (int j = 0; j < J; j++) {
          H[0][j] = kept * H[0][j] + written * key_e[j];
        }
      }
#pragma unroll  // so that H stays in registers
      for (int k = 1; k < PIECE; k++) {
        const uint e = from + uint(k) - 1;
        if (e + 1 < last) {
          const float kept = simd_broadcast(own_kept, e);
          const float written = simd_broadcast(own_written, e);
          las_load_key<N, KEY>(x, key, (begin + size_t(e) * g) * N, lane, key_e);
          for (int j = 0; j < J; j++) {
            H[k][j] = kept * H[k - 1][j] + written * key_e[j];
          }
        }
      }
#pragma unroll  // so that H stays in registers
      for (int k = PIECE - 1; k >= 0; k--) {
        const uint e = from + uint(k);
        if (e < last) {
          const size_t at = begin + size_t(e) * g;
          const size_t out = at * m + row;
          float x_e[J];
          las_load<N>(x + at * N, lane, x_e);
          las_load_key<N, KEY>(x, key, at * N, lane, key_e);
          float sum_kept = 0.0f;
          float sum_written = 0.0f;
          for (int j = 0; j < J; j++) {
            sum_kept += grad[j] * H[k][j];
            sum_written += grad[j] * key_e[j];
          }
          const float p = simd_broadcast(own_p, e);
          const float s = RULE == 2 ? simd_broadcast(own_s, e) : 0.0f;
          const float kept = simd_broadcast(own_kept, e);
          const float written = simd_broadcast(own_written, e);
          const las_gradients to = las_pull(RULE, p, s, rate[at], keep[at], simd_sum(sum_kept), simd_sum(sum_written));
          const float to_y = gy[out] + (TARGET ? 0.0f : to.p * (1.0f - p * p));
          for (int j = 0; j < J; j++) {
            const uint i = lane + 32 * uint(j);
            const float through = to_y * flexible[j];
            const float share = through * H[k][j];
            const float key_share = written * grad[j] + to.s * H[k][j];
            if (i < uint(N)) {
              to_x[group * N + i] = KEY ? share : share + key_share;
              if (KEY) {
                to_key[group * N + i] = key_share;
              }
            }
            to_alpha[j] += to_y * H[k][j] * x_e[j];
            grad[j] = kept * grad[j] + to.s * key_e[j] + through * x_e[j];
          }
          if (live && lane == 0) {
            gu[out] = to_y;
            grate[out] = to.rate;
            gkeep[out] = to.keep;
            if (TARGET) {
              gtarget[out] = to.p;
            }
          }
          threadgroup_barrier(mem_flags::mem_threadgroup);
          for (uint i = thread_index_in_threadgroup; i < uint(N); i += 32 * GROUPS) {
            const size_t to_sum = (size_t(part) * b * t * g + at) * N + i;
            float sum = 0.0f;
            float key_sum = 0.0f;
            for (uint r = 0; r < rows; r++) {
              sum += to_x[r * N + i];
              if (KEY) {
                key_sum += to_key[r * N + i];
              }
            }
            las_add(gx + to_sum, sum, turn == 0);
            if (KEY) {
              las_add(gkey + to_sum, key_sum, turn == 0);
            }
          }
          threadgroup_barrier(mem_flags::mem_threadgroup);
        }
      }
      last = from;
    }
    if (live) {
      las_store<N>(gH0 + trace, lane, grad);
      las_store<N>(galpha + trace, lane, to_alpha);
    }
  }
}
if (pair == 0 && part == 0 && thread_index_in_threadgroup == 0) {
  if (!KEY) {
    gkey[0] = 0.0f;
  }
  if (!TARGET) {
    gtarget[0] = 0.0f;
  }
}
