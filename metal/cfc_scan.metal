// z = 1.7159 tanh(0.666 (u_i + V h)), (f, g, a, c) = W z + bias, s = sigmoid(a dt_i + c) at each element i, then
// h' = (1 - s) tanh(f) + s tanh(g), or where not GATE tanh(f) + s tanh(g); its gradient. Where not DEEP there is no z
// and (f, g, a, c) = u_i + V h. Where live is 0 h' = h.
//
// u: (b, t, M); h: (b, t, H); V: (M, H); W: (4 H, M); bias: (4 H); h0: (b, H); dt: (b, t, 1), or (b, t, H) where
// EACH; live: (b, t, 1); V_t, W_t are V and W transposed. All float32. Where not DEEP M = 4 H; z, W and bias are not
// read.
//
// Templates: H units; M of z; DEEP; GATE; EACH; ROWS batch rows and UNITS threads a threadgroup, these a multiple of 32:
// thread i owns the units i, i + UNITS, ... of the rows, and of z too.
//
// forward            grid (UNITS ceil(b / ROWS), 1, 1), group (UNITS, 1, 1). States lie in two buffers of threadgroup
//                    memory, [unit][row], that an element reads and writes in turn: 4 ROWS (2 H + M) bytes, M = 0 where
//                    not DEEP. An element streams V and W once, coalesced, each value for ROWS rows.
// backward           the same grid, 4 ROWS (5 H + M) bytes. z (b, t, M) and heads (b, t, 4 H), which are f, g, a and c,
//                    are given: every state is known, so they are two products over all elements. What goes step by
//                    step is the gradient of h. gheads and gu give the gradients of V, W and bias, two products and a
//                    sum over all elements again; gdt (b, t, H) is to be summed over units where not EACH.
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
// values = one column of the tile's rows, 0 past the last row
template <int ROWS, typename X>
inline void las_load(X column, size_t pitch, uint rows, thread float* values) {
  for (uint r = 0; r < uint(ROWS); r++) {
    values[r] = r < rows ? column[r * pitch] : 0.0f;
  }
}
// sums [N][ROWS] += weights state, weights N columns of `count`, state [count][ROWS]
template <int N, int ROWS, typename W, typename S>
inline void las_multiply(W weights, uint apart, uint count, uint stride, S state, thread float* sums) {
#pragma unroll(4)  // their loads on their way at a time
  for (uint j = 0; j < count; j++) {
    for (uint k = 0; k < uint(N); k++) {
      const float w = weights[j * stride + k * apart];
      for (uint r = 0; r < uint(ROWS); r++) {
        sums[k * ROWS + r] += w * state[j * ROWS + r];
      }
    }
  }
}

// kernel: forward (u, V_t, W_t, bias, h0, dt, live) -> (h)
threadgroup float states[2 * H * ROWS];
threadgroup float inner[DEEP ? M * ROWS : 1];
const uint b = uint(u_shape[0]);
const uint t = uint(u_shape[1]);
const uint unit = thread_index_in_threadgroup;
const uint first = threadgroup_position_in_grid.x * ROWS;
const uint rows = metal::min(uint(ROWS), b - first);
for (uint i = unit; i < uint(H); i += UNITS) {
  for (uint r = 0; r < uint(ROWS); r++) {
    states[i * ROWS + r] = r < rows ? h0[size_t(first + r) * H + i] : 0.0f;
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);
uint now = 0;
for (uint e = 0; e < t; e++) {
  const uint next = H * ROWS - now;
  const size_t at = size_t(first) * t + e;
  float alive[ROWS];
  las_load<ROWS>(live + at, t, rows, alive);
  if (DEEP) {
    for (uint m = unit; m < uint(M); m += UNITS) {
      float sums[ROWS];
      las_load<ROWS>(u + at * M + m, size_t(t) * M, rows, sums);
      las_multiply<1, ROWS>(V_t + m, 0, H, M, states + now, sums);
      for (uint r = 0; r < uint(ROWS); r++) {
        inner[m * ROWS + r] = 1.7159f * las_tanh(0.666f * sums[r]);
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
  for (uint i = unit; i < uint(H); i += UNITS) {
    float heads[4 * ROWS];
    float d[ROWS];
    las_load<ROWS>(dt + (EACH ? at * H + i : at), EACH ? size_t(t) * H : size_t(t), rows, d);
    for (uint k = 0; k < 4; k++) {
      if (DEEP) {
        for (uint r = 0; r < uint(ROWS); r++) {
          heads[k * ROWS + r] = bias[k * H + i];
        }
      } else {
        las_load<ROWS>(u + at * M + k * H + i, size_t(t) * M, rows, heads + k * ROWS);
      }
    }
    if (DEEP) {
      las_multiply<4, ROWS>(W_t + i, H, M, 4 * H, inner, heads);
    } else {
      las_multiply<4, ROWS>(V_t + i, H, H, 4 * H, states + now, heads);
    }
    for (uint r = 0; r < uint(ROWS); r++) {
      const uint own = i * ROWS + r;
      const float f = las_tanh(heads[r]);
      const float s = las_sigmoid(heads[2 * ROWS + r] * d[r] + heads[3 * ROWS + r]);
      const float mixed = (GATE ? (1.0f - s) * f : f) + s * las_tanh(heads[ROWS + r]);
      states[next + own] = alive[r] != 0.0f ? mixed : states[now + own];
      if (r < rows) {
        h[(at + size_t(r) * t) * H + i] = states[next + own];
      }
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  now = next;
}

// kernel: backward (z, heads, V, W, dt, live, gh) -> (gheads, gu, gh0, gdt)
threadgroup float carry[H * ROWS];             // the gradient of h, of which a thread touches what it owns
threadgroup float grads[4 * H * ROWS];         // of f, g, a and c
threadgroup float inner[DEEP ? M * ROWS : 1];  // of u + V h
const uint b = uint(gh_shape[0]);
const uint t = uint(gh_shape[1]);
const uint unit = thread_index_in_threadgroup;
const uint first = threadgroup_position_in_grid.x * ROWS;
const uint rows = metal::min(uint(ROWS), b - first);
for (uint i = unit; i < uint(H); i += UNITS) {
  for (uint r = 0; r < uint(ROWS); r++) {
    carry[i * ROWS + r] = 0.0f;
  }
}
for (uint e = t; e-- > 0;) {
  const size_t at = size_t(first) * t + e;
  float alive[ROWS];
  las_load<ROWS>(live + at, t, rows, alive);
  for (uint i = unit; i < uint(H); i += UNITS) {
    float g[ROWS];
    float d[ROWS];
    float pre[4 * ROWS];
    las_load<ROWS>(gh + at * H + i, size_t(t) * H, rows, g);
    las_load<ROWS>(dt + (EACH ? at * H + i : at), EACH ? size_t(t) * H : size_t(t), rows, d);
    for (uint k = 0; k < 4; k++) {
      las_load<ROWS>(heads + (at * 4 + k) * H + i, size_t(t) * 4 * H, rows, pre + k * ROWS);
    }
    for (uint r = 0; r < uint(ROWS); r++) {
      const uint own = i * ROWS + r;
      const float f = las_tanh(pre[r]);
      const float o = las_tanh(pre[ROWS + r]);
      const float s = las_sigmoid(pre[2 * ROWS + r] * d[r] + pre[3 * ROWS + r]);
      const float all = carry[own] + g[r];
      const float through = alive[r] != 0.0f ? all : 0.0f;
      const float to_s = through * (GATE ? o - f : o) * s * (1.0f - s);
      grads[own] = through * (GATE ? 1.0f - s : 1.0f) * (1.0f - f * f);
      grads[H * ROWS + own] = through * s * (1.0f - o * o);
      grads[2 * H * ROWS + own] = to_s * d[r];
      grads[3 * H * ROWS + own] = to_s;
      carry[own] = alive[r] != 0.0f ? 0.0f : all;
      if (r < rows) {
        const size_t row = at + size_t(r) * t;
        gdt[row * H + i] = to_s * pre[2 * ROWS + r];
        for (uint k = 0; k < 4; k++) {
          gheads[(row * 4 + k) * H + i] = grads[k * H * ROWS + own];
        }
      }
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (DEEP) {
    for (uint m = unit; m < uint(M); m += UNITS) {
      float layer[ROWS];
      float sums[ROWS];
      las_load<ROWS>(z + at * M + m, size_t(t) * M, rows, layer);
      for (uint r = 0; r < uint(ROWS); r++) {
        sums[r] = 0.0f;
      }
      las_multiply<1, ROWS>(W + m, 0, 4 * H, M, grads, sums);
      for (uint r = 0; r < uint(ROWS); r++) {
        const float to = sums[r] * 0.666f * (1.7159f - layer[r] * layer[r] / 1.7159f);
        inner[m * ROWS + r] = to;
        if (r < rows) {
          gu[(at + size_t(r) * t) * M + m] = to;
        }
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
  for (uint i = unit; i < uint(H); i += UNITS) {
    float sums[ROWS];
    for (uint r = 0; r < uint(ROWS); r++) {
      sums[r] = 0.0f;
    }
    if (DEEP) {
      las_multiply<1, ROWS>(V + i, 0, M, H, inner, sums);
    } else {
      las_multiply<1, ROWS>(V + i, 0, 4 * H, H, grads, sums);
    }
    for (uint r = 0; r < uint(ROWS); r++) {
      carry[i * ROWS + r] += sums[r];
    }
  }
  if (!DEEP) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
}
for (uint i = unit; i < uint(H); i += UNITS) {
  for (uint r = 0; r < rows; r++) {
    gh0[size_t(first + r) * H + i] = carry[i * ROWS + r];
  }
}
if (!DEEP && first == 0 && unit == 0) {
  gu[0] = 0.0f;
}
