// Vectors of LAS_LANES floats in the GCC/Clang vector extension; the same source is compiled once per instruction set,
// each time inside its own namespace LAS_ISA, and one of them is picked at run time (isa.h).
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace LAS_ISA {

constexpr int W = LAS_LANES;
constexpr float LOG2E = 1.44269504088896340736f;

typedef float vf __attribute__((vector_size(W * 4)));
typedef int32_t vi __attribute__((vector_size(W * 4)));
typedef float vf_unaligned __attribute__((vector_size(W * 4), aligned(4), may_alias));

inline vf load(const float* p) { return *(const vf_unaligned*)p; }
inline void store(float* p, vf v) { *(vf_unaligned*)p = v; }
inline vf splat(float x) { return vf{} + x; }

inline vf load(const float* p, int lanes) {  // missing lanes read as 0
  float tile[W] = {};
  std::memcpy(tile, p, lanes * sizeof(float));
  return load(tile);
}
inline void store(float* p, vf v, int lanes) {
  float tile[W];
  store(tile, v);
  std::memcpy(p, tile, lanes * sizeof(float));
}

inline vf max(vf a, vf b) { return a > b ? a : b; }
inline vf min(vf a, vf b) { return a < b ? a : b; }

inline float sum(vf v) {  // pairwise, so the compiler may keep it in registers
  float tile[W];
  store(tile, v);
  for (int half = W / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) tile[i] += tile[i + half];
  return tile[0];
}
inline float max_lane(vf v) {
  float m = v[0];
  for (int i = 1; i < W; i++) m = v[i] > m ? v[i] : m;
  return m;
}

// q(f) = (2^f - 1) / f for |f| <= 1/2, the degree-5 minimax polynomial; relative error of 1 + f q(f): 2e-7
inline vf exp2_minus_1_over(vf f) {
  vf q = splat(1.535336188319500e-4f);
  q = q * f + 1.339887440266574e-3f;
  q = q * f + 9.618437357674640e-3f;
  q = q * f + 5.550332471162809e-2f;
  q = q * f + 2.402264791363012e-1f;
  return q * f + 6.931472028550421e-1f;
}

// x = e + f with e an integer and |f| <= 1/2; x is clamped to [-126, 127] and NaN stays NaN.
struct Exp2Parts {
  vi exponent;  // e, shifted to the place of a float's exponent
  vf f, q;      // 2^f = 1 + f q(f)
};
inline Exp2Parts exp2_parts(vf x) {
  x = x < -126.f ? splat(-126.f) : x;
  x = x > 127.f ? splat(127.f) : x;
  const vf magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer in the low mantissa bits
  const vf t = x + magic, f = x - (t - magic);
  return {((vi)t) << 23, f, exp2_minus_1_over(f)};
}
inline vf exp2(vf x) {
#if defined(__AVX512F__)  // rounding and scaling are instructions here: 1.7 times as fast as the general form
  const __m512 low = _mm512_max_ps((__m512)splat(-150.f), (__m512)x);  // NaN in the second place stays NaN
  const __m512 finite = _mm512_min_ps((__m512)splat(150.f), low);
  const __m512 e = _mm512_roundscale_ps(finite, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const vf f = (vf)finite - (vf)e;
  return (vf)_mm512_scalef_ps((__m512)(exp2_minus_1_over(f) * f + 1.0f), e);
#else
  const Exp2Parts p = exp2_parts(x);
  return (vf)((vi)(p.q * p.f + 1.0f) + p.exponent);  // one integer add puts the exponent in, no multiply
#endif
}
inline vf exp(vf x) { return exp2(x * LOG2E); }
inline vf expm1(vf x) {  // exact to rounding near 0, where exp(x) - 1 cancels
  const Exp2Parts p = exp2_parts(x * LOG2E);
  const vf scale = (vf)(p.exponent + 0x3f800000);
  return scale * (p.f * p.q) + (scale - 1.f);
}
inline vf sigmoid(vf x) { return 1.f / (1.f + exp2(x * -LOG2E)); }

// log(1 + e^x) = max(x, 0) + log1p(e^-|x|), the second term by a degree-10 polynomial on (0, 1]; absolute error 1e-8.
inline vf softplus(vf x) {
  const vf z = exp(x > 0.f ? -x : x);
  vf p = splat(-3.256378469e-03f);
  p = p * z + 1.990716091e-02f;
  p = p * z - 5.706420073e-02f;
  p = p * z + 1.061426468e-01f;
  p = p * z - 1.531186310e-01f;
  p = p * z + 1.967811726e-01f;
  p = p * z - 2.495455887e-01f;
  p = p * z + 3.333000404e-01f;
  p = p * z - 4.999990399e-01f;
  p = p * z + 9.999999954e-01f;
  return max(x, splat(0.f)) + p * z;
}

}  // namespace LAS_ISA
