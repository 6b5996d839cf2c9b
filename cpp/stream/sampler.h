// Choosing the next byte from 256 logits; the same seed gives the same bytes however they are asked for.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>

#include "stream/weights.h"

namespace las::stream {

class Random {  // xoshiro256++ (Blackman and Vigna), its state filled by splitmix64
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) {
      uint64_t z = seed += 0x9e3779b97f4a7c15;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      word = z ^ (z >> 31);
    }
  }
  double uniform() {  // [0, 1), 53 bits
    auto& s = state_;
    const uint64_t sum = s[0] + s[3], result = ((sum << 23) | (sum >> 41)) + s[0], shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return double(result >> 11) * 0x1p-53;
  }

 private:
  std::array<uint64_t, 4> state_;
};

inline int argmax(const float* logits) { return int(std::max_element(logits, logits + VOCABULARY) - logits); }

inline double log_sum_exp(const float* logits) {
  const float top = *std::max_element(logits, logits + VOCABULARY);
  double sum = 0;
  for (int i = 0; i < VOCABULARY; i++) sum += std::exp(logits[i] - top);
  return top + std::log(sum);
}

class Sampler {
 public:
  double temperature = 1;  // 0: the most likely byte
  int top_k = 0;           // 0: all

  int operator()(const float* logits, Random& random) {
    for (int i = 0; i < VOCABULARY; i++)
      if (!std::isfinite(logits[i])) throw std::runtime_error("stream: the model's output is not finite.");
    if (temperature == 0 || top_k == 1) return argmax(logits);
    const float top = *std::max_element(logits, logits + VOCABULARY);
    const float inverse = float(std::min(1 / temperature, 1e30));  // finite, so that 0 times it is 0
    for (int i = 0; i < VOCABULARY; i++) weight_[i] = std::exp((logits[i] - top) * inverse);
    if (top_k > 0 && top_k < VOCABULARY) drop_all_but_top(logits);
    double total = 0;
    for (float w : weight_) total += w;
    double left = random.uniform() * total;
    int chosen = 0;
    for (int i = 0; i < VOCABULARY; i++) {
      if (weight_[i] == 0) continue;
      chosen = i;
      if ((left -= weight_[i]) < 0) break;
    }
    return chosen;
  }

 private:
  void drop_all_but_top(const float* logits) {
    for (int i = 0; i < VOCABULARY; i++) order_[i] = uint8_t(i);
    std::nth_element(order_.begin(), order_.begin() + top_k, order_.end(), [&](uint8_t a, uint8_t b) {
      return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    });
    for (int i = top_k; i < VOCABULARY; i++) weight_[order_[i]] = 0;
  }

  std::array<float, VOCABULARY> weight_;
  std::array<uint8_t, VOCABULARY> order_;
};

}  // namespace las::stream
