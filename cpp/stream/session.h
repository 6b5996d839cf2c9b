// One stream through a model: the state, the last logits and the random numbers. Nothing is allocated after construction.
#pragma once
#include <atomic>
#include <chrono>
#include <utility>

#include "stream/model.h"
#include "stream/sampler.h"

namespace las::stream {

class Session {
 public:
  Session(const Model& model, uint64_t seed) : model_(model), random_(seed), arena_(arena_bytes(model.weights)) {
    const Weights& m = model.weights;
    const int d = m.d_pad, e = m.e_pad;
    b_.u = arena_.take<float>(d);
    b_.normed = arena_.take<float>(d);
    b_.xz = arena_.take<float>(2 * e);
    b_.x = arena_.take<float>(e);
    b_.low = arena_.take<float>(round_up(m.rank + 2 * m.n, PAD));
    b_.y = arena_.take<float>(e);
    b_.quantised = arena_.take<int8_t>(std::max(d, e));
    b_.dt = arena_.take<float>(size_t(m.layers) * e);
    b_.tail = arena_.take<float>(tail_size());
    b_.h = arena_.take<float>(h_size());
    b_.logits = arena_.take<float>(VOCABULARY);
  }

  const Model& model() const { return model_; }
  const float* logits() const { return b_.logits; }
  const float* dt(int layer) const { return b_.dt + size_t(layer) * model_.weights.e_pad; }
  bool started() const { return started_; }
  void seed(uint64_t seed) { random_ = Random(seed); }

  void reset() {
    std::fill_n(b_.tail, tail_size(), 0.f);
    std::fill_n(b_.h, h_size(), 0.f);
    started_ = false;
  }

  void step(int byte) {
    model_.step(model_.weights, b_, byte);
    started_ = true;
  }

  double loss(int byte) const { return log_sum_exp(b_.logits) - b_.logits[byte]; }  // nats

  uint8_t next(Sampler& sampler, uint32_t& nanoseconds) {
    const auto start = std::chrono::steady_clock::now();
    const int byte = sampler(b_.logits, random_);
    step(byte);
    const auto taken = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start);
    nanoseconds = uint32_t(std::min<int64_t>(taken.count(), UINT32_MAX));
    return uint8_t(byte);
  }

  float* tail(int layer, int tap) {  // (e,)
    const Weights& m = model_.weights;
    return b_.tail + (size_t(layer) * (m.k - 1) + tap) * m.e_pad;
  }
  float& h(int layer, int channel, int state) {
    const Weights& m = model_.weights;
    const int lanes = model_.lanes;
    return b_.h[size_t(layer) * m.e_pad * m.n + (size_t(channel / lanes) * m.n + state) * lanes + channel % lanes];
  }
  void forget_logits() { started_ = false; }

  std::atomic_flag in_use;  // see Busy

 private:
  size_t tail_size() const { return size_t(model_.weights.layers) * (model_.weights.k - 1) * model_.weights.e_pad; }
  size_t h_size() const { return size_t(model_.weights.layers) * model_.weights.n * model_.weights.e_pad; }
  static size_t arena_bytes(const Weights& m) {
    const size_t vectors = 2 * size_t(m.d_pad) + (4 + size_t(m.layers) * (m.k + m.n)) * m.e_pad + m.rank + 2 * m.n + PAD;
    return 4 * (vectors + VOCABULARY) + std::max(m.d_pad, m.e_pad) + 12 * 64;
  }

  const Model& model_;
  Random random_;
  Arena arena_;
  Buffers b_{};
  bool started_ = false;
};

}  // namespace las::stream
