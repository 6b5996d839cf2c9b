#include "chip/model.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace las::chip {
namespace {

class Reader {
 public:
  explicit Reader(const Tensors& tensors) : tensors_(tensors) {}

  template <class T>
  std::vector<T> values(const std::string& name, const std::vector<int64_t>& shape) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw std::invalid_argument("chip: array '" + name + "' is missing.");
    if (found->second.shape != shape) throw std::invalid_argument("chip: " + name + " has another shape than its sizes say.");
    int64_t count = 1;
    for (int64_t size : shape) count *= size;
    return std::vector<T>(found->second.data, found->second.data + count);
  }

  Scale scale(const std::string& name, int size) const {
    Scale s{values<int32_t>(name + ".multiplier", {size}), values<int32_t>(name + ".shift", {size})};
    for (int32_t shift : s.shift)
      if (shift < 1 || shift > 46)
        throw std::invalid_argument("chip: " + name + ".shift holds " + std::to_string(shift) + ", expected 1 to 46.");
    return s;
  }

  Linear linear(const std::string& name, int out, int in, bool bias = false) const {
    Linear m;
    m.out = out;
    m.in = in;
    m.weight = values<int32_t>(name + ".weight", {out, in});
    if (bias) m.bias = values<int64_t>(name + ".bias", {out});
    m.scale = scale(name, out);
    return m;
  }

 private:
  const Tensors& tensors_;
};

Chip read(const Config& c, const Tensors& tensors) {
  const Reader from(tensors);
  Chip chip;
  chip.config = c;
  chip.embedding = from.values<int32_t>("embedding", {VOCABULARY, c.d});
  for (int l = 0; l < c.layers; l++) {
    const std::string at = "layers." + std::to_string(l) + ".";
    Layer m;
    m.norm = from.scale(at + "norm", c.d);
    m.in_proj = from.linear(at + "in_proj", 2 * c.e, c.d);
    m.conv = from.linear(at + "conv", c.e, c.k, true);
    m.x_proj = from.linear(at + "x_proj", c.rank + 2 * c.n, c.e);
    m.dt_proj = from.linear(at + "dt_proj", c.e, c.rank, true);
    m.out_proj = from.linear(at + "out_proj", c.d, c.e);
    m.x = from.scale(at + "x", c.e);
    m.drive = from.scale(at + "drive", c.e);
    m.read = from.scale(at + "read", c.e);
    m.skip = from.scale(at + "skip", c.e);
    m.gate = from.scale(at + "gate", c.e);
    m.A = from.values<int32_t>(at + "A", {c.e, c.n});
    chip.layers.push_back(std::move(m));
  }
  chip.norm = from.scale("norm", c.d);
  chip.head = from.linear("head", VOCABULARY, c.d);
  chip.sigmoid = from.values<int32_t>("tables.sigmoid", {257});
  chip.exp2 = from.values<int32_t>("tables.exp2", {65});
  chip.rsqrt = from.values<int32_t>("tables.rsqrt", {193});
  return chip;
}

class Packer {
 public:
  Packer(const Config& c, Arena& arena, int lanes)
      : c_(c), arena_(arena), lanes_(lanes), d_(round_up(c.d, PAD)), e_(round_up(c.e, PAD)) {}

  // `parts` stacked outputs, each padded by itself: in_proj's x and z both start on a register.
  PackedLinear linear(const Linear& m, int in, int parts = 1) {
    const int rows = m.out / parts, padded = round_up(rows, PAD), out = padded * parts;
    int8_t* weight = arena_.take<int8_t>(size_t(in) * out);
    int32_t* row_sum = arena_.take<int32_t>(out);
    int32_t* bias = arena_.take<int32_t>(out);
    for (int r = 0; r < m.out; r++) {
      const int row = r / rows * padded + r % rows;
      if (!m.bias.empty()) bias[row] = int32_t(m.bias[r]);
      for (int i = 0; i < m.in; i++) {
        const int8_t w = int8_t(m.weight[size_t(r) * m.in + i]);
        row_sum[row] += w;
        weight[place_in_panels(out, in, lanes_, row, i, 4)] = w;
      }
    }
    return {in, out, weight, row_sum, bias, gain(m.scale, parts)};
  }

  Gain gain(const Scale& s, int parts = 1) {
    const int size = int(s.shift.size()), rows = size / parts, padded = round_up(rows, PAD);
    double* gain = arena_.take<double>(size_t(padded) * parts);
    double* half = arena_.take<double>(size_t(padded) * parts);
    for (int r = 0; r < size; r++) {
      const int row = r / rows * padded + r % rows;
      gain[row] = std::ldexp(double(s.multiplier[r]), -s.shift[r]);
      half[row] = std::ldexp(0.5, -s.shift[r]);
    }
    return {gain, half};
  }

  const int32_t* taps(const std::vector<int32_t>& w) {  // (e, k) -> (k, padded e)
    int32_t* out = arena_.take<int32_t>(size_t(c_.k) * e_);
    for (int i = 0; i < c_.e; i++)
      for (int j = 0; j < c_.k; j++) out[size_t(j) * e_ + i] = w[size_t(i) * c_.k + j];
    return out;
  }

  template <class T, class S>
  const T* vector(const std::vector<S>& values, size_t padded) {
    T* out = arena_.take<T>(padded);
    std::copy(values.begin(), values.end(), out);
    return out;
  }

  const uint16_t* rates(const std::vector<int32_t>& A) {  // (e, n) -> [e / W][n][W]
    uint16_t* out = arena_.take<uint16_t>(size_t(e_) * c_.n);
    for (int i = 0; i < c_.e; i++)
      for (int j = 0; j < c_.n; j++)
        out[(size_t(i / lanes_) * c_.n + j) * lanes_ + i % lanes_] = uint16_t(A[size_t(i) * c_.n + j]);
    return out;
  }

  const int16_t* embedding(const std::vector<int32_t>& table) {
    int16_t* out = arena_.take<int16_t>(size_t(VOCABULARY) * d_);
    for (int v = 0; v < VOCABULARY; v++)
      for (int i = 0; i < c_.d; i++)
        out[size_t(v) * d_ + i] = int16_t(table[size_t(v) * c_.d + i] * (1 << c_.embedding_shift));
    return out;
  }

  const int32_t* pieces(const std::vector<int32_t>& table) {
    int32_t* out = arena_.take<int32_t>(table.size());
    for (size_t i = 0; i + 1 < table.size(); i++)
      out[i] = int32_t(uint32_t(table[i]) << 15 | uint32_t(std::abs(table[i + 1] - table[i])));
    return out;
  }

 private:
  const Config& c_;
  Arena& arena_;
  const int lanes_, d_, e_;
};

size_t arena_bytes(const Config& c) {  // an upper bound: two padded doubles and three integers a row, whatever it is for
  const size_t d = round_up(c.d, PAD), e = round_up(c.e, PAD), low = round_up(c.rank + 2 * c.n, PAD);
  const size_t rank = round_up(c.rank, PAD), rows = 2 * e + low + e + d;
  const size_t matrices = 2 * e * d + low * e + e * rank + d * e;
  const size_t layer = matrices + 24 * rows + 16 * (d + 6 * e) + e * (4 * size_t(c.k) + 4 + 2 * size_t(c.n)) + 64 * 64;
  return layer * c.layers + sizeof(PackedLayer) * c.layers + 256 * (d * 3 + 24) + 16 * d + 4 * 520 + 64 * 64;
}

}  // namespace

Model::Model(const Config& config, const Tensors& tensors, const std::string& name)
    : chip(read(config, tensors)),
      isa(name.empty() ? default_isa() : find_isa(name)),
      lanes(isa == Isa::avx512 ? 16 : isa == Isa::avx2 ? 8 : 4) {
  if (!config.wide) pack();
}

void Model::add_crossbar(const std::string& matrix, Crossbar crossbar) { chip.crossbars[matrix] = std::move(crossbar); }

void Model::pack() {
  const Config& c = chip.config;
  arena_ = std::make_unique<Arena>(arena_bytes(c));
  Packer pack(c, *arena_, lanes);
  Packed& m = packed;
  m.config = c;
  m.d_pad = round_up(c.d, PAD);
  m.e_pad = round_up(c.e, PAD);
  m.low_pad = round_up(c.rank + 2 * c.n, PAD);
  PackedLayer* layers = arena_->take<PackedLayer>(c.layers);
  m.layers = layers;
  m.embedding = pack.embedding(chip.embedding);
  for (int l = 0; l < c.layers; l++) {
    const Layer& from = chip.layers[l];
    PackedLayer& to = layers[l];
    to.norm = pack.gain(from.norm);
    to.in_proj = pack.linear(from.in_proj, m.d_pad, 2);
    to.conv = pack.taps(from.conv.weight);
    to.conv_bias = pack.vector<int32_t>(from.conv.bias, m.e_pad);
    to.conv_scale = pack.gain(from.conv.scale);
    to.x = pack.gain(from.x);
    to.x_proj = pack.linear(from.x_proj, m.e_pad);
    to.dt_proj = pack.linear(from.dt_proj, round_up(c.rank, PAD));
    to.drive = pack.gain(from.drive);
    to.A = pack.rates(from.A);
    to.read = pack.gain(from.read);
    to.skip = pack.gain(from.skip);
    to.gate = pack.gain(from.gate);
    to.out_proj = pack.linear(from.out_proj, m.e_pad);
  }
  m.norm = pack.gain(chip.norm);
  m.head = pack.linear(chip.head, m.d_pad);
  m.sigmoid = pack.pieces(chip.sigmoid);
  m.exp2 = pack.pieces(chip.exp2);
  m.rsqrt = pack.vector<int32_t>(chip.rsqrt, chip.rsqrt.size());
  step = baseline::chip_step;
  scan = baseline::chip_scan;
#if defined(__x86_64__)
  if (isa == Isa::avx2) step = avx2::chip_step, scan = avx2::chip_scan;
  if (isa == Isa::avx512) step = avx512::chip_step, scan = avx512::chip_scan;
#endif
}

}  // namespace las::chip
