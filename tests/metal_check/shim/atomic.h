// Barriers and metal_atomic. Metal 3 has no float atomics in threadgroup memory, and so neither has this.
#pragma once
namespace metal {
enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
constexpr mem_flags operator|(mem_flags a, mem_flags b) { return (mem_flags)((int)a | (int)b); }
METAL_FUNC void threadgroup_barrier(mem_flags f, MSL_LINE) { msl_threadgroup_barrier((int)f, line); }
METAL_FUNC void simdgroup_barrier(mem_flags f, MSL_LINE) { msl_simdgroup_barrier((int)f, line); }
enum memory_order { memory_order_relaxed = 0 };
enum thread_scope { thread_scope_thread, thread_scope_simdgroup, thread_scope_threadgroup, thread_scope_device };
template <typename T>
struct atomic {
  T __s;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<float> atomic_float;
typedef atomic<ulong> atomic_ulong;
#define MSL_RAW __attribute__((no_sanitize("thread"), noinline))
#define MSL_ATOMIC(AS, T)                                                                                             \
  MSL_RAW T inline atomic_load_explicit(const volatile AS atomic<T>* p, memory_order) {                               \
    msl_atomic_touch((ulong)p, sizeof(T));                                                                            \
    return p->__s;                                                                                                    \
  }                                                                                                                   \
  MSL_RAW void inline atomic_store_explicit(volatile AS atomic<T>* p, T v, memory_order) {                            \
    msl_atomic_touch((ulong)p, sizeof(T));                                                                            \
    p->__s = v;                                                                                                       \
  }                                                                                                                   \
  MSL_RAW T inline atomic_exchange_explicit(volatile AS atomic<T>* p, T v, memory_order) {                            \
    msl_atomic_touch((ulong)p, sizeof(T));                                                                            \
    T o = p->__s;                                                                                                     \
    p->__s = v;                                                                                                       \
    return o;                                                                                                         \
  }                                                                                                                   \
  MSL_RAW bool inline atomic_compare_exchange_weak_explicit(volatile AS atomic<T>* p, thread T* e, T v, memory_order, \
                                                            memory_order) {                                           \
    msl_atomic_touch((ulong)p, sizeof(T));                                                                            \
    T o = p->__s;                                                                                                     \
    if (o == *e) {                                                                                                    \
      p->__s = v;                                                                                                     \
      return true;                                                                                                    \
    }                                                                                                                 \
    *e = o;                                                                                                           \
    return false;                                                                                                     \
  }
#define MSL_ATOMIC_FETCH(AS, T, n, expr)                                                      \
  MSL_RAW T inline atomic_fetch_##n##_explicit(volatile AS atomic<T>* p, T v, memory_order) { \
    msl_atomic_touch((ulong)p, sizeof(T));                                                    \
    T o = p->__s;                                                                             \
    p->__s = (T)(expr);                                                                       \
    return o;                                                                                 \
  }
#define MSL_ATOMIC_INTEGER(AS, T)                                                                                     \
  MSL_ATOMIC(AS, T)                                                                                                   \
  MSL_ATOMIC_FETCH(AS, T, add, o + v) MSL_ATOMIC_FETCH(AS, T, sub, o - v) MSL_ATOMIC_FETCH(AS, T, min, v < o ? v : o) \
      MSL_ATOMIC_FETCH(AS, T, max, v > o ? v : o) MSL_ATOMIC_FETCH(AS, T, and, o& v)                                  \
          MSL_ATOMIC_FETCH(AS, T, or, o | v) MSL_ATOMIC_FETCH(AS, T, xor, o ^ v)
MSL_ATOMIC_INTEGER(device, int)
MSL_ATOMIC_INTEGER(device, uint) MSL_ATOMIC_INTEGER(threadgroup, int) MSL_ATOMIC_INTEGER(threadgroup, uint)
    MSL_ATOMIC(device, float) MSL_ATOMIC_FETCH(device, float, add, o + v)
        MSL_ATOMIC_FETCH(device, float, sub, o - v)  // Metal 3: device only
    MSL_ATOMIC_FETCH(device, ulong, min, v < o ? v : o) MSL_ATOMIC_FETCH(device, ulong, max, v > o ? v : o)
        MSL_ATOMIC(device, ulong)
}  // namespace metal
