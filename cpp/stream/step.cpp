// One byte through the whole model. Compiled once per instruction set.
//   u = table[byte]
//   each layer:  x, z = in_proj rmsnorm(u);  x = silu(conv(x));  low, B, C = x_proj x;  dt = f(dt_proj low)
//                h = exp(dt A) h + dt phi_K(dt A) B x;  u += out_proj ((C h + D x) silu(z))
//   logits = head rmsnorm(u)
#include "stream/linear.h"

namespace LAS_ISA {
namespace {

using las::stream::Buffers;
using las::stream::Layer;
using las::stream::Weights;

inline vf silu(vf x) { return x * sigmoid(x); }

void rms_norm(const float* x, const float* weight, int d, int d_pad, float* y) {
  vf squares = {};
  for (int i = 0; i < d_pad; i += W) squares += load(x + i) * load(x + i);
  const float scale = 1.f / std::sqrt(sum(squares) / d + 1e-5f);
  for (int i = 0; i < d_pad; i += W) store(y + i, load(x + i) * scale * load(weight + i));
}

void convolve(const Weights& m, const Layer& layer, const float* input, float* tail, float* x) {
  const int e = m.e_pad, last = m.k - 1;
  for (int i = 0; i < e; i += W) {
    const vf newest = load(input + i);
    vf v = load(layer.conv_bias + i) + newest * load(layer.conv + last * e + i);
    for (int j = 0; j < last; j++) {
      v += load(tail + j * e + i) * load(layer.conv + j * e + i);
      store(tail + j * e + i, j + 1 < last ? load(tail + (j + 1) * e + i) : newest);
    }
    store(x + i, silu(v));
  }
}

void time_step(const Weights& m, const Layer& layer, float* dt) {
  for (int i = 0; i < m.e_pad; i += W) {
    const vf pre = load(dt + i) + load(layer.dt_bias + i);
    store(dt + i, m.bounded ? m.dt_min + m.dt_range * sigmoid(pre) : softplus(pre));
  }
}

// K sub-steps of dt / K make a geometric series, so dt phi_K(a) = dt / K * expm1(a) / expm1(a / K), a = dt A; with K without
// bound it is expm1(a) / A.
enum class Substeps { one, some, infinite };

struct Powers {
  vf power, less_one;  // 2^x and 2^x - 1
};
inline Powers powers(vf x) {
  const Exp2Parts p = exp2_parts(x);
  const vf fq = p.f * p.q, scale = (vf)(p.exponent + 0x3f800000);
  return {scale * fq + scale, scale * fq + (scale - 1.f)};
}

template <Substeps K>
void scan(const Weights& m, const Layer& layer, const Buffers& s, const float* dt, float* h) {
  const float *B = s.low + m.rank, *C = B + m.n, *z = s.xz + m.e_pad;
  for (int i = 0; i < m.e_pad; i += W) {
    const vf x = load(s.x + i), step = load(dt + i);
    const vf dtx = K == Substeps::infinite ? x : K == Substeps::some ? x * step * m.inverse_substeps : x * step;
    const float *A = layer.A + i * m.n, *inverse_A = layer.inverse_A + i * m.n;
    float* state = h + i * m.n;
    vf y = x * load(layer.D + i);
    for (int j = 0; j < m.n; j++) {
      vf a = step * load(A + j * W);
      vf hj = load(state + j * W);
      if constexpr (K == Substeps::one) {
        hj = exp2(a) * hj + dtx * B[j];
      } else {
        if (K == Substeps::some) a = min(a, splat(-1e-30f));  // a dt that underflows would divide 0 by 0
        const Powers p = powers(a);
        vf series = p.less_one;
        if constexpr (K == Substeps::infinite) {
          series = series * load(inverse_A + j * W);
        } else {
          const Powers substep = powers(a * m.inverse_substeps);
          series = series / substep.less_one;
        }
        hj = p.power * hj + dtx * B[j] * series;
      }
      store(state + j * W, hj);
      y += hj * C[j];
    }
    store(s.y + i, y * silu(load(z + i)));
  }
}

template <bool int8>
void step(const Weights& m, const Buffers& s, int byte) {
  auto project = [&](const Linear& linear, const float* x, int count, float* y) {
    if constexpr (int8)
      multiply(linear, s.quantised, quantise(x, count, s.quantised), y);
    else
      multiply(linear, x, y);
  };
  std::memcpy(s.u, m.table + (int64_t)byte * m.d_pad, m.d_pad * sizeof(float));
  for (int l = 0; l < m.layers; l++) {
    const Layer& layer = m.layer[l];
    float* dt = s.dt + (int64_t)l * m.e_pad;
    float* h = s.h + (int64_t)l * m.e_pad * m.n;
    rms_norm(s.u, layer.norm, m.d, m.d_pad, s.normed);
    project(layer.in_proj, s.normed, m.d_pad, s.xz);
    convolve(m, layer, s.xz, s.tail + (int64_t)l * (m.k - 1) * m.e_pad, s.x);
    project(layer.x_proj, s.x, m.e_pad, s.low);
    multiply(layer.dt_proj, s.low, dt);
    time_step(m, layer, dt);
    if (m.inverse_substeps == 1.f)
      scan<Substeps::one>(m, layer, s, dt, h);
    else if (m.inverse_substeps == 0.f)
      scan<Substeps::infinite>(m, layer, s, dt, h);
    else
      scan<Substeps::some>(m, layer, s, dt, h);
    project(layer.out_proj, s.y, m.e_pad, s.normed);
    for (int i = 0; i < m.d_pad; i += W) store(s.u + i, load(s.u + i) + load(s.normed + i));
  }
  rms_norm(s.u, m.norm, m.d, m.d_pad, s.normed);
  project(m.head, s.normed, m.d_pad, s.logits);
}

}  // namespace

void step_float32(const Weights& m, const Buffers& s, int byte) { step<false>(m, s, byte); }
void step_int8(const Weights& m, const Buffers& s, int byte) { step<true>(m, s, byte); }

}  // namespace LAS_ISA
