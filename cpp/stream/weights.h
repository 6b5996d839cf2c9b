// What one step reads and writes, as plain pointers: shared by the code that packs and by each instruction set's step.
// Letters: d width, e inner channels, n states, k convolution taps, r rank of dt. Every vector is padded with zeros to a
// multiple of PAD floats, so a step has no remainder loop over channels.
#pragma once
#include <cstdint>

#include "simd/panel.h"

namespace las::stream {

constexpr int VOCABULARY = 256;

// y = W x, in the panels of simd/panel.h.
struct Linear {
  int in, out;              // padded
  const float* weight;      // float32, or null
  const int8_t* quantised;  // round(weight / scale), or null
  const float* scale;       // (out,)
  const int32_t* row_sum;   // (out,) sums of the quantised rows
};

struct Layer {
  Linear in_proj, x_proj, dt_proj, out_proj;
  const float* norm;              // (d,)
  const float *conv, *conv_bias;  // (k, e), (e,)
  const float *dt_bias, *D;       // (e,)
  const float *A, *inverse_A;     // [e / W][n][W]; A is times log2(e)
};

struct Weights {
  int layers, d, e, n, k, rank;
  int d_pad, e_pad;
  bool bounded;            // dt = dt_min + dt_range sigmoid(pre), else softplus(pre)
  float dt_min, dt_range;
  float inverse_substeps;  // 1/K; 0 is exact zero-order hold
  const float* table;      // (256, d)
  const float* norm;       // (d,)
  Linear head;
  const Layer* layer;
};

struct Buffers {
  float *u, *normed, *xz, *x, *low, *y;  // (d), (d), (2e), (e), (r + 2n), (e)
  int8_t* quantised;
  float* dt;      // (layers, e)
  float* tail;    // (layers, k - 1, e), oldest first
  float* h;       // (layers, [e / W][n][W])
  float* logits;  // (256,)
};

using Step = void (*)(const Weights&, const Buffers&, int byte);

}  // namespace las::stream

// Each instruction set's step, for float32 and for int8 weights.
namespace baseline {
void step_float32(const las::stream::Weights&, const las::stream::Buffers&, int byte);
void step_int8(const las::stream::Weights&, const las::stream::Buffers&, int byte);
}  // namespace baseline
#if defined(__x86_64__)
namespace avx2 {
void step_float32(const las::stream::Weights&, const las::stream::Buffers&, int byte);
void step_int8(const las::stream::Weights&, const las::stream::Buffers&, int byte);
}  // namespace avx2
namespace avx512 {
void step_float32(const las::stream::Weights&, const las::stream::Buffers&, int byte);
void step_int8(const las::stream::Weights&, const las::stream::Buffers&, int byte);
}  // namespace avx512
#endif
