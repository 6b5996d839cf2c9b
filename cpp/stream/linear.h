// y = W x for one vector x, from the panels of weights.h: float32, and int8 weights with int8 activations.
#pragma once
#include "simd/dot.h"
#include "simd/simd.h"
#include "stream/weights.h"

namespace LAS_ISA {

using las::stream::Linear;
using las::panel_at;

template <int P>
inline void float_panel(const float* w, const float* x, int in, float* y) {
  constexpr int U = 4 / P > 2 ? 4 : 2;  // inputs in flight, enough sums to hide the latency of a multiply-add
  vf sums[U][P] = {};
  for (int i = 0; i < in; i += U)
#pragma GCC unroll 4
    for (int u = 0; u < U; u++)
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) sums[u][p] += load(w + ((i + u) * P + p) * W) * x[i + u];
#pragma GCC unroll 4
  for (int p = 0; p < P; p++) {
    vf s = sums[0][p];
    for (int u = 1; u < U; u++) s += sums[u][p];
    store(y + p * W, s);
  }
}

inline void multiply(const Linear& m, const float* x, float* y) {
  const int blocks = m.out / W;
  for (int b = 0; b < blocks; b += panel_at(b, blocks)) {
    const float* w = m.weight + (int64_t)b * m.in * W;
    switch (panel_at(b, blocks)) {
      case 4: float_panel<4>(w, x, m.in, y + b * W); break;
      case 2: float_panel<2>(w, x, m.in, y + b * W); break;
      default: float_panel<1>(w, x, m.in, y + b * W);
    }
  }
}

inline void multiply(const Linear& m, const int8_t* x, float x_scale, float* y) {
  dot_rows(m.quantised, m.row_sum, m.out, m.in, x, [&](int row, vi sum) {
    store(y + row, __builtin_convertvector(sum, vf) * (load(m.scale + row) * x_scale));
  });
}

// x ~ scale * (q - ZERO), |q - ZERO| <= 127, the scale from this vector's largest magnitude. Returns the scale.
inline float quantise(const float* x, int count, int8_t* q) {
  typedef int8_t bytes __attribute__((vector_size(W)));
  vf largest = {};
  for (int i = 0; i < count; i += W) {
    const vf v = load(x + i);
    largest = max(max(v, -v), largest);
  }
  const float top = max_lane(max(largest, splat(1e-30f)));
  const float inverse = 127.f / top;
  for (int i = 0; i < count; i += W) {
    const vf rounded = load(x + i) * inverse + 12582912.f;  // 1.5 * 2^23: the integer is in the low mantissa bits
    const bytes b = __builtin_convertvector((vi)rounded - (0x4B400000 - ZERO), bytes);
    std::memcpy(q + i, &b, W);
  }
  return top / 127.f;
}

}  // namespace LAS_ISA
