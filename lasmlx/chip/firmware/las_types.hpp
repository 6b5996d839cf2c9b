// Integers by their width in bits: with LAS_HLS those of ap_int.h, exactly as wide; else the next wider standard ones.
#pragma once
#include <stdint.h>

#if defined(LAS_HLS)
#include "ap_int.h"
#endif

// HLS pragmas reach the synthesis alone: LAS_PRAGMA(HLS PIPELINE II=1).
#if defined(__SYNTHESIS__)
#define LAS_PRAGMA_TEXT(...) _Pragma(#__VA_ARGS__)
#define LAS_PRAGMA(...) LAS_PRAGMA_TEXT(__VA_ARGS__)
#else
#define LAS_PRAGMA(...)
#endif

// Products a clock of a matrix in hardware; no other build reads it.
#if !defined(LAS_PARALLEL)
#define LAS_PARALLEL 4
#endif

// However many files include them there is one copy of weights and code; C++14, the default of HLS, has one a file.
#if __cplusplus >= 201703L
#define LAS_INLINE inline
#define LAS_CONST inline constexpr
#else
#define LAS_INLINE static inline
#define LAS_CONST constexpr
#endif

namespace las {

#if defined(LAS_HLS)
template <int bits>
using Int = ap_int<bits>;
template <int bits>
using Uint = ap_uint<bits>;

// a b, known to fit.
template <class Product, class A, class B>
LAS_INLINE Product mul(A a, B b) {
  LAS_PRAGMA(HLS INLINE)
  return a * b;
}

// v 2^left, known to fit.
template <class Product, class V, class Left>
LAS_INLINE Product shifted(V v, Left left) {
  LAS_PRAGMA(HLS INLINE)
  return Product(v) << left;
}
#else
template <int log2_bytes>
struct Native;
template <>
struct Native<0> {
  using Signed = int8_t;
  using Unsigned = uint8_t;
};
template <>
struct Native<1> {
  using Signed = int16_t;
  using Unsigned = uint16_t;
};
template <>
struct Native<2> {
  using Signed = int32_t;
  using Unsigned = uint32_t;
};
template <>
struct Native<3> {
  using Signed = int64_t;
  using Unsigned = uint64_t;
};

template <int bits>
using Int = typename Native<(bits > 8) + (bits > 16) + (bits > 32)>::Signed;
template <int bits>
using Uint = typename Native<(bits > 8) + (bits > 16) + (bits > 32)>::Unsigned;

// a b, known to fit.
template <class Product, class A, class B>
LAS_INLINE Product mul(A a, B b) {
  return static_cast<Product>(a) * static_cast<Product>(b);
}

// v 2^left, known to fit; a negative v may not be shifted.
template <class Product, class V, class Left>
LAS_INLINE Product shifted(V v, Left left) {
  return static_cast<Product>(v) * (static_cast<Product>(1) << left);
}
#endif

static_assert((-1 >> 1) == -1, "a right shift of a negative integer must keep its sign");

}  // namespace las
