// What the runtime (../runtime) and the C library give the shim.
#pragma once
extern "C" {
threadgroup char* msl_group_array(ulong size, ulong elem, const constant char* name, int line);
void msl_threadgroup_barrier(int flags, int line);
void msl_simdgroup_barrier(int flags, int line);
ulong msl_show(const void* v, uint size, int op, int line);
void msl_look(void* out, uint size, uint lane, int line);
float msl_reduce_float(float v, int op, int line);
int msl_reduce_int(int v, int op, int line);
uint msl_reduce_uint(uint v, int op, int line);
uint msl_lane(void);
void msl_atomic_touch(ulong addr, uint size);
float msl_fuzz(float x, float ulps);
float __m_expf(float) __asm__("expf");
float __m_exp2f(float) __asm__("exp2f");
float __m_exp10f(float) __asm__("exp10f");
float __m_logf(float) __asm__("logf");
float __m_log2f(float) __asm__("log2f");
float __m_log10f(float) __asm__("log10f");
float __m_log1pf(float) __asm__("log1pf");
float __m_expm1f(float) __asm__("expm1f");
float __m_sinf(float) __asm__("sinf");
float __m_cosf(float) __asm__("cosf");
float __m_tanf(float) __asm__("tanf");
float __m_sinhf(float) __asm__("sinhf");
float __m_coshf(float) __asm__("coshf");
float __m_tanhf(float) __asm__("tanhf");
float __m_asinf(float) __asm__("asinf");
float __m_acosf(float) __asm__("acosf");
float __m_atanf(float) __asm__("atanf");
float __m_asinhf(float) __asm__("asinhf");
float __m_acoshf(float) __asm__("acoshf");
float __m_atanhf(float) __asm__("atanhf");
float __m_atan2f(float, float) __asm__("atan2f");
float __m_powf(float, float) __asm__("powf");
float __m_fmodf(float, float) __asm__("fmodf");
float __m_nextafterf(float, float) __asm__("nextafterf");
float __m_ldexpf(float, int) __asm__("ldexpf");
float __m_frexpf(float, int*) __asm__("frexpf");
float __m_remainderf(float, float) __asm__("remainderf");
float __m_modff(float, float*) __asm__("modff");
}
