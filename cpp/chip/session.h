// One stream through a chip: the state, the last logits and the sampler's random numbers.
#pragma once
#include <atomic>
#include <chrono>
#include <optional>

#include "chip/model.h"
#include "chip/scalar.h"
#include "stream/sampler.h"

namespace las::chip {

class Session {
 public:
  // counting: keep what passed through every tensor. scalar: the plain step even where the fast one would do.
  Session(const Model& model, uint64_t seed, bool counting, bool scalar)
      : model_(model),
        random_(seed),
        state_(model.chip.config),
        logits_(VOCABULARY),
        scores_(VOCABULARY) {
    if (counting) ranges_.emplace(Ranges{std::vector<std::array<Range, STAGES>>(model.chip.config.layers), {}, {}});
    if (model.fast() && !counting && !scalar)
      place();
    else
      scalar_.emplace(model.chip);
  }

  const Model& model() const { return model_; }
  bool started() const { return started_; }
  bool fast() const { return !scalar_; }
  const int32_t* logits() const { return scalar_ ? logits_.data() : b_.logits; }
  const std::optional<Ranges>& ranges() const { return ranges_; }
  void seed(uint64_t seed) { random_ = stream::Random(seed); }

  void step(int byte) {
    if (scalar_)
      (*scalar_)(state_, byte, logits_.data(), ranges_ ? &*ranges_ : nullptr);
    else
      model_.step(model_.packed, b_, byte);
    started_ = true;
  }

  void scan(int layer) { model_.scan(model_.packed, b_, layer); }  // of the last step, once more: to be timed

  void reset() {
    state_.reset(model_.chip.config);
    set_state(state_);
    started_ = false;
  }

  State state() const {
    if (scalar_) return state_;
    State out = state_;
    const Config& c = model_.chip.config;
    copy([&](int32_t& from, int32_t& to) { to = from; }, [](uint32_t& from, uint32_t& to) { to = from; }, out, c);
    return out;
  }

  void set_state(const State& state) {
    state_ = state;
    started_ = false;
    if (scalar_) return;
    State from = state;
    copy([](int32_t& to, int32_t& value) { to = value; }, [](uint32_t& to, uint32_t& value) { to = value; }, from,
         model_.chip.config);
  }

  const float* scores() {  // the logits as the sampler takes them; their unit is set by `unit`
    for (int i = 0; i < VOCABULARY; i++) scores_[i] = float(logits()[i] * unit);
    return scores_.data();
  }

  double loss(int byte) { return stream::log_sum_exp(scores()) - scores_[byte]; }  // nats

  uint8_t next(stream::Sampler& sampler, uint32_t& nanoseconds) {
    const auto start = std::chrono::steady_clock::now();
    const int byte = sampler(scores(), random_);
    step(byte);
    const auto taken = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start);
    nanoseconds = uint32_t(std::min<int64_t>(taken.count(), UINT32_MAX));
    return uint8_t(byte);
  }

  double unit = 1;  // of a logit, nats

  std::atomic_flag in_use;  // see Busy

 private:
  void place() {
    const Packed& m = model_.packed;
    const Config& c = m.config;
    const size_t d = m.d_pad, e = m.e_pad, low = m.low_pad, L = c.layers;
    const size_t words = d + 5 * e + low + L * e * (c.k - 1) + L * e * c.n + L * e + VOCABULARY;
    arena_.emplace(4 * words + std::max(d, e) + round_up(c.rank, PAD) + 14 * 64);
    b_.u = arena_->take<int32_t>(d);
    b_.z = arena_->take<int32_t>(e);
    b_.s = arena_->take<int32_t>(e);
    b_.dt = arena_->take<int32_t>(e);
    b_.drive = arena_->take<int32_t>(e);
    b_.y = arena_->take<int32_t>(e);
    b_.q = arena_->take<int8_t>(std::max(d, e));
    b_.low = arena_->take<int8_t>(round_up(c.rank, PAD));
    b_.mixed = arena_->take<int32_t>(low);
    b_.tail = arena_->take<int32_t>(L * e * (c.k - 1));
    b_.h = arena_->take<int32_t>(L * e * c.n);
    b_.random = arena_->take<uint32_t>(L * e);
    b_.logits = arena_->take<int32_t>(VOCABULARY);
    set_state(state_);
  }

  // Visits every element of the state as (in the buffers, in `state`).
  template <class Int, class Bits>
  void copy(Int each, Bits each_random, State& state, const Config& c) const {
    const size_t e = model_.packed.e_pad, lanes = model_.lanes;
    for (int l = 0; l < c.layers; l++)
      for (int i = 0; i < c.e; i++) {
        for (int j = 0; j < c.k - 1; j++)
          each(b_.tail[(size_t(l) * (c.k - 1) + j) * e + i], state.tail[(size_t(l) * (c.k - 1) + j) * c.e + i]);
        for (int j = 0; j < c.n; j++)
          each(b_.h[size_t(l) * e * c.n + (i / lanes * c.n + j) * lanes + i % lanes],
               state.h[(size_t(l) * c.e + i) * c.n + j]);
        each_random(b_.random[size_t(l) * e + i], state.random[size_t(l) * c.e + i]);
      }
  }

  const Model& model_;
  stream::Random random_;
  std::optional<ScalarStep> scalar_;
  std::optional<Arena> arena_;
  std::optional<Ranges> ranges_;
  State state_;
  Buffers b_{};
  std::vector<int32_t> logits_;
  std::vector<float> scores_;
  bool started_ = false;
};

}  // namespace las::chip
