// A step in plain integers, for both number systems, with counters and with the analog part: lasmlx/chip/twin.py in C++.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "chip/chip.h"

namespace las::chip {

class ScalarStep {
 public:
  explicit ScalarStep(const Chip& chip) : chip_(chip), c_(chip.config) {
    const size_t d = c_.d, e = c_.e;
    u_.resize(d);
    q_.resize(std::max(d, e));
    sums_.resize(std::max({size_t(VOCABULARY), 2 * e, d, size_t(c_.rank + 2 * c_.n)}));
    z_.resize(e);
    s_.resize(e);
    y_.resize(e);
    mixed_.resize(c_.rank + 2 * c_.n);
    for (const char* name : {"in_proj", "x_proj", "dt_proj", "out_proj"})
      for (int l = 0; l < c_.layers; l++) crossbars_.push_back(find("layers." + std::to_string(l) + "." + name));
    crossbars_.push_back(find("head"));
  }

  // ranges: null, or where to count. logits: (256,).
  void operator()(State& state, int byte, int32_t* logits, Ranges* ranges) {
    for (int i = 0; i < c_.d; i++) u_[i] = int64_t(chip_.embedding[size_t(byte) * c_.d + i]) * (1 << c_.embedding_shift);
    for (int l = 0; l < c_.layers; l++) layer(l, state, ranges ? ranges->layers[l].data() : nullptr);
    norm(chip_.norm, ranges ? &ranges->norm : nullptr);
    product(chip_.head, crossbars_.back(), q_.data(), state);
    for (int i = 0; i < VOCABULARY; i++)
      logits[i] = int32_t(saturate(scale(sums_[i], chip_.head.scale, i), c_.lane, ranges ? &ranges->logits : nullptr));
  }

 private:
  static int64_t scale(int64_t v, const Scale& by, int i) {
    return (v * by.multiplier[i] + (int64_t(1) << (by.shift[i] - 1))) >> by.shift[i];
  }
  static int64_t saturate(int64_t v, int bits, Range* range) {
    const int64_t top = int64_t(1) << (bits - 1), kept = std::clamp(v, -top, top - 1);
    if (range) (*range)(v, kept != v);
    return kept;
  }
  int64_t sigmoid(int64_t v) const {
    const int piece = c_.fraction - 4;
    const int64_t a = std::min(std::abs(v), (int64_t(SIGMOID_REACH) << c_.fraction) - 1);
    const int64_t i = a >> piece, r = a & ((1 << piece) - 1);
    const int32_t* t = chip_.sigmoid.data() + i;
    const int64_t p = t[0] + ((t[1] - t[0]) * r >> piece);
    return v < 0 ? ONE - p : p;
  }
  int64_t silu(int64_t v) const { return (v * sigmoid(v) + ONE / 2) >> 16; }
  int64_t decay(uint32_t exponent) const {
    if (c_.euler) return exponent < ONE ? ONE - exponent : 0;
    const int32_t* t = chip_.exp2.data() + (exponent >> 10 & 63);
    const int64_t r = exponent & 1023;
    return (t[0] - ((t[0] - t[1]) * r >> 10)) >> std::min(exponent >> 16, 31u);
  }

  void norm(const Scale& by, Range* range) {  // u -> q
    uint64_t power = uint64_t(c_.eps);
    for (int64_t v : u_) power += uint64_t((v >> c_.norm_right) * (v >> c_.norm_right));
    const Rsqrt root = rsqrt(power, chip_.rsqrt.data());
    const int right = root.e + c_.norm_right + 16 - c_.norm_fraction;
    for (int i = 0; i < c_.d; i++) q_[i] = saturate(scale(u_[i] * root.p >> right, by, i), c_.activation, range);
  }

  // sums = weight x 2^exponent + bias
  void product(const Linear& m, const Crossbar* crossbar, const int64_t* x, State& state, int exponent = 0) {
    if (crossbar) {
      read(m, *crossbar, x, state);
    } else {
      for (int o = 0; o < m.out; o++) {
        const int32_t* w = m.weight.data() + size_t(o) * m.in;
        int64_t sum = 0;
        for (int i = 0; i < m.in; i++) sum += w[i] * x[i];
        sums_[o] = sum;
      }
    }
    for (int o = 0; o < m.out; o++) sums_[o] = sums_[o] * (int64_t(1) << exponent) + (m.bias.empty() ? 0 : m.bias[o]);
  }

  // x = activations, sums of them are to be multiplied with 2^exponent
  int block(int64_t* x, int count) const {
    int64_t largest = 0;
    for (int i = 0; i < count; i++) largest = std::max(largest, std::abs(x[i]));
    const int e = shared_exponent(uint64_t(largest), c_.activation);
    for (int i = 0; i < count; i++) x[i] = saturate((x[i] + (int64_t(1) << e >> 1)) >> e, c_.activation, nullptr);
    return e;
  }

  void read(const Linear& m, const Crossbar& array, const int64_t* x, State& state) {
    const int64_t drop = array.dac_drop, half = drop ? int64_t(1) << (drop - 1) : 0;
    const int64_t most = (127 >> drop) * (int64_t(1) << drop);
    in_.resize(m.in);
    uint64_t power = 0;
    for (int i = 0; i < m.in; i++) {
      in_[i] = std::min(((x[i] + half) >> drop) * (int64_t(1) << drop), most);
      power += uint64_t(in_[i] * in_[i]);
    }
    const int64_t spread = array.read_noise * int64_t(std::sqrt(double(power)));  // 1/65536
    const int64_t top = int64_t(1) << (array.adc_bits - 1);
    for (int o = 0; o < m.out; o++) {
      const int32_t* w = array.cell.data() + size_t(o) * m.in;
      int64_t sum = 0;
      for (int i = 0; i < m.in; i++) sum += w[i] * in_[i];
      if (spread) sum += spread * normal(state.noise) >> 24;  // a normal draw in 1/65536, the sum in 1/256
      const int64_t step = array.adc_step[o], twice = 2 * sum + step;
      const int64_t code = twice >= 0 ? twice / (2 * step) : -((-twice + 2 * step - 1) / (2 * step));
      sums_[o] = (std::clamp(code, -top, top - 1) * step + 128) >> 8;
    }
  }

  static int64_t normal(uint32_t& random) {  // twelve uniform draws less six, in 1/65536
    int64_t sum = -(int64_t(6) << 16);
    for (int i = 0; i < 12; i++) {
      random = xorshift(random);
      sum += random >> 16;
    }
    return sum;
  }

  void layer(int l, State& state, Range* ranges) {
    const Layer& m = chip_.layers[l];
    const auto at = [&](Stage stage) { return ranges ? ranges + stage : nullptr; };
    const auto crossbar = [&](int matrix) { return crossbars_[size_t(matrix) * c_.layers + l]; };
    const int e = c_.e, n = c_.n, rank = c_.rank;
    norm(m.norm, at(NORM));
    product(m.in_proj, crossbar(0), q_.data(), state);
    int32_t* tail = state.tail.data() + size_t(l) * (c_.k - 1) * e;
    for (int i = 0; i < e; i++) {
      z_[i] = saturate(scale(sums_[e + i], m.in_proj.scale, e + i), c_.lane, at(Z));
      const int64_t newest = saturate(scale(sums_[i], m.in_proj.scale, i), c_.activation, at(CONV));
      s_[i] = convolve(m.conv, tail + i, newest, i, at(V));
      q_[i] = saturate(scale(s_[i], m.x, i), c_.activation, at(X));
    }
    product(m.x_proj, crossbar(1), q_.data(), state);
    for (int i = 0; i < rank + 2 * n; i++) {
      const bool low = i < rank;
      mixed_[i] = saturate(scale(sums_[i], m.x_proj.scale, i), low ? c_.lane : c_.mix,
                           at(low ? LOW : i < rank + n ? B : C));
    }
    const int low_exponent = block(mixed_.data(), rank);
    product(m.dt_proj, crossbar(2), mixed_.data(), state, low_exponent);
    for (int i = 0; i < e; i++) {
      const int64_t p = saturate(scale(sums_[i], m.dt_proj.scale, i), c_.lane, at(P));
      const uint32_t dt = uint32_t(c_.dt_min + (c_.dt_range * sigmoid(p) >> 16));
      const int64_t drive = saturate(scale(dt * s_[i], m.drive, i), c_.drive, at(DRIVE));
      const int64_t read = scan(m, l, i, dt, drive, state, at(H));
      y_[i] = saturate(scale(read, m.read, i) + scale(s_[i], m.skip, i), c_.lane, at(Y));
      q_[i] = saturate(scale(y_[i] * silu(z_[i]), m.gate, i), c_.lane, at(GATE));
    }
    const int exponent = block(q_.data(), e);
    product(m.out_proj, crossbar(3), q_.data(), state, exponent);
    for (int i = 0; i < c_.d; i++) u_[i] = saturate(u_[i] + scale(sums_[i], m.out_proj.scale, i), c_.lane, at(U));
  }

  int64_t convolve(const Linear& m, int32_t* tail, int64_t newest, int i, Range* range) const {
    const int last = c_.k - 1;
    const int32_t* w = m.weight.data() + size_t(i) * c_.k;
    int64_t sum = m.bias[i] + w[last] * newest;
    for (int j = 0; j < last; j++) {
      sum += int64_t(w[j]) * tail[size_t(j) * c_.e];
      tail[size_t(j) * c_.e] = j + 1 < last ? tail[size_t(j + 1) * c_.e] : int32_t(newest);
    }
    return silu(saturate(scale(sum, m.scale, i), c_.lane, range));
  }

  int64_t scan(const Layer& m, int l, int i, uint32_t dt, int64_t drive, State& state, Range* range) const {
    const size_t channel = size_t(l) * c_.e + i;
    const int32_t* A = m.A.data() + size_t(i) * c_.n;
    const int64_t *B = mixed_.data() + c_.rank, *C = B + c_.n;
    int32_t* h = state.h.data() + channel * c_.n;
    int64_t sum = 0;
    for (int j = 0; j < c_.n; j++) {
      const int64_t kept = decay(dt * uint32_t(A[j]) >> c_.decay_shift);
      const int64_t fed = drive * B[j] * (int64_t(1) << c_.drive_left) >> c_.drive_right;
      int64_t v = h[j];
      for (int step = 0; step < c_.substeps; step++)
        v = keep(((kept * v + ONE / 2) >> 16) + fed, state.random[channel], range);
      h[j] = int32_t(v);
      sum += (v >> c_.read_right) * C[j];
    }
    return sum;
  }

  int64_t keep(int64_t h, uint32_t& random, Range* range) const {  // rounds the low bits off, keeps the range
    const int drop = c_.state - c_.state_bits;
    const int64_t top = int64_t(1) << (c_.state - 1);
    if (drop && c_.stochastic) {
      random = xorshift(random);
      h += random >> (32 - drop);
    } else if (drop) {
      h += int64_t(1) << (drop - 1);
    }
    h = h >> drop << drop;
    const int64_t kept = std::clamp(h, -top, top - (int64_t(1) << drop));
    if (range) (*range)(h, kept != h);
    return kept;
  }

  const Crossbar* find(const std::string& name) const {
    const auto found = chip_.crossbars.find(name);
    return found == chip_.crossbars.end() ? nullptr : &found->second;
  }

  const Chip& chip_;
  const Config& c_;
  std::vector<const Crossbar*> crossbars_;  // [in_proj, x_proj, dt_proj, out_proj][layers], then the head's
  std::vector<int64_t> u_, q_, sums_, z_, s_, y_, mixed_, in_;
};

}  // namespace las::chip
