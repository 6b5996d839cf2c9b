// Vector constructors: float4(a, b, c, d), float4(v2, c, d), float4(x).
#pragma once
namespace metal {
template <typename T, int N>
struct array {
  T e[N];
  constexpr constant const T& operator[](int i) const constant { return e[i]; }
  T operator[](int i) const { return e[i]; }
};
}  // namespace metal
template <typename E, int N>
struct msl_vector_builder {
  E e[N];
  int n = 0;
};
template <typename B, typename E, typename S>
METAL_FUNC void msl_append(thread B& b, thread E* e, S s) {
  if constexpr (__is_convertible_to(S, float) && sizeof(S) <= 8 && (metal::is_arithmetic_v<S>)) {
    e[b.n++] = (E)s;
  } else {
    for (int i = 0; i < (int)(sizeof(S) / sizeof(s[0])) && b.n < (int)(sizeof(b.e) / sizeof(E)); i++)
      e[b.n++] = (E)s[i];
  }
}
template <typename V, typename E, int N, typename A>
METAL_FUNC V msl_vector(A a) {
  if constexpr (metal::is_arithmetic_v<A>) {
    return (V)(E)a;
  } else {
    V r;
    for (int i = 0; i < N; i++) r[i] = (E)a[i];
    return r;
  }
}
template <typename V, typename E, int N, typename A, typename B2, typename... R>
METAL_FUNC V msl_vector(A a, B2 b, R... rest) {
  msl_vector_builder<E, N> o;
  msl_append(o, o.e, a);
  msl_append(o, o.e, b);
  (msl_append(o, o.e, rest), ...);
  V r;
  for (int i = 0; i < N; i++) r[i] = o.e[i];
  return r;
}
#define float2(...) msl_vector<float2, float, 2>(__VA_ARGS__)
#define float3(...) msl_vector<float3, float, 3>(__VA_ARGS__)
#define float4(...) msl_vector<float4, float, 4>(__VA_ARGS__)
#define half2(...) msl_vector<half2, half, 2>(__VA_ARGS__)
#define half4(...) msl_vector<half4, half, 4>(__VA_ARGS__)
#define uint2(...) msl_vector<uint2, uint, 2>(__VA_ARGS__)
#define uint3(...) msl_vector<uint3, uint, 3>(__VA_ARGS__)
#define uint4(...) msl_vector<uint4, uint, 4>(__VA_ARGS__)
#define int2(...) msl_vector<int2, int, 2>(__VA_ARGS__)
#define int4(...) msl_vector<int4, int, 4>(__VA_ARGS__)
