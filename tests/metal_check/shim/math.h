// metal_math and metal_integer: the plain, precise and fast functions; the fast ones can be perturbed.
#pragma once
namespace metal {
#define MSL_UNARY(n, expr)                             \
  METAL_FUNC float n(float x) { return expr; }         \
  METAL_FUNC half n(half h) {                          \
    float x = h;                                       \
    return (half)(expr);                               \
  }                                                    \
  METAL_FUNC float2 n(float2 v) {                      \
    float2 r;                                          \
    for (int i = 0; i < 2; i++) r[i] = n((float)v[i]); \
    return r;                                          \
  }                                                    \
  METAL_FUNC float3 n(float3 v) {                      \
    float3 r;                                          \
    for (int i = 0; i < 3; i++) r[i] = n((float)v[i]); \
    return r;                                          \
  }                                                    \
  METAL_FUNC float4 n(float4 v) {                      \
    float4 r;                                          \
    for (int i = 0; i < 4; i++) r[i] = n((float)v[i]); \
    return r;                                          \
  }                                                    \
  METAL_FUNC half2 n(half2 v) {                        \
    half2 r;                                           \
    for (int i = 0; i < 2; i++) r[i] = n((half)v[i]);  \
    return r;                                          \
  }                                                    \
  METAL_FUNC half4 n(half4 v) {                        \
    half4 r;                                           \
    for (int i = 0; i < 4; i++) r[i] = n((half)v[i]);  \
    return r;                                          \
  }
#define MSL_BINARY(n, expr)                                         \
  METAL_FUNC float n(float x, float y) { return expr; }             \
  METAL_FUNC half n(half hx, half hy) {                             \
    float x = hx, y = hy;                                           \
    return (half)(expr);                                            \
  }                                                                 \
  METAL_FUNC float2 n(float2 a, float2 b) {                         \
    float2 r;                                                       \
    for (int i = 0; i < 2; i++) r[i] = n((float)a[i], (float)b[i]); \
    return r;                                                       \
  }                                                                 \
  METAL_FUNC float4 n(float4 a, float4 b) {                         \
    float4 r;                                                       \
    for (int i = 0; i < 4; i++) r[i] = n((float)a[i], (float)b[i]); \
    return r;                                                       \
  }
#define MSL_TERNARY(n, expr)                                                     \
  METAL_FUNC float n(float x, float y, float z) { return expr; }                 \
  METAL_FUNC half n(half hx, half hy, half hz) {                                 \
    float x = hx, y = hy, z = hz;                                                \
    return (half)(expr);                                                         \
  }                                                                              \
  METAL_FUNC float4 n(float4 a, float4 b, float4 c) {                            \
    float4 r;                                                                    \
    for (int i = 0; i < 4; i++) r[i] = n((float)a[i], (float)b[i], (float)c[i]); \
    return r;                                                                    \
  }
#define MSL_MATH(F)                                                                                                    \
  MSL_UNARY(exp, F(__m_expf(x), 3.f + 2 * __builtin_fabsf(x)))                                                         \
  MSL_UNARY(exp2, F(__m_exp2f(x), 3.f + 2 * __builtin_fabsf(x)))                                                       \
      MSL_UNARY(exp10, F(__m_exp10f(x), 3.f + 2 * __builtin_fabsf(x))) MSL_UNARY(log, F(__m_logf(x), 3.f)) MSL_UNARY(  \
          log2, F(__m_log2f(x), 3.f)) MSL_UNARY(log10, F(__m_log10f(x), 3.f)) MSL_UNARY(sin, F(__m_sinf(x), 64.f))     \
          MSL_UNARY(cos, F(__m_cosf(x), 64.f)) MSL_UNARY(tan, F(__m_tanf(x), 64.f)) MSL_UNARY(                         \
              sinh, F(__m_sinhf(x), 6.f)) MSL_UNARY(cosh, F(__m_coshf(x), 6.f)) MSL_UNARY(tanh, F(__m_tanhf(x), 5.f))  \
              MSL_UNARY(asin, F(__m_asinf(x), 5.f)) MSL_UNARY(acos, F(__m_acosf(x), 5.f)) MSL_UNARY(                   \
                  atan, F(__m_atanf(x), 5.f)) MSL_UNARY(asinh, F(__m_asinhf(x), 5.f))                                  \
                  MSL_UNARY(acosh, F(__m_acoshf(x), 5.f)) MSL_UNARY(atanh, F(__m_atanhf(x), 5.f)) MSL_UNARY(           \
                      sinpi, F(__m_sinf(M_PI_F* x), 6.f)) MSL_UNARY(cospi, F(__m_cosf(M_PI_F* x), 6.f))                \
                      MSL_UNARY(tanpi, F(__m_tanf(M_PI_F* x), 6.f)) MSL_UNARY(sqrt, F(__builtin_sqrtf(x), 1.f))        \
                          MSL_UNARY(rsqrt, F(1.0f / __builtin_sqrtf(x), 2.f)) MSL_UNARY(fabs, __builtin_fabsf(x))      \
                              MSL_UNARY(floor, __builtin_floorf(x)) MSL_UNARY(ceil, __builtin_ceilf(x)) MSL_UNARY(     \
                                  round, __builtin_roundf(x)) MSL_UNARY(rint, __builtin_rintf(x))                      \
                                  MSL_UNARY(trunc, __builtin_truncf(x)) MSL_UNARY(                                     \
                                      fract, __builtin_fminf(x - __builtin_floorf(x),                                  \
                                                             0x1.fffffep-1f)) MSL_UNARY(abs, __builtin_fabsf(x))       \
                                      MSL_UNARY(saturate, __builtin_fminf(__builtin_fmaxf(x, 0.0f), 1.0f)) MSL_UNARY(  \
                                          sign, (x > 0   ? 1.0f                                                        \
                                                 : x < 0 ? -1.0f                                                       \
                                                         : 0.0f)) MSL_BINARY(fmin, __builtin_fminf(x, y))              \
                                          MSL_BINARY(fmax, __builtin_fmaxf(x, y)) MSL_BINARY(                          \
                                              min, __builtin_fminf(x, y)) MSL_BINARY(max, __builtin_fmaxf(x, y))       \
                                              MSL_BINARY(pow, F(__m_powf(x, y), 16.f)) MSL_BINARY(                     \
                                                  powr, F(__m_powf(x, y), 16.f)) MSL_BINARY(fmod, __m_fmodf(x, y))     \
                                                  MSL_BINARY(atan2, F(__m_atan2f(x, y), 6.f)) MSL_BINARY(              \
                                                      divide,                                                          \
                                                      F(x / y, 2.5f)) MSL_BINARY(copysign, __builtin_copysignf(x, y))  \
                                                      MSL_BINARY(step, (y < x ? 0.0f : 1.0f)) MSL_BINARY(              \
                                                          nextafter,                                                   \
                                                          __m_nextafterf(x, y)) MSL_BINARY(fdim,                       \
                                                                                           (x > y ? x - y : 0.0f))     \
                                                          MSL_TERNARY(fma, __builtin_fmaf(x, y, z)) MSL_TERNARY(       \
                                                              clamp, __builtin_fminf(__builtin_fmaxf(x, y), z))        \
                                                              MSL_TERNARY(mix, (x + (y - x) * z)) MSL_TERNARY(         \
                                                                  fmin3, __builtin_fminf(x, __builtin_fminf(y, z)))    \
                                                                  MSL_TERNARY(fmax3, __builtin_fmaxf(                  \
                                                                                         x, __builtin_fmaxf(y, z)))    \
                                                                      MSL_TERNARY(min3, __builtin_fminf(               \
                                                                                            x, __builtin_fminf(y, z))) \
                                                                          MSL_TERNARY(max3,                            \
                                                                                      __builtin_fmaxf(                 \
                                                                                          x, __builtin_fmaxf(y, z)))   \
                                                                              METAL_FUNC float                         \
                                                                              ldexp(float x, int k) {                  \
    return __m_ldexpf(x, k);                                                                                           \
  }                                                                                                                    \
  METAL_FUNC float frexp(float x, thread int& e) { return __m_frexpf(x, &e); }                                         \
  METAL_FUNC float modf(float x, thread float& i) { return __m_modff(x, &i); }
#define MSL_EXACT(v, u) (v)
#define MSL_FAST(v, u) (msl_fuzz((v), (u)))
MSL_MATH(MSL_EXACT)
namespace precise {
MSL_MATH(MSL_EXACT)
}
namespace fast {
MSL_MATH(MSL_FAST)
}
METAL_FUNC bool isnan(float x) { return __builtin_isnan(x); }
METAL_FUNC bool isnan(half x) { return __builtin_isnan((float)x); }
METAL_FUNC bool isnan(bfloat x) { return __builtin_isnan((float)x); }
METAL_FUNC bool isinf(float x) { return __builtin_isinf(x); }
METAL_FUNC bool isinf(half x) { return __builtin_isinf((float)x); }
METAL_FUNC bool isinf(bfloat x) { return __builtin_isinf((float)x); }
METAL_FUNC bool isfinite(float x) { return __builtin_isfinite(x); }
METAL_FUNC bool isfinite(half x) { return __builtin_isfinite((float)x); }
METAL_FUNC bool signbit(float x) { return __builtin_signbit(x); }
#define MSL_INTEGER_MATH(T)                                       \
  METAL_FUNC T min(T a, T b) { return b < a ? b : a; }            \
  METAL_FUNC T max(T a, T b) { return a < b ? b : a; }            \
  METAL_FUNC T clamp(T x, T l, T h) { return min(max(x, l), h); } \
  METAL_FUNC T abs(T x) { return (T)(x < (T)0 ? -x : x); }
MSL_INTEGER_MATH(int8_t)
MSL_INTEGER_MATH(uchar) MSL_INTEGER_MATH(short) MSL_INTEGER_MATH(ushort) MSL_INTEGER_MATH(int) MSL_INTEGER_MATH(uint)
    MSL_INTEGER_MATH(long) MSL_INTEGER_MATH(ulong) template <typename T>
    METAL_FUNC T select(T a, T b, bool c) {
  return c ? b : a;
}
template <typename T, int N>
METAL_FUNC T __msl_dot(vec<T, N> a, vec<T, N> b) {
  T r = 0;
  for (int i = 0; i < N; i++) r += a[i] * b[i];
  return r;
}
METAL_FUNC float dot(float2 a, float2 b) { return __msl_dot<float, 2>(a, b); }
METAL_FUNC float dot(float3 a, float3 b) { return __msl_dot<float, 3>(a, b); }
METAL_FUNC float dot(float4 a, float4 b) { return __msl_dot<float, 4>(a, b); }
METAL_FUNC int popcount(uint x) { return __builtin_popcount(x); }
METAL_FUNC uint popcount(ulong x) { return __builtin_popcountl(x); }
METAL_FUNC uint clz(uint x) { return x ? __builtin_clz(x) : 32; }
METAL_FUNC uint ctz(uint x) { return x ? __builtin_ctz(x) : 32; }
METAL_FUNC uint mulhi(uint a, uint b) { return ((ulong)a * b) >> 32; }
}  // namespace metal
