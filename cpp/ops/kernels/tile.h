// Strided rows of float32, float16 or bfloat16 in and out of dense float32 tiles, so that kernels see only those.
#pragma once
#include <algorithm>
#include <bit>
#include <type_traits>
#include <vector>

#include "ops/kernels.h"
#include "simd/simd.h"

namespace LAS_ISA {

inline float to_float(float x) { return x; }
inline float to_float(_Float16 x) { return static_cast<float>(x); }
inline float to_float(uint16_t bf16) { return std::bit_cast<float>(static_cast<uint32_t>(bf16) << 16); }

inline void from_float(float x, float* out) { *out = x; }
inline void from_float(float x, _Float16* out) { *out = static_cast<_Float16>(x); }
inline void from_float(float x, uint16_t* out) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);  // to nearest, ties to even
  *out = static_cast<uint16_t>((x != x ? bits | 0x400000 : rounded) >> 16);
}

template <class T>
void load_row(const T* __restrict p, int64_t stride, int count, float* __restrict out) {
  for (int i = 0; i < count; i++) out[i] = to_float(p[i * stride]);
}
template <class T>
void store_row(T* __restrict p, int64_t stride, int count, const float* __restrict in) {
  for (int i = 0; i < count; i++) from_float(in[i], p + i * stride);
}

// A whole number of vectors, densely stored: moved as vectors, because a vector load soon after scalar stores stalls.
template <class T>
void load_vectors(const T* __restrict p, int count, float* __restrict out) {
  for (int i = 0; i < count; i++) out[i] = to_float(p[i]);
}
inline void load_vectors(const float* p, int count, float* out) {
  for (int i = 0; i < count; i += W) store(out + i, load(p + i));
}
template <class T>
void store_vectors(T* __restrict p, int count, const float* __restrict in) {
  for (int i = 0; i < count; i++) from_float(in[i], p + i);
}
inline void store_vectors(float* p, int count, const float* in) {
  for (int i = 0; i < count; i += W) store(p + i, load(in + i));
}

// rows [t0, t0 + t) of batch row b, columns [d0, d0 + count), to a (t, width) tile padded with zeros.
template <class T>
void load_tile_as(const las::View& v, int b, int t0, int t, int d0, int count, int width, float* tile) {
  const T* p = static_cast<const T*>(v.data) + b * v.stride[0] + t0 * v.stride[1] + d0 * v.stride[2];
  for (int i = 0; i < t; i++, p += v.stride[1], tile += width) {
    if (count == width && count % W == 0 && v.stride[2] == 1)
      load_vectors(p, count, tile);
    else {
      load_row(p, v.stride[2], count, tile);
      for (int j = count; j < width; j++) tile[j] = 0.f;
    }
  }
}
inline void load_tile(const las::View& v, int b, int t0, int t, int d0, int count, int width, float* tile) {
  switch (v.type) {
    case las::Scalar::f32: return load_tile_as<float>(v, b, t0, t, d0, count, width, tile);
    case las::Scalar::f16: return load_tile_as<_Float16>(v, b, t0, t, d0, count, width, tile);
    case las::Scalar::bf16: return load_tile_as<uint16_t>(v, b, t0, t, d0, count, width, tile);
  }
}

template <class T>
void store_tile_as(const las::View& v, int b, int t0, int t, int d0, int count, int width, const float* tile) {
  T* p = static_cast<T*>(v.data) + b * v.stride[0] + t0 * v.stride[1] + d0 * v.stride[2];
  for (int i = 0; i < t; i++, p += v.stride[1], tile += width) {
    if (count % W == 0 && v.stride[2] == 1)
      store_vectors(p, count, tile);
    else
      store_row(p, v.stride[2], count, tile);
  }
}
inline void store_tile(const las::View& v, int b, int t0, int t, int d0, int count, int width, const float* tile) {
  switch (v.type) {
    case las::Scalar::f32: return store_tile_as<float>(v, b, t0, t, d0, count, width, tile);
    case las::Scalar::f16: return store_tile_as<_Float16>(v, b, t0, t, d0, count, width, tile);
    case las::Scalar::bf16: return store_tile_as<uint16_t>(v, b, t0, t, d0, count, width, tile);
  }
}

class Scratch {  // one growing, 64-byte aligned buffer a thread; take() hands out consecutive pieces
 public:
  void reserve(size_t floats) {
    if (buffer_.size() < floats + 16) buffer_.resize(floats + 16);
    next_ = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(buffer_.data()) + 63) & ~uintptr_t{63});
  }
  float* take(size_t floats) {
    float* p = next_;
    next_ += floats;
    return p;
  }

 private:
  std::vector<float> buffer_;
  float* next_ = nullptr;
};

}  // namespace LAS_ISA
