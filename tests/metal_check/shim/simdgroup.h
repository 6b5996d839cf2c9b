// metal_simdgroup. Operation numbers are those of runtime/collectives.cpp.
#pragma once
namespace metal {
template <typename T>
struct __msl_simd_ok {
  static constexpr constant bool value =
      sizeof(T) <= 4 || (sizeof(T) == 8 && !is_same_v<T, long> && !is_same_v<T, ulong>) || sizeof(T) == 16;
};
#define MSL_SOK(T) \
  static_assert(__msl_simd_ok<T>::value && !is_same_v<T, bool>, "Metal has no simd function for this type")
template <typename T>
METAL_FUNC T msl_get(uint lane, int line) {
  T r;
  msl_look(&r, sizeof(T), lane, line);
  return r;
}
template <typename T>
METAL_FUNC ulong msl_put(T v, int op, int line) {
  return msl_show(&v, sizeof(T), op, line);
}
template <typename T>
METAL_FUNC T simd_shuffle(T v, ushort lane, MSL_LINE) {
  MSL_SOK(T);
  msl_put(v, 1, line);
  return msl_get<T>(lane, line);
}
template <typename T>
METAL_FUNC T simd_broadcast(T v, ushort lane, MSL_LINE) {
  MSL_SOK(T);
  msl_put(v, 2, line);
  return msl_get<T>(lane, line);
}
template <typename T>
METAL_FUNC T simd_broadcast_first(T v, MSL_LINE) {
  MSL_SOK(T);
  ulong m = msl_put(v, 3, line);
  return msl_get<T>(__builtin_ctzl(m), line);
}
template <typename T>
METAL_FUNC T simd_shuffle_xor(T v, ushort mask, MSL_LINE) {
  MSL_SOK(T);
  msl_put(v, 4, line);
  return msl_get<T>(msl_lane() ^ mask, line);
}
template <typename T>
METAL_FUNC T simd_shuffle_up(T v, ushort d, MSL_LINE) {
  MSL_SOK(T);
  msl_put(v, 5, line);
  uint l = msl_lane();
  return l < d ? v : msl_get<T>(l - d, line);
}
template <typename T>
METAL_FUNC T simd_shuffle_down(T v, ushort d, MSL_LINE) {
  MSL_SOK(T);
  msl_put(v, 6, line);
  uint l = msl_lane();
  return l + d > 31 ? v : msl_get<T>(l + d, line);
}
template <typename T>
METAL_FUNC T simd_shuffle_and_fill_up(T v, T fill, ushort d, ushort modulo, MSL_LINE) {
  MSL_SOK(T);
  msl_put(v, 7, line);
  uint l = msl_lane();
  T a = msl_get<T>(l % modulo < d ? l : l - d, line);
  msl_put(fill, 7, line);
  T b = msl_get<T>(l % modulo < d ? (l / modulo * modulo) + modulo - d + l % modulo : l, line);
  return l % modulo < d ? b : a;
}
template <typename T>
METAL_FUNC T simd_shuffle_and_fill_up(T v, T fill, ushort d, MSL_LINE) {
  MSL_SOK(T);
  msl_put(v, 7, line);
  uint l = msl_lane();
  T a = msl_get<T>(l < d ? l : l - d, line);
  msl_put(fill, 7, line);
  T b = msl_get<T>(l < d ? 32 - d + l : l, line);
  return l < d ? b : a;
}
template <typename T>
METAL_FUNC T simd_shuffle_and_fill_down(T v, T fill, ushort d, MSL_LINE) {
  MSL_SOK(T);
  msl_put(v, 8, line);
  uint l = msl_lane();
  T a = msl_get<T>(l + d > 31 ? l : l + d, line);
  msl_put(fill, 8, line);
  T b = msl_get<T>(l + d > 31 ? l + d - 32 : l, line);
  return l + d > 31 ? b : a;
}
template <typename T>
METAL_FUNC T simd_shuffle_rotate_up(T v, ushort d, MSL_LINE) {
  MSL_SOK(T);
  msl_put(v, 9, line);
  return msl_get<T>((msl_lane() + 32 - d) & 31, line);
}
template <typename T>
METAL_FUNC T simd_shuffle_rotate_down(T v, ushort d, MSL_LINE) {
  MSL_SOK(T);
  msl_put(v, 10, line);
  return msl_get<T>((msl_lane() + d) & 31, line);
}
#define MSL_REDUCTION(n, op)                                                                 \
  METAL_FUNC float n(float v, MSL_LINE) { return msl_reduce_float(v, op, line); }            \
  METAL_FUNC half n(half v, MSL_LINE) { return (half)msl_reduce_float((float)v, op, line); } \
  METAL_FUNC int n(int v, MSL_LINE) { return msl_reduce_int(v, op, line); }                  \
  METAL_FUNC uint n(uint v, MSL_LINE) { return msl_reduce_uint(v, op, line); }               \
  METAL_FUNC short n(short v, MSL_LINE) { return (short)msl_reduce_int(v, op, line); }       \
  METAL_FUNC ushort n(ushort v, MSL_LINE) { return (ushort)msl_reduce_uint(v, op, line); }   \
  METAL_FUNC int8_t n(int8_t v, MSL_LINE) { return (int8_t)msl_reduce_int(v, op, line); }    \
  METAL_FUNC uchar n(uchar v, MSL_LINE) { return (uchar)msl_reduce_uint(v, op, line); }
MSL_REDUCTION(simd_sum, 20)
MSL_REDUCTION(simd_product, 21) MSL_REDUCTION(simd_min, 22) MSL_REDUCTION(simd_max, 23)
    MSL_REDUCTION(simd_prefix_inclusive_sum, 24) MSL_REDUCTION(simd_prefix_exclusive_sum, 25)
        MSL_REDUCTION(simd_prefix_inclusive_product, 26)
            MSL_REDUCTION(simd_prefix_exclusive_product, 27) METAL_FUNC uint simd_and(uint v, MSL_LINE) {
  return msl_reduce_uint(v, 28, line);
}
METAL_FUNC uint simd_or(uint v, MSL_LINE) { return msl_reduce_uint(v, 29, line); }
METAL_FUNC uint simd_xor(uint v, MSL_LINE) { return msl_reduce_uint(v, 30, line); }
METAL_FUNC int simd_xor(int v, MSL_LINE) { return (int)msl_reduce_uint((uint)v, 30, line); }
METAL_FUNC uint simd_xor(float v, MSL_LINE) { return 0; }
METAL_FUNC bool simd_all(bool c, MSL_LINE) { return msl_reduce_uint(c, 22, line); }
METAL_FUNC bool simd_any(bool c, MSL_LINE) { return msl_reduce_uint(c, 23, line); }
struct simd_vote {
  typedef ulong vote_t;
  vote_t v;
  explicit constexpr simd_vote(vote_t x) : v(x) {}
  explicit constexpr operator vote_t() const { return v; }
};
METAL_FUNC simd_vote simd_ballot(bool c, MSL_LINE) {
  return simd_vote(msl_reduce_uint(c ? 1u << msl_lane() : 0u, 29, line));
}
METAL_FUNC bool simd_is_first(MSL_LINE) {
  uint z = 0;
  return (uint)__builtin_ctzl(msl_put(z, 11, line)) == msl_lane();
}
template <typename... A>
struct __msl_unused {};
}  // namespace metal
