#include "stream/model.h"

#include <cmath>
#include <functional>

namespace las::stream {
namespace {

std::string text(const std::vector<int64_t>& shape) {
  std::string s = "(";
  for (size_t i = 0; i < shape.size(); i++) s += (i ? ", " : "") + std::to_string(shape[i]);
  return s + (shape.size() == 1 ? ",)" : ")");
}

const Tensor& find(const Tensors& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw std::invalid_argument("stream: the weights have no '" + name + "'.");
  return found->second;
}

int64_t size_of(const Tensors& tensors, const std::string& name, size_t axis, size_t axes) {
  const Tensor& t = find(tensors, name);
  if (t.shape.size() != axes)
    throw std::invalid_argument("stream: " + name + " has shape " + text(t.shape) + ", expected " + std::to_string(axes) +
                                " axes.");
  if (t.shape[axis] < 1 || t.shape[axis] > 1 << 16)
    throw std::invalid_argument("stream: " + name + " has shape " + text(t.shape) + ", expected sizes from 1 to 65536.");
  return t.shape[axis];
}

Weights measure(const Tensors& tensors, const Options& options) {
  Weights m{};
  while (tensors.count("blocks." + std::to_string(m.layers) + ".norm.weight")) m.layers++;
  if (!m.layers)
    throw std::invalid_argument("stream: the weights have no 'blocks.0.norm.weight'; a model has at least one layer.");
  m.d = size_of(tensors, "table", 1, 2);
  m.e = size_of(tensors, "blocks.0.mixer.conv.weight", 0, 2);
  m.k = size_of(tensors, "blocks.0.mixer.conv.weight", 1, 2);
  m.n = size_of(tensors, "blocks.0.mixer.A_log", 1, 2);
  m.rank = size_of(tensors, "blocks.0.mixer.dt_proj.weight", 1, 2);
  m.d_pad = round_up(m.d, PAD);
  m.e_pad = round_up(m.e, PAD);
  m.bounded = options.bounded;
  m.dt_min = options.dt_min;
  m.dt_range = options.dt_max - options.dt_min;
  m.inverse_substeps = std::isinf(options.substeps) ? 0 : 1 / options.substeps;
  return m;
}

size_t linear_bytes(int in, int out, bool int8) {
  return Arena::padded(size_t(in) * out * (int8 ? 1 : 4)) + 2 * Arena::padded(size_t(out) * 4);
}

size_t arena_bytes(const Weights& m, bool int8) {
  const int low = round_up(m.rank + 2 * m.n, PAD);
  const size_t layer = Arena::padded(sizeof(Layer)) + linear_bytes(m.d_pad, 2 * m.e_pad, int8) +
                       linear_bytes(m.e_pad, low, int8) + linear_bytes(round_up(m.rank, 4), m.e_pad, false) +
                       linear_bytes(m.e_pad, m.d_pad, int8) + 4 * size_t(m.d_pad + (m.k + 3 + 2 * m.n) * m.e_pad);
  return m.layers * layer + linear_bytes(m.d_pad, VOCABULARY, int8) + 4 * size_t(VOCABULARY + 1) * m.d_pad + 64;
}

class Packer {
 public:
  Packer(const Tensors& tensors, Arena& arena, int lanes, bool int8)
      : tensors_(tensors), arena_(arena), lanes_(lanes), int8_(int8) {}

  const float* checked(const std::string& name, const std::vector<int64_t>& shape) {
    const Tensor& t = find(tensors_, name);
    if (t.shape != shape)
      throw std::invalid_argument("stream: " + name + " has shape " + text(t.shape) + ", expected " + text(shape) + ".");
    size_t count = 1;
    for (int64_t size : shape) count *= size;
    for (size_t i = 0; i < count; i++)
      if (!std::isfinite(t.data[i]))
        throw std::invalid_argument("stream: " + name + " holds a value that is not finite; take an earlier checkpoint.");
    return t.data;
  }

  const float* rows(const std::string& name, int count, int size) {  // (count, size) -> (count, padded size)
    const float* source = checked(name, count == 1 ? std::vector<int64_t>{size} : std::vector<int64_t>{count, size});
    const int padded = round_up(size, PAD);
    float* out = arena_.take<float>(size_t(count) * padded);
    for (int r = 0; r < count; r++) std::memcpy(out + size_t(r) * padded, source + size_t(r) * size, size * sizeof(float));
    return out;
  }

  const float* transposed(const std::string& name, int size, int count) {  // (size, count) -> (count, padded size)
    const float* source = checked(name, {size, count});
    const int padded = round_up(size, PAD);
    float* out = arena_.take<float>(size_t(count) * padded);
    for (int i = 0; i < size; i++)
      for (int r = 0; r < count; r++) out[size_t(r) * padded + i] = source[size_t(i) * count + r];
    return out;
  }

  // (size, n) -> [size / W][n][W], each element through f.
  const float* blocked(const float* source, int size, int n, const std::function<float(float)>& f) {
    float* out = arena_.take<float>(size_t(round_up(size, PAD)) * n);
    for (int i = 0; i < size; i++)
      for (int j = 0; j < n; j++) out[(size_t(i / lanes_) * n + j) * lanes_ + i % lanes_] = f(source[size_t(i) * n + j]);
    return out;
  }

  // `parts` stacked outputs, each padded by itself: in_proj's x and z must both start on a register.
  Linear linear(const std::string& name, int out, int in, int parts, int in_pad, bool int8) {
    const float* source = checked(name, {int64_t(out) * parts, in});
    const int out_pad = round_up(out, PAD);
    Linear m{in_pad, out_pad * parts, nullptr, nullptr, nullptr, nullptr};
    float* weight = int8 ? nullptr : arena_.take<float>(size_t(m.in) * m.out);
    int8_t* quantised = int8 ? arena_.take<int8_t>(size_t(m.in) * m.out) : nullptr;
    float* scale = arena_.take<float>(m.out);
    int32_t* row_sum = arena_.take<int32_t>(m.out);
    for (int r = 0; r < out * parts; r++) {
      const int row = r / out * out_pad + r % out;
      const float* w = source + size_t(r) * in;
      float top = 1e-30f;
      for (int i = 0; i < in; i++) top = std::max(top, std::fabs(w[i]));
      scale[row] = top / 127.f;
      for (int i = 0; i < in; i++) {
        if (!int8) {
          weight[place_in_panels(m.out, m.in, lanes_, row, i, 1)] = w[i];
        } else {
          const int q = std::lrint(w[i] * (127.f / top));
          row_sum[row] += q;
          quantised[place_in_panels(m.out, m.in, lanes_, row, i, 4)] = int8_t(q);
        }
      }
    }
    m.weight = weight;
    m.quantised = quantised;
    m.scale = scale;
    m.row_sum = row_sum;
    return m;
  }
  Linear linear(const std::string& name, int out, int in, int parts, int in_pad) {
    return linear(name, out, in, parts, in_pad, int8_);
  }

 private:
  const Tensors& tensors_;
  Arena& arena_;
  int lanes_;
  bool int8_;
};

constexpr float SMALLEST_A = 1e-30f;  // so that 1 / A stays finite where exp(A_log) underflows

}  // namespace

Model::Model(const Tensors& tensors, const Options& options)
    : weights(measure(tensors, options)),
      int8(options.int8),
      isa(options.isa.empty() ? default_isa() : find_isa(options.isa)),
      step(int8 ? baseline::step_int8 : baseline::step_float32),
      lanes(isa == Isa::avx512 ? 16 : isa == Isa::avx2 ? 8 : 4),
      arena_(arena_bytes(weights, int8)) {
#if defined(__x86_64__)
  if (isa == Isa::avx2) step = int8 ? avx2::step_int8 : avx2::step_float32;
  if (isa == Isa::avx512) step = int8 ? avx512::step_int8 : avx512::step_float32;
#endif
  Weights& m = weights;
  Packer pack(tensors, arena_, lanes, int8);
  Layer* layers = arena_.take<Layer>(m.layers);
  m.layer = layers;
  m.table = pack.rows("table", VOCABULARY, m.d);
  for (int l = 0; l < m.layers; l++) {
    const std::string block = "blocks." + std::to_string(l) + ".", mixer = block + "mixer.";
    Layer& layer = layers[l];
    layer.norm = pack.rows(block + "norm.weight", 1, m.d);
    layer.in_proj = pack.linear(mixer + "in_proj.weight", m.e, m.d, 2, m.d_pad);
    layer.conv = pack.transposed(mixer + "conv.weight", m.e, m.k);
    layer.conv_bias = pack.rows(mixer + "conv.bias", 1, m.e);
    layer.x_proj = pack.linear(mixer + "x_proj.weight", m.rank + 2 * m.n, m.e, 1, m.e_pad);
    layer.dt_proj = pack.linear(mixer + "dt_proj.weight", m.e, m.rank, 1, round_up(m.rank, 4), false);
    layer.dt_bias = pack.rows(mixer + "dt_proj.bias", 1, m.e);
    layer.D = pack.rows(mixer + "D", 1, m.e);
    const float* A_log = pack.checked(mixer + "A_log", {m.e, m.n});
    const auto A = [](float log) { return -std::max(std::exp(log), SMALLEST_A); };
    layer.A = pack.blocked(A_log, m.e, m.n, [&](float log) { return A(log) * 1.44269504088896340736f; });
    layer.inverse_A = pack.blocked(A_log, m.e, m.n, [&](float log) { return 1 / A(log); });
    layer.out_proj = pack.linear(mixer + "out_proj.weight", m.d, m.e, 1, m.e_pad);
  }
  m.norm = pack.rows("norm.weight", 1, m.d);
  m.head = pack.linear("head.weight", VOCABULARY, m.d, 1, m.d_pad);
}

}  // namespace las::stream
