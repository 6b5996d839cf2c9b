// Row-wise and elementwise kernels on contiguous float32: normalisation, time steps, cross-entropy, the AdamW update.
#include "ops/kernels.h"
#include <type_traits>

#include "simd/simd.h"

namespace LAS_ISA {
namespace {

using las::Rows;

// calls f(column, lanes) over a row: whole vectors with lanes == W, then the rest
template <class F>
inline void over_columns(int d, F f) {
  int i = 0;
  for (; i + W <= d; i += W) f(i, std::integral_constant<int, W>{});
  if (i < d) f(i, d - i);
}
inline vf get(const float* p, std::integral_constant<int, W>) { return load(p); }
inline vf get(const float* p, int lanes) { return load(p, lanes); }
inline void put(float* p, vf v, std::integral_constant<int, W>) { store(p, v); }
inline void put(float* p, vf v, int lanes) { store(p, v, lanes); }

inline float reciprocal_rms(const float* x, int d, float eps) {
  vf squares = splat(0.f);
  over_columns(d, [&](int i, auto lanes) {
    const vf v = get(x + i, lanes);
    squares += v * v;
  });
  return 1.f / std::sqrt(sum(squares) / d + eps);
}

inline bool is_class(int32_t target, int d) { return target >= 0 && target < d; }

// y = f(x + bias): f and its slope are given a vector each
template <class F>
void biased(const Rows& r, const float* x, const float* bias, float* y, F f) {
  for (int64_t row = r.r0; row < r.r1; row++)
    over_columns(r.d, [&](int i, auto lanes) {
      put(y + row * r.d + i, f(get(x + row * r.d + i, lanes) + get(bias + i, lanes)), lanes);
    });
}
template <class F>
void biased_grad(const Rows& r, const float* x, const float* bias, const float* gy, float* gx, float* gbias, F slope) {
  std::memset(gbias, 0, r.d * sizeof(float));
  for (int64_t row = r.r0; row < r.r1; row++)
    over_columns(r.d, [&](int i, auto lanes) {
      const int64_t at = row * r.d + i;
      const vf g = get(gy + at, lanes) * slope(get(x + at, lanes) + get(bias + i, lanes));
      put(gx + at, g, lanes);
      put(gbias + i, get(gbias + i, lanes) + g, lanes);
    });
}

}  // namespace

void rms_norm(const Rows& r, const float* x, const float* w, float eps, float* y) {
  for (int64_t row = r.r0; row < r.r1; row++) {
    const float *xr = x + row * r.d, q = reciprocal_rms(xr, r.d, eps);
    over_columns(r.d, [&](int i, auto lanes) {
      put(y + row * r.d + i, get(xr + i, lanes) * q * get(w + i, lanes), lanes);
    });
  }
}

void rms_norm_grad(const Rows& r, const float* x, const float* w, float eps, const float* gy, float* gx, float* gw) {
  std::memset(gw, 0, r.d * sizeof(float));
  for (int64_t row = r.r0; row < r.r1; row++) {
    const float *xr = x + row * r.d, *gr = gy + row * r.d;
    const float q = reciprocal_rms(xr, r.d, eps);
    vf dot = splat(0.f);
    over_columns(r.d, [&](int i, auto lanes) { dot += get(xr + i, lanes) * get(gr + i, lanes) * get(w + i, lanes); });
    const float along = sum(dot) * q * q * q / r.d;
    over_columns(r.d, [&](int i, auto lanes) {
      const vf v = get(xr + i, lanes), g = get(gr + i, lanes);
      put(gx + row * r.d + i, g * get(w + i, lanes) * q - v * along, lanes);
      put(gw + i, get(gw + i, lanes) + g * v * q, lanes);
    });
  }
}

void bounded(const Rows& r, const float* x, const float* bias, float lo, float hi, float* y) {
  biased(r, x, bias, y, [=](vf v) {
    const vf dt = lo + (hi - lo) * sigmoid(v);
    return dt > hi ? splat(hi) : dt;  // rounding may pass the bound by a bit; NaN stays
  });
}
void bounded_grad(const Rows& r, const float* x, const float* bias, float lo, float hi, const float* gy, float* gx,
                  float* gbias) {
  biased_grad(r, x, bias, gy, gx, gbias, [=](vf v) {
    const vf s = sigmoid(v);
    return (hi - lo) * s * (1.f - s);
  });
}
void softplus(const Rows& r, const float* x, const float* bias, float* y) {
  biased(r, x, bias, y, [](vf v) { return softplus(v); });
}
void softplus_grad(const Rows& r, const float* x, const float* bias, const float* gy, float* gx, float* gbias) {
  biased_grad(r, x, bias, gy, gx, gbias, [](vf v) { return sigmoid(v); });
}

void cross_entropy(const Rows& r, const float* logits, const int32_t* target, float* loss, float* lse) {
  for (int64_t row = r.r0; row < r.r1; row++) {
    const float* x = logits + row * r.d;
    float most = x[0];
    for (int i = 1; i < r.d; i++) most = x[i] > most ? x[i] : most;
    vf total = splat(0.f);
    over_columns(r.d, [&](int i, auto lanes) {
      vf e = exp(get(x + i, lanes) - most);
      for (int w = lanes; w < W; w++) e[w] = 0.f;
      total += e;
    });
    lse[row] = most + std::log(sum(total));
    loss[row] = is_class(target[row], r.d) ? lse[row] - x[target[row]] : std::nanf("");
  }
}
void cross_entropy_grad(const Rows& r, const float* logits, const int32_t* target, const float* lse, const float* gloss,
                        float* glogits) {
  for (int64_t row = r.r0; row < r.r1; row++) {
    const float *x = logits + row * r.d, g = gloss[row], l = lse[row];
    float* out = glogits + row * r.d;
    over_columns(r.d, [&](int i, auto lanes) { put(out + i, exp(get(x + i, lanes) - l) * g, lanes); });
    if (is_class(target[row], r.d)) out[target[row]] -= g;
  }
}

float exponentials(int64_t vectors) {
  constexpr int GROUP = 16;  // independent, as in the scan
  vf x[GROUP], total[GROUP];
  for (int j = 0; j < GROUP; j++) x[j] = splat(-0.1f * j), total[j] = splat(0.f);
  for (int64_t i = 0; i < vectors; i += GROUP)
#pragma GCC unroll 16
    for (int j = 0; j < GROUP; j++) total[j] += exp2(x[j] + total[j] * 1e-30f);
  float sum_all = 0;
  for (int j = 0; j < GROUP; j++) sum_all += sum(total[j]);
  return sum_all;
}

void adamw(const las::AdamW& a, int64_t i0, int64_t i1) {
  const float keep = 1.f - a.lr * a.weight_decay, rate = a.lr * a.bias_correction;
  for (int64_t i = i0; i < i1; i++) {
    const float g = a.g[i] * a.scale, m = a.b1 * a.m[i] + (1.f - a.b1) * g, v = a.b2 * a.v[i] + (1.f - a.b2) * g * g;
    a.m_out[i] = m;
    a.v_out[i] = v;
    a.p_out[i] = a.p[i] * keep - rate * m / (std::sqrt(v) + a.eps);
  }
}

}  // namespace LAS_ISA
