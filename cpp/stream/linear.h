// y = W x for one vector x, from the panels of weights.h: float32, and int8 weights with int8 activations.
#pragma once
#include "simd/simd.h"
#include "stream/weights.h"
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

namespace LAS_ISA {

using las::stream::Linear;
using las::stream::panel_at;

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

// One register of int32 sums, W outputs by 4 inputs a call. The integers are exact on every instruction set.
#if defined(__AVX512VNNI__)
constexpr int ZERO = 128;  // VNNI multiplies unsigned by signed: activations are stored with 128 added
struct Four {
  __m512i x;
  explicit Four(const int8_t* p) {
    int32_t bits;
    std::memcpy(&bits, p, 4);
    x = _mm512_set1_epi32(bits);
  }
};
inline vi dot(vi sum, const Four& four, const int8_t* w) {
  return (vi)_mm512_dpbusd_epi32((__m512i)sum, four.x, _mm512_loadu_si512(w));
}
#elif defined(__AVX2__)
constexpr int ZERO = 0;
struct Four {
  __m256i x, magnitude;
  explicit Four(const int8_t* p) {
    int32_t bits;
    std::memcpy(&bits, p, 4);
    x = _mm256_set1_epi32(bits);
    magnitude = _mm256_abs_epi8(x);
  }
};
inline vi dot(vi sum, const Four& four, const int8_t* w) {  // |x| <= 127, so a pair is at most 2 * 127^2: no saturation
  const __m256i signed_w = _mm256_sign_epi8(_mm256_loadu_si256((const __m256i*)w), four.x);
  const __m256i pairs = _mm256_maddubs_epi16(four.magnitude, signed_w);
  return sum + (vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#elif defined(__ARM_FEATURE_DOTPROD)
constexpr int ZERO = 0;
struct Four {
  int8x16_t x;
  explicit Four(const int8_t* p) {
    int32_t bits;
    std::memcpy(&bits, p, 4);
    x = vreinterpretq_s8_s32(vdupq_n_s32(bits));
  }
};
inline vi dot(vi sum, const Four& four, const int8_t* w) {
  return (vi)vdotq_s32((int32x4_t)sum, vld1q_s8(w), four.x);
}
#else
constexpr int ZERO = 0;
typedef int16_t shorts __attribute__((vector_size(W * 4)));
struct Four {
  shorts even, odd;
  explicit Four(const int8_t* p) {
    int32_t bits;
    std::memcpy(&bits, p, 4);
    const shorts x = (shorts)(vi{} + bits);
    even = x << 8 >> 8;
    odd = x >> 8;
  }
};
inline vi dot(vi sum, const Four& four, const int8_t* w) {  // a pair is at most 2 * 127^2, which an int16 holds
  shorts both;
  std::memcpy(&both, w, sizeof both);
  const vi pairs = (vi)((both << 8 >> 8) * four.even + (both >> 8) * four.odd);
  return sum + (pairs << 16 >> 16) + (pairs >> 16);
}
#endif

template <int P>
inline void int8_panel(const Linear& m, int block, const int8_t* x, float x_scale, float* y) {
  constexpr int U = 4 / P > 2 ? 4 : 2;
  const int8_t* w = m.quantised + (int64_t)block * m.in * W;
  vi sums[U][P] = {};
  for (int i = 0; i < m.in / 4; i += U)
#pragma GCC unroll 4
    for (int u = 0; u < U; u++) {
      const Four four(x + (i + u) * 4);
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) sums[u][p] = dot(sums[u][p], four, w + ((i + u) * P + p) * W * 4);
    }
#pragma GCC unroll 4
  for (int p = 0; p < P; p++) {
    vi s = sums[0][p], rows;
    for (int u = 1; u < U; u++) s += sums[u][p];
    std::memcpy(&rows, m.row_sum + (block + p) * W, sizeof rows);
    s -= rows * ZERO;
    store(y + (block + p) * W, __builtin_convertvector(s, vf) * (load(m.scale + (block + p) * W) * x_scale));
  }
}

inline void multiply(const Linear& m, const int8_t* x, float x_scale, float* y) {
  const int blocks = m.out / W;
  for (int b = 0; b < blocks; b += panel_at(b, blocks)) switch (panel_at(b, blocks)) {
      case 4: int8_panel<4>(m, b, x, x_scale, y); break;
      case 2: int8_panel<2>(m, b, x, x_scale, y); break;
      default: int8_panel<1>(m, b, x, x_scale, y);
    }
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
