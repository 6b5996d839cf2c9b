// dh/dt = (-h + tanh(u_i + U h)) / tau for dt_i seconds at each element i, in K sub-steps d = dt_i / K; its gradient.
// tau = low + range sigmoid(q), q = v_i + V h; or where SOFT tau = low + log(1 + e^q), q = V2 tanh(v_i + V h) + b2.
//
// u, h: (b, t, H); v: (b, t, M); U: (H, H); V: (M, H); V2: (H, M); b2: (H); h0: (b, H); dt: (b, t, 1); bounds: (2), low
// and range; U_t, V_t, V2_t are U, V, V2 transposed. All float32. Without SOFT M = H; V2 and b2 are not read.
//
// Templates: H units; M of tau's inner layer; K sub-steps; SOLVER 0 euler, 1 midpoint, 2 fused; SOFT; ROWS batch rows
// and UNITS threads a threadgroup, these a multiple of 32: thread i owns the units i, i + UNITS, ... of the rows, and of
// the inner layer too. A stage is one evaluation of the equation: K of them an element, 2 K for midpoint.
//
// forward            grid (UNITS ceil(b / ROWS), 1, 1), group (UNITS, 1, 1). States lie in two buffers of threadgroup
//                    memory, [unit][row], that a stage reads and writes in turn: 4 ROWS (2 H + M) bytes, M = 0 without
//                    SOFT. 40 registers at ROWS 4 (as NVIDIA's compiler counts for sm_90).
// backward           the same grid and memory and 4 ROWS UNITS / 32 bytes: the buffers hold states, then gradients. Of
//                    the forward h after each element is kept; the stages of an element are computed again into tape
//                    (tiles, (stages (3 H + M) + 2 H) ROWS), of which a thread touches what it owns. gU, gV, gV2, gb2
//                    are partial sums, one a tile of ROWS rows: no atomics, the same bits every run. 72 registers.
//
// Every stage streams all weights from memory, coalesced, each value for ROWS rows; the backward streams U, V, V2 twice
// and reads and writes the tile's partial sums. Where caches do not hold these, memory bandwidth bounds the speed.
//
// A line "// kernel: name (inputs) -> (outputs)" starts a kernel's body; the text above the first is their header.

inline float las_tanh(float x) {
  const float e = metal::precise::exp(-2.0f * metal::abs(x));
  const float large = (1.0f - e) / (1.0f + e);
  const float x2 = x * x;
  const float small = x * (1.0f + x2 * (-1.0f / 3.0f + x2 * (2.0f / 15.0f - x2 * (17.0f / 315.0f))));
  return metal::abs(x) < 0.1f ? small : (x < 0.0f ? -large : large);
}
inline float las_sigmoid(float x) {
  return 1.0f / (1.0f + metal::precise::exp(-x));
}
// log(1 + e^x); the quotient takes back what rounding did to 1 + e.
inline float las_softplus(float x) {
  const float e = metal::precise::exp(-metal::abs(x));
  const float u = 1.0f + e;
  return metal::max(x, 0.0f) + (u == 1.0f ? e : metal::precise::log(u) * (e / (u - 1.0f)));
}
inline float las_decay(bool soft, float q, float low, float range) {
  return 1.0f / (low + (soft ? las_softplus(q) : range * las_sigmoid(q)));
}
// d tau / dq
inline float las_slope(bool soft, float q, float range) {
  const float s = las_sigmoid(q);
  return soft ? s : range * s * (1.0f - s);
}
// The state that follows `from` after d seconds of the rate at h.
inline float las_step(int solver, float d, float from, float h, float drive, float decay) {
  return solver == 2 ? (from + d * drive) / (1.0f + d * decay) : from + d * (drive - decay * h);
}
struct las_gradients {
  float drive;
  float decay;
  float h;  // through the rate alone; where fused, all but through drive and decay
  float d;
};
// Of g times what las_step adds, share being the part of d that it went.
inline las_gradients las_pull(int solver, float share, float d, float h, float drive, float decay, float g) {
  las_gradients to;
  const float scale = solver == 2 ? 1.0f / (1.0f + d * decay) : share;
  const float at = solver == 2 ? (h + d * drive) * scale : h;
  to.drive = d * g * scale;
  to.decay = -to.drive * at;
  to.h = solver == 2 ? g * scale : -to.drive * decay;
  to.d = g * scale * (drive - decay * at);
  return to;
}
template <typename P>
inline void las_add(P to, float x, bool fresh) {
  *to = fresh ? x : *to + x;
}
// values = one column of the tile's rows, 0 past the last row
template <int ROWS, typename X>
inline void las_load(X column, size_t pitch, uint rows, thread float* values) {
  for (uint r = 0; r < uint(ROWS); r++) {
    values[r] = r < rows ? column[r * pitch] : 0.0f;
  }
}
// sums += weights state, weights a column of `count`, state [count][ROWS]
template <int ROWS, typename W, typename S>
inline void las_multiply(W weights, uint count, uint stride, S state, thread float* sums) {
#pragma unroll(4)  // four loads on their way at a time
  for (uint j = 0; j < count; j++) {
    const float w = weights[j * stride];
    for (uint r = 0; r < uint(ROWS); r++) {
      sums[r] += w * state[j * ROWS + r];
    }
  }
}
// The gradients that `grads` [count][ROWS] of the products of a column of weights with `own` [ROWS] give to both.
template <int ROWS, typename W, typename S, typename P>
inline void las_pull_multiply(
    W weights, uint count, uint stride, S grads, const thread float* own, thread float* to_own, P to_weights,
    bool fresh) {
  for (uint j = 0; j < count; j++) {
    const float w = weights[j * stride];
    float sum = 0.0f;
    for (uint r = 0; r < uint(ROWS); r++) {
      const float g = grads[j * ROWS + r];
      to_own[r] += w * g;
      sum += g * own[r];
    }
    las_add(to_weights + j * stride, sum, fresh);
  }
}

// kernel: forward (u, v, U_t, V_t, V2_t, b2, h0, dt, bounds) -> (h)
threadgroup float states[2 * H * ROWS];
threadgroup float inner[SOFT ? M * ROWS : 1];
const uint b = uint(u_shape[0]);
const uint t = uint(u_shape[1]);
const uint unit = thread_index_in_threadgroup;
const uint first = threadgroup_position_in_grid.x * ROWS;
const uint rows = metal::min(uint(ROWS), b - first);
const uint STAGES = SOLVER == 1 ? 2 * K : K;
const float low = bounds[0];
const float range = bounds[1];
for (uint i = unit; i < uint(H); i += UNITS) {
  for (uint r = 0; r < uint(ROWS); r++) {
    states[i * ROWS + r] = r < rows ? h0[size_t(first + r) * H + i] : 0.0f;
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);
uint now = 0;
for (uint e = 0; e < t; e++) {
  const size_t at = size_t(first) * t + e;
  float d[ROWS];
  las_load<ROWS>(dt + at, t, rows, d);
  for (uint s = 0; s < STAGES; s++) {
    const uint next = H * ROWS - now;
    const bool halfway = SOLVER == 1 && s % 2 == 0;
    if (SOFT) {
      for (uint m = unit; m < uint(M); m += UNITS) {
        float sums[ROWS];
        las_load<ROWS>(v + at * M + m, size_t(t) * M, rows, sums);
        las_multiply<ROWS>(V_t + m, H, M, states + now, sums);
        for (uint r = 0; r < uint(ROWS); r++) {
          inner[m * ROWS + r] = las_tanh(sums[r]);
        }
      }
      threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    for (uint i = unit; i < uint(H); i += UNITS) {
      float pre[ROWS];
      float q[ROWS];
      las_load<ROWS>(u + at * H + i, size_t(t) * H, rows, pre);
      las_multiply<ROWS>(U_t + i, H, H, states + now, pre);
      if (SOFT) {
        for (uint r = 0; r < uint(ROWS); r++) {
          q[r] = b2[i];
        }
        las_multiply<ROWS>(V2_t + i, M, H, inner, q);
      } else {
        las_load<ROWS>(v + at * H + i, size_t(t) * H, rows, q);
        las_multiply<ROWS>(V_t + i, H, H, states + now, q);
      }
      for (uint r = 0; r < uint(ROWS); r++) {
        const uint own = i * ROWS + r;
        const float decay = las_decay(SOFT, q[r], low, range);
        const float h_now = states[now + own];
        const float from = SOLVER == 1 && !halfway ? states[next + own] : h_now;
        const float step = (halfway ? 0.5f : 1.0f) * (d[r] / float(K));
        states[next + own] = las_step(SOLVER, step, from, h_now, las_tanh(pre[r]) * decay, decay);
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    now = next;
  }
  for (uint i = unit; i < uint(H); i += UNITS) {
    for (uint r = 0; r < rows; r++) {
      h[(at + size_t(r) * t) * H + i] = states[now + i * ROWS + r];
    }
  }
}

// kernel: backward (u, v, U, V, V2, U_t, V_t, V2_t, b2, h0, dt, bounds, h, gh) -> (gu, gv, gU, gV, gV2, gb2, gh0, gdt, tape)
threadgroup float pair[2 * H * ROWS];          // states now and next; on the way back the gradients of u + U h and of q
threadgroup float inner[SOFT ? M * ROWS : 1];  // on the way back the gradient of v + V h
threadgroup float shares[UNITS / 32 * ROWS];   // each simdgroup's share of the gradient of d
const uint b = uint(u_shape[0]);
const uint t = uint(u_shape[1]);
const uint unit = thread_index_in_threadgroup;
const uint tile = threadgroup_position_in_grid.x;
const uint first = tile * ROWS;
const uint rows = metal::min(uint(ROWS), b - first);
const uint STAGES = SOLVER == 1 ? 2 * K : K;
const uint SIZE = (3 * H + (SOFT ? M : 0)) * ROWS;  // a stage on the tape: h, tanh(u + U h), q, inner
const uint HALF = H * ROWS;
const float low = bounds[0];
const float range = bounds[1];
auto stages = tape + size_t(tile) * (STAGES * SIZE + 2 * HALF);
auto carry = stages + STAGES * SIZE;  // the gradient of h between two sub-steps
auto middle = carry + HALF;           // and halfway through one
auto to_U = gU + size_t(tile) * H * H;
auto to_V = gV + size_t(tile) * M * H;
bool fresh = true;
for (uint i = unit; i < uint(H); i += UNITS) {
  for (uint r = 0; r < uint(ROWS); r++) {
    carry[i * ROWS + r] = 0.0f;
    middle[i * ROWS + r] = 0.0f;
  }
}
for (uint e = t; e-- > 0;) {
  const size_t at = size_t(first) * t + e;
  float d[ROWS];
  float to_d[ROWS];
  las_load<ROWS>(dt + at, t, rows, d);
  for (uint r = 0; r < uint(ROWS); r++) {
    d[r] /= float(K);
    to_d[r] = 0.0f;
  }
  for (uint i = unit; i < uint(H); i += UNITS) {
    float g[ROWS];
    float start[ROWS];
    las_load<ROWS>(gh + at * H + i, size_t(t) * H, rows, g);
    if (e > 0) {
      las_load<ROWS>(h + (at - 1) * H + i, size_t(t) * H, rows, start);
    } else {
      las_load<ROWS>(h0 + size_t(first) * H + i, H, rows, start);
    }
    for (uint r = 0; r < uint(ROWS); r++) {
      pair[i * ROWS + r] = start[r];
      carry[i * ROWS + r] += g[r];
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  uint now = 0;
  for (uint s = 0; s < STAGES; s++) {
    const uint next = HALF - now;
    const bool halfway = SOLVER == 1 && s % 2 == 0;
    auto stage = stages + s * SIZE;
    if (SOFT) {
      for (uint m = unit; m < uint(M); m += UNITS) {
        float sums[ROWS];
        las_load<ROWS>(v + at * M + m, size_t(t) * M, rows, sums);
        las_multiply<ROWS>(V_t + m, H, M, pair + now, sums);
        for (uint r = 0; r < uint(ROWS); r++) {
          const float value = las_tanh(sums[r]);
          inner[m * ROWS + r] = value;
          stage[3 * HALF + m * ROWS + r] = value;
        }
      }
      threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    for (uint i = unit; i < uint(H); i += UNITS) {
      float pre[ROWS];
      float q[ROWS];
      las_load<ROWS>(u + at * H + i, size_t(t) * H, rows, pre);
      las_multiply<ROWS>(U_t + i, H, H, pair + now, pre);
      if (SOFT) {
        for (uint r = 0; r < uint(ROWS); r++) {
          q[r] = b2[i];
        }
        las_multiply<ROWS>(V2_t + i, M, H, inner, q);
      } else {
        las_load<ROWS>(v + at * H + i, size_t(t) * H, rows, q);
        las_multiply<ROWS>(V_t + i, H, H, pair + now, q);
      }
      for (uint r = 0; r < uint(ROWS); r++) {
        const uint own = i * ROWS + r;
        const float decay = las_decay(SOFT, q[r], low, range);
        const float f = las_tanh(pre[r]);
        const float h_now = pair[now + own];
        const float from = SOLVER == 1 && !halfway ? pair[next + own] : h_now;
        stage[own] = h_now;
        stage[HALF + own] = f;
        stage[2 * HALF + own] = q[r];
        pair[next + own] = las_step(SOLVER, (halfway ? 0.5f : 1.0f) * d[r], from, h_now, f * decay, decay);
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    now = next;
  }
  for (uint s = STAGES; s-- > 0;) {
    const bool halfway = SOLVER == 1 && s % 2 == 0;
    const bool last = s == STAGES - 1;
    auto stage = stages + s * SIZE;
    for (uint i = unit; i < uint(H); i += UNITS) {
      float to_b2 = 0.0f;
      for (uint r = 0; r < uint(ROWS); r++) {
        const uint own = i * ROWS + r;
        const float f = stage[HALF + own];
        const float q = stage[2 * HALF + own];
        const float decay = las_decay(SOFT, q, low, range);
        const float g = halfway ? middle[own] : carry[own];
        const las_gradients to = las_pull(SOLVER, halfway ? 0.5f : 1.0f, d[r], stage[own], f * decay, decay, g);
        const float to_pre = to.drive * decay * (1.0f - f * f);
        const float to_q = -(to.drive * f + to.decay) * decay * decay * las_slope(SOFT, q, range);
        pair[own] = to_pre;
        pair[HALF + own] = to_q;
        to_d[r] += to.d;
        to_b2 += to_q;
        if (SOLVER == 1 && !halfway) {
          middle[own] = to.h;
        } else {
          carry[own] = SOLVER == 2 ? to.h : carry[own] + to.h;
        }
        if (r < rows) {
          las_add(gu + (at + size_t(r) * t) * H + i, to_pre, last);
          if (!SOFT) {
            las_add(gv + (at + size_t(r) * t) * H + i, to_q, last);
          }
        }
      }
      if (SOFT) {
        las_add(gb2 + size_t(tile) * H + i, to_b2, fresh);
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (SOFT) {
      for (uint m = unit; m < uint(M); m += UNITS) {
        float own[ROWS];
        float sums[ROWS];
        for (uint r = 0; r < uint(ROWS); r++) {
          own[r] = stage[3 * HALF + m * ROWS + r];
          sums[r] = 0.0f;
        }
        las_pull_multiply<ROWS>(V2 + m, H, M, pair + HALF, own, sums, gV2 + size_t(tile) * H * M + m, fresh);
        for (uint r = 0; r < uint(ROWS); r++) {
          const float g = sums[r] * (1.0f - own[r] * own[r]);
          inner[m * ROWS + r] = g;
          if (r < rows) {
            las_add(gv + (at + size_t(r) * t) * M + m, g, last);
          }
        }
      }
      threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    for (uint i = unit; i < uint(H); i += UNITS) {
      float own[ROWS];
      float sums[ROWS];
      for (uint r = 0; r < uint(ROWS); r++) {
        own[r] = stage[i * ROWS + r];
        sums[r] = 0.0f;
      }
      las_pull_multiply<ROWS>(U + i, H, H, pair, own, sums, to_U + i, fresh);
      if (SOFT) {
        las_pull_multiply<ROWS>(V + i, M, H, inner, own, sums, to_V + i, fresh);
      } else {
        las_pull_multiply<ROWS>(V + i, H, H, pair + HALF, own, sums, to_V + i, fresh);
      }
      for (uint r = 0; r < uint(ROWS); r++) {
        const uint at_own = i * ROWS + r;
        if (SOLVER == 1 && !halfway) {
          sums[r] += middle[at_own];
          middle[at_own] = sums[r];
        }
        carry[at_own] += sums[r];
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    fresh = false;
  }
  for (uint r = 0; r < uint(ROWS); r++) {
    const float share = simd_sum(to_d[r]);
    if (thread_index_in_simdgroup == 0) {
      shares[simdgroup_index_in_threadgroup * ROWS + r] = share;
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (unit < rows) {
    float sum = 0.0f;
    for (uint k = 0; k < uint(UNITS / 32); k++) {
      sum += shares[k * ROWS + unit];
    }
    gdt[at + size_t(unit) * t] = sum / float(K);
  }
}
for (uint i = unit; i < uint(H); i += UNITS) {
  for (uint r = 0; r < rows; r++) {
    gh0[size_t(first + r) * H + i] = carry[i * ROWS + r];
  }
}
if (!SOFT && tile == 0 && unit == 0) {
  gV2[0] = 0.0f;
  gb2[0] = 0.0f;
}
