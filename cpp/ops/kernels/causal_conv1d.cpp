// y_t = act(bias + sum_j weight_j x_{t-k+1+j}), depthwise; the k - 1 inputs before the first come from `tail`.
// A strip of channels walks through time in tiles that keep the last k - 1 rows of the tile before.
#include "ops/kernels/tile.h"

namespace LAS_ISA {
namespace {

using las::ConvBackward;
using las::ConvForward;

constexpr int STRIP = 64;  // channels: a multiple of every W, 256 bytes of float32
constexpr int STEPS = 64;  // time steps a tile

thread_local Scratch scratch;

struct Strip {
  int d0, count;
  float *weight, *bias;  // (k, STRIP), (STRIP,)
};

Strip make_strip(const ConvForward& a, int d0, int d1) {
  Strip s{d0, std::min(STRIP, d1 - d0), scratch.take(static_cast<size_t>(a.k) * STRIP), scratch.take(STRIP)};
  std::fill(s.weight, s.weight + a.k * STRIP, 0.f);
  std::fill(s.bias, s.bias + STRIP, 0.f);
  for (int c = 0; c < s.count; c++) {
    s.bias[c] = a.bias[d0 + c];
    for (int j = 0; j < a.k; j++) s.weight[j * STRIP + c] = a.weight[static_cast<size_t>(d0 + c) * a.k + j];
  }
  return s;
}

inline vf convolve(const float* x, const Strip& s, int k, int c) {  // x: the oldest of the k rows
  vf v = load(s.bias + c);
  for (int j = 0; j < k; j++) v += load(x + j * STRIP + c) * load(s.weight + j * STRIP + c);
  return v;
}

}  // namespace

void conv_forward(const ConvForward& a, int row, int begin, int end) {
  const int past = a.k - 1;
  for (int d0 = begin; d0 < end; d0 += STRIP) {
    scratch.reserve((2 * a.k + 1 + 2 * STEPS) * STRIP);
    const Strip s = make_strip(a, d0, end);
    float *x = scratch.take(static_cast<size_t>(past + STEPS) * STRIP), *y = scratch.take(STEPS * STRIP);
    load_tile(a.tail, row, 0, past, d0, s.count, STRIP, x);
    for (int t0 = 0; t0 < a.t; t0 += STEPS) {
      const int t = std::min(STEPS, a.t - t0);
      load_tile(a.x, row, t0, t, d0, s.count, STRIP, x + past * STRIP);
      for (int i = 0; i < t; i++)
        for (int c = 0; c < s.count; c += W) {
          const vf v = convolve(x + i * STRIP, s, a.k, c);
          store(y + i * STRIP + c, a.silu ? v * sigmoid(v) : v);
        }
      store_tile(a.y, row, t0, t, d0, s.count, STRIP, y);
      std::memmove(x, x + t * STRIP, static_cast<size_t>(past) * STRIP * sizeof(float));
    }
    store_tile(a.new_tail, row, 0, past, d0, s.count, STRIP, x);
  }
}

void conv_backward(const ConvBackward& a, int row, int begin, int end) {
  const ConvForward& f = a.f;
  const int k = f.k, past = k - 1;
  for (int d0 = begin; d0 < end; d0 += STRIP) {
    const size_t rows = past + std::max(past, STEPS);  // the flush at the end works on past rows at once
    scratch.reserve((2 * (k + 1) + 3 * rows) * STRIP);
    const Strip s = make_strip(f, d0, end);
    float *gweight = scratch.take(static_cast<size_t>(k) * STRIP), *gbias = scratch.take(STRIP),
          *x = scratch.take(rows * STRIP),  // past + t inputs
          *g = scratch.take(rows * STRIP),  // past + t gradients of the sum before act
          *gx = scratch.take(rows * STRIP);
    std::fill(gweight, gweight + k * STRIP, 0.f);
    std::fill(gbias, gbias + STRIP, 0.f);
    std::fill(g, g + past * STRIP, 0.f);
    load_tile(f.tail, row, 0, past, d0, s.count, STRIP, x);
    // Input r = -past .. t - 1 receives sum_j weight_j g_{r+past-j}: complete once g reaches r + past.
    const auto input_gradient = [&](int i, int c) {
      vf v = splat(0.f);
      for (int j = 0; j < k; j++) v += load(s.weight + j * STRIP + c) * load(g + (i + past - j) * STRIP + c);
      return v;
    };
    const auto emit = [&](int r0, int rows) {  // gx rows of inputs r0 .. r0 + rows - 1, some of them in the tail
      const int in_tail = std::clamp(-r0, 0, rows);
      store_tile(a.gtail, row, r0 + past, in_tail, d0, s.count, STRIP, gx);
      store_tile(a.gx, row, std::max(r0, 0), rows - in_tail, d0, s.count, STRIP, gx + in_tail * STRIP);
    };
    for (int t0 = 0; t0 < f.t; t0 += STEPS) {
      const int t = std::min(STEPS, f.t - t0);
      load_tile(f.x, row, t0, t, d0, s.count, STRIP, x + past * STRIP);
      load_tile(a.gy, row, t0, t, d0, s.count, STRIP, g + past * STRIP);
      for (int c = 0; c < s.count; c += W) {
        vf sum_bias = load(gbias + c);
        for (int i = 0; i < t; i++) {
          float* gi = g + (past + i) * STRIP + c;
          vf v = load(gi);
          if (f.silu) {
            const vf pre = convolve(x + i * STRIP, s, k, c), sg = sigmoid(pre);
            v *= sg * (1.f + pre * (1.f - sg));
            store(gi, v);
          }
          sum_bias += v;
        }
        store(gbias + c, sum_bias);
        for (int j = 0; j < k; j++) {
          vf sum_weight = load(gweight + j * STRIP + c);
          for (int i = 0; i < t; i++) sum_weight += load(g + (past + i) * STRIP + c) * load(x + (i + j) * STRIP + c);
          store(gweight + j * STRIP + c, sum_weight);
        }
        for (int i = 0; i < t; i++) store(gx + i * STRIP + c, input_gradient(i, c));
      }
      emit(t0 - past, t);
      std::memmove(x, x + t * STRIP, static_cast<size_t>(past) * STRIP * sizeof(float));
      std::memmove(g, g + t * STRIP, static_cast<size_t>(past) * STRIP * sizeof(float));
    }
    std::fill(g + past * STRIP, g + 2 * past * STRIP, 0.f);  // no outputs follow: flush the last k - 1 inputs
    load_tile(a.gnew_tail, row, 0, past, d0, s.count, STRIP, x);
    for (int i = 0; i < past; i++)
      for (int c = 0; c < s.count; c += W) store(gx + i * STRIP + c, input_gradient(i, c) + load(x + i * STRIP + c));
    emit(f.t - past, past);
    for (int c = 0; c < s.count; c++) {
      const size_t channel = static_cast<size_t>(row) * f.d + d0 + c;
      a.gbias[channel] = gbias[c];
      for (int j = 0; j < k; j++) a.gweight[channel * k + j] = gweight[j * STRIP + c];
    }
  }
}

}  // namespace LAS_ISA
