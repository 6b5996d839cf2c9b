// A chip's integers as they come from a chip directory: checked, copied once, never changed; sessions share them.
// Letters: d width, e inner channels, n states, k convolution taps, r rank of dt. docs/chip.md says what each integer means.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace las::chip {

constexpr int VOCABULARY = 256, ONE = 1 << 16, SIGMOID_REACH = 16;

struct Config {
  bool wide = false;   // q16, else int8
  bool euler = false;  // decay = 1 - exponent, else 2^-exponent
  bool stochastic = false;
  int d = 0, layers = 0, e = 0, n = 0, k = 0, rank = 0;
  int substeps = 1, state_bits = 0, dt_min = 0, dt_range = 0, decay_shift = 0, embedding_shift = 0;
  int64_t eps = 1;
  uint32_t seed = 0;
  // The number system: see lasmlx/chip/number_system.py.
  int activation = 0, lane = 0, fraction = 0, mix = 0, drive = 0, state = 0;
  int drive_left = 0, drive_right = 0, read_right = 0, norm_right = 0, norm_fraction = 0;
};

struct Scale {  // floor(v m / 2^s + 1/2), a channel each
  std::vector<int32_t> multiplier;
  std::vector<int32_t> shift;
};

struct Linear {
  int out = 0, in = 0;
  std::vector<int32_t> weight;  // (out, in)
  std::vector<int64_t> bias;    // (out,) or empty
  Scale scale;
};

struct Layer {
  Linear in_proj, conv, x_proj, dt_proj, out_proj;  // conv: (e, k), newest input last
  Scale norm, x, drive, read, skip, gate;
  std::vector<int32_t> A;  // (e, n)
};

// How an analog array multiplies: cells that are not quite the weights, converters with few bits.
struct Crossbar {
  std::vector<int32_t> cell;  // (out, in), in 1/256 of a weight's one
  int dac_drop = 0;           // bits of an input that the DAC does not have
  int adc_bits = 0;
  std::vector<int64_t> adc_step;  // (out,) one of the ADC's, in 1/256
  int64_t read_noise = 0;         // standard deviation of a cell's reading, in 1/65536 of a weight's one
};

struct Chip {
  Config config;
  std::vector<int32_t> embedding;  // (256, d)
  std::vector<Layer> layers;
  Scale norm;
  Linear head;
  std::vector<int32_t> sigmoid, exp2, rsqrt;
  std::map<std::string, Crossbar> crossbars;  // by the matrix they stand for: "layers.0.in_proj"; none: a digital chip
};

// What passed through one tensor of the chip.
struct Range {
  uint64_t count = 0, saturated = 0;
  int64_t low = INT64_MAX, high = INT64_MIN;  // before saturation

  void operator()(int64_t v, bool clipped) {
    count++;
    saturated += clipped;
    low = v < low ? v : low;
    high = v > high ? v : high;
  }
};

enum Stage { NORM, CONV, Z, V, X, LOW, B, C, P, DRIVE, H, Y, GATE, U, STAGES };
constexpr const char* STAGE_NAMES[STAGES] = {"norm", "conv", "z", "v", "x", "low", "B", "C", "p", "drive", "h", "y",
                                               "gate", "u"};

struct Ranges {  // a layer each, then that of the last norm and of the logits
  std::vector<std::array<Range, STAGES>> layers;
  Range norm, logits;
};

// What a session keeps between two bytes, as the Python twin lays it out.
struct State {
  std::vector<int32_t> tail;     // (layers, k - 1, e), oldest first
  std::vector<int32_t> h;        // (layers, e, n)
  std::vector<uint32_t> random;  // (layers, e)
  uint32_t noise = 1;            // of the analog part's reading

  explicit State(const Config& c)
      : tail(size_t(c.layers) * (c.k - 1) * c.e),
        h(size_t(c.layers) * c.e * c.n),
        random(size_t(c.layers) * c.e) {
    reset(c);
  }
  void reset(const Config& c) {
    tail.assign(tail.size(), 0);
    h.assign(h.size(), 0);
    for (size_t i = 0; i < random.size(); i++) {
      const uint32_t seed = uint32_t(i + 1) * 0x9E3779B9u ^ c.seed;
      random[i] = seed ? seed : 1;
    }
    noise = c.seed * 0x85EBCA6Bu | 1;
  }
};

inline uint32_t xorshift(uint32_t x) {  // Marsaglia 2003
  x ^= x << 13;
  x ^= x >> 17;
  return x ^ x << 5;
}

inline int bit_length(uint64_t v) { return v ? 64 - __builtin_clzll(v) : 0; }

// Lanes as activations of `bits` with one shared exponent: the least that the largest magnitude allows.
inline int shared_exponent(uint64_t largest, int bits) { return std::max(0, bit_length(largest) - (bits - 1)); }

// 2^16 2^e / sqrt(power) for 4^e <= power < 4^(e + 1).
struct Rsqrt {
  int32_t p;
  int e;
};
inline Rsqrt rsqrt(uint64_t power, const int32_t* table) {
  const int e = (bit_length(power) - 1) / 2;
  const uint64_t m = e <= 15 ? power << (30 - 2 * e) : power >> (2 * e - 30);  // 2^30 .. 2^32
  const int i = int(m >> 24) - 64, r = int(m >> 8 & 0xFFFF);
  return {table[i] - int32_t(int64_t(table[i] - table[i + 1]) * r >> 16), e};
}

}  // namespace las::chip
