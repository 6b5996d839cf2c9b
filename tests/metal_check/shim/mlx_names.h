// Compiler-internal names that MLX's own bf16_math.h reaches for.
#pragma once
#define __METAL_MAYBE_FAST_MATH__ 0
#define __METAL_FAST_MATH__ 1
#define __METAL_PRECISE_MATH__ 0
#define MSL_B1(n) \
  METAL_FUNC float __metal_##n(float x, int) { return metal::n(x); }
#define MSL_B2(n) \
  METAL_FUNC float __metal_##n(float x, float y, int) { return metal::n(x, y); }
MSL_B1(fabs)
MSL_B1(acos) MSL_B1(acosh) MSL_B1(asin) MSL_B1(asinh) MSL_B1(atan) MSL_B1(atanh) MSL_B1(ceil) MSL_B1(cos) MSL_B1(cosh)
    MSL_B1(cospi) MSL_B1(exp) MSL_B1(exp10) MSL_B1(exp2) MSL_B1(floor) MSL_B1(fract) MSL_B1(log) MSL_B1(log10)
        MSL_B1(log2) MSL_B1(rint) MSL_B1(round) MSL_B1(rsqrt) MSL_B1(sin) MSL_B1(sinh) MSL_B1(sinpi) MSL_B1(sqrt)
            MSL_B1(tan) MSL_B1(tanh) MSL_B1(tanpi) MSL_B1(trunc) MSL_B2(atan2) MSL_B2(divide) MSL_B2(fmax) MSL_B2(fmin)
                MSL_B2(fmod) MSL_B2(pow) MSL_B2(powr) METAL_FUNC float __metal_fma(float x, float y, float z) {
  return metal::fma(x, y, z);
}
METAL_FUNC float __metal_nextafter(float x, float y) { return __m_nextafterf(x, y); }
METAL_FUNC float __metal_fmax3(float x, float y, float z, int) { return metal::fmax3(x, y, z); }
METAL_FUNC float __metal_fmin3(float x, float y, float z, int) { return metal::fmin3(x, y, z); }
METAL_FUNC float __metal_fmedian3(float x, float y, float z, int) {
  return metal::fmax(metal::fmin(x, y), metal::fmin(metal::fmax(x, y), z));
}
METAL_FUNC float __metal_ldexp(float x, int k, int) { return __m_ldexpf(x, k); }
METAL_FUNC float __metal_frexp(float x, thread int* e) { return __m_frexpf(x, e); }
#define MSL_SW(n)                                     \
  template <typename T>                               \
  METAL_FUNC T __metal_##n(T v, ushort l, MSL_LINE) { \
    return metal::n(v, l, line);                      \
  }
MSL_SW(simd_broadcast)
MSL_SW(simd_shuffle) MSL_SW(simd_shuffle_down) MSL_SW(simd_shuffle_up) MSL_SW(simd_shuffle_xor)
    MSL_SW(simd_shuffle_rotate_down) MSL_SW(simd_shuffle_rotate_up) template <typename T>
    METAL_FUNC T __metal_simd_shuffle_and_fill_up(T v, T f, ushort d, ushort m, MSL_LINE) {
  return metal::simd_shuffle_and_fill_up(v, f, d, m, line);
}
template <typename T>
METAL_FUNC T __metal_simd_shuffle_and_fill_down(T v, T f, ushort d, ushort m, MSL_LINE) {
  return metal::simd_shuffle_and_fill_down(v, f, d, line);
}
METAL_FUNC ushort __metal_get_simdgroup_size(ushort) { return 32; }
METAL_FUNC ushort __metal_get_thread_index_in_simdgroup(ushort) { return msl_lane(); }
#define MSL_SR(n) \
  METAL_FUNC float __metal_##n(float v, MSL_LINE) { return metal::n(v, line); }
MSL_SR(simd_sum)
MSL_SR(simd_product) MSL_SR(simd_min) MSL_SR(simd_max) MSL_SR(simd_prefix_inclusive_sum)
    MSL_SR(simd_prefix_exclusive_sum) MSL_SR(simd_prefix_inclusive_product) MSL_SR(simd_prefix_exclusive_product)
        MSL_SR(simd_xor)
