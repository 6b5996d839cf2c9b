// What Metal's words mean in CUDA, so that the bodies of the kernels compile there as they are.
//
// Rules for a body: threadgroup only before arrays; pointers by auto; all 32 lanes of a simdgroup reach a simd operation;
// CUDA rounds a grid up to whole threadgroups, so threads beyond the data must be turned away.

typedef unsigned int uint;
#define threadgroup __shared__
#define thread
#define thread_position_in_grid \
  make_uint3(blockIdx.x * blockDim.x + threadIdx.x, blockIdx.y * blockDim.y + threadIdx.y, blockIdx.z * blockDim.z + threadIdx.z)
#define threadgroup_position_in_grid make_uint3(blockIdx.x, blockIdx.y, blockIdx.z)
#define thread_index_in_threadgroup (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z))
#define thread_index_in_simdgroup (thread_index_in_threadgroup % 32u)
#define simdgroup_index_in_threadgroup (thread_index_in_threadgroup / 32u)

enum class mem_flags { mem_threadgroup };
__device__ inline void threadgroup_barrier(mem_flags) {
  __syncthreads();
}
__device__ inline float simd_sum(float x) {
  for (int far = 16; far > 0; far /= 2) {
    x += __shfl_xor_sync(0xffffffffu, x, far);
  }
  return x;
}
__device__ inline float simd_broadcast(float x, uint lane) {
  return __shfl_sync(0xffffffffu, x, int(lane));
}
namespace metal {
__device__ inline uint min(uint a, uint b) {
  return a < b ? a : b;
}
__device__ inline float max(float a, float b) {
  return fmaxf(a, b);
}
__device__ inline float abs(float x) {
  return fabsf(x);
}
__device__ inline float fma(float x, float y, float z) {
  return fmaf(x, y, z);
}
namespace fast {
__device__ inline float exp2(float x) {
  return exp2f(x);
}
}  // namespace fast
namespace precise {
__device__ inline float exp(float x) {
  return expf(x);
}
__device__ inline float log(float x) {
  return logf(x);
}
}  // namespace precise
}  // namespace metal

