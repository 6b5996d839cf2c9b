// Sums of products of int8: the integers are exact, and the same on every instruction set.
#pragma once
#include "simd/panel.h"
#include "simd/simd.h"
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

namespace LAS_ISA {

// One register of int32 sums, W outputs by 4 inputs a call. Weights are -127 .. 127, inputs -128 .. 127.
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
inline vi dot(vi sum, const Four& four, const int8_t* w) {  // a pair is at most 2 * 128 * 127: no saturation
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
inline vi dot(vi sum, const Four& four, const int8_t* w) {  // a pair is at most 2 * 128 * 127, which an int16 holds
  shorts both;
  std::memcpy(&both, w, sizeof both);
  const vi pairs = (vi)((both << 8 >> 8) * four.even + (both >> 8) * four.odd);
  return sum + (pairs << 16 >> 16) + (pairs >> 16);
}
#endif

// use(row, sums of rows row .. row + W - 1) for all rows of a matrix in panels; x holds its inputs with ZERO added.
template <int P, class Use>
inline void dot_panel(const int8_t* w, const int32_t* row_sum, int row, int in, const int8_t* x, Use use) {
  constexpr int U = 4 / P > 2 ? 4 : 2;
  vi sums[U][P] = {};
  for (int i = 0; i < in / 4; i += U)
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
    std::memcpy(&rows, row_sum + row + p * W, sizeof rows);
    use(row + p * W, s - rows * ZERO);
  }
}

template <class Use>
inline void dot_rows(const int8_t* weight, const int32_t* row_sum, int out, int in, const int8_t* x, Use use) {
  const int blocks = out / W;
  for (int b = 0; b < blocks; b += las::panel_at(b, blocks)) {
    const int8_t* w = weight + (int64_t)b * in * W;
    switch (las::panel_at(b, blocks)) {
      case 4: dot_panel<4>(w, row_sum, b * W, in, x, use); break;
      case 2: dot_panel<2>(w, row_sum, b * W, in, x, use); break;
      default: dot_panel<1>(w, row_sum, b * W, in, x, use);
    }
  }
}

}  // namespace LAS_ISA
