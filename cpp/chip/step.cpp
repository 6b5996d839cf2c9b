// A step of an int8 chip, vectors of W int32 lanes: lasmlx/chip/twin.py on one instruction set. Every value is an integer and
// the same everywhere: what a lane holds fits 32 bits (chip_model.py refuses chips where it would not).
#include <algorithm>

#include "chip/packed.h"
#include "simd/dot.h"

namespace LAS_ISA {
namespace {

using las::chip::Buffers;
using las::chip::Gain;
using las::chip::ONE;
using las::chip::Packed;
using las::chip::PackedLayer;
using las::chip::PackedLinear;

constexpr int HALF = W / 2;
typedef uint32_t vu __attribute__((vector_size(W * 4)));
typedef double vd __attribute__((vector_size(W * 4)));     // half of the lanes
typedef int32_t vh __attribute__((vector_size(W * 2)));    // half of the lanes
typedef int8_t vb __attribute__((vector_size(W)));
typedef uint16_t vs __attribute__((vector_size(W * 2)));

template <class V, class T>
inline V load_as(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline vi ints(const int32_t* p) { return load_as<vi>(p); }
inline void put(int32_t* p, vi v) { std::memcpy(p, &v, sizeof v); }
inline void put(int8_t* p, vi v) {
  const vb b = __builtin_convertvector(v + ZERO, vb);
  std::memcpy(p, &b, sizeof b);
}
inline vi least(vi a, vi b) { return a < b ? a : b; }
inline vi most(vi a, vi b) { return a > b ? a : b; }

// Requantised lanes, as doubles that hold integers: sums of two may pass 32 bits before they saturate.
struct Wide {
  vd low, high;
};
inline vd rounded(vd v, const double* gain, const double* half) {
  const vd magic = vd{} + 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  return (v * load_as<vd>(gain) + load_as<vd>(half) + magic) - magic;
}
inline Wide wide(vi v) {
  vh parts[2];
  std::memcpy(parts, &v, sizeof v);
  return {__builtin_convertvector(parts[0], vd), __builtin_convertvector(parts[1], vd)};
}
inline Wide scale(vi v, Gain by, int i) {
  const Wide x = wide(v);
  return {rounded(x.low, by.gain + i, by.half + i), rounded(x.high, by.gain + i + HALF, by.half + i + HALF)};
}
inline Wide scale(vi v, Gain by, int i, vd power) {  // of v times a power of two
  const Wide x = wide(v);
  return {rounded(x.low * power, by.gain + i, by.half + i),
          rounded(x.high * power, by.gain + i + HALF, by.half + i + HALF)};
}
inline vi saturate(Wide x, int bits) {
  const vd top = vd{} + double((1 << (bits - 1)) - 1), bottom = vd{} - double(1 << (bits - 1));
  const auto clip = [&](vd v) {
    v = v < bottom ? bottom : v;
    return __builtin_convertvector(v > top ? top : v, vh);
  };
  const vh parts[2] = {clip(x.low), clip(x.high)};
  vi v;
  std::memcpy(&v, parts, sizeof v);
  return v;
}
inline vi scale(vi v, Gain by, int i, int bits) { return saturate(scale(v, by, i), bits); }

inline vi gather(const int32_t* table, vi index) {
#if defined(__AVX512F__)
  return (vi)_mm512_i32gather_epi32((__m512i)index, table, 4);
#elif defined(__AVX2__)
  return (vi)_mm256_i32gather_epi32(table, (__m256i)index, 4);
#else
  vi v;
  for (int i = 0; i < W; i++) v[i] = table[index[i]];
  return v;
#endif
}

inline vi sigmoid(vi v, const int32_t* table) {  // lanes of 10 fraction bits
  constexpr int PIECE = 6;
  const vi a = least(v < 0 ? -v : v, vi{} + ((las::chip::SIGMOID_REACH << 10) - 1));
  const vi packed = gather(table, a >> PIECE), r = a & ((1 << PIECE) - 1);
  const vi p = (vi)((vu)packed >> 15) + ((packed & 0x7FFF) * r >> PIECE);
  return v < 0 ? ONE - p : p;
}
inline vi silu(vi v, const int32_t* table) { return (v * sigmoid(v, table) + ONE / 2) >> 16; }

// The largest magnitude of lanes: the exponent that a block shares.
inline int largest_of(vi v) {
  int32_t lanes[W], top = 0;
  std::memcpy(lanes, &v, sizeof v);
  for (int32_t lane : lanes) top = std::max(top, lane);
  return top;
}
inline vi magnitude(vi v) { return v < 0 ? -v : v; }
inline vi activations(vi lanes, int exponent) {
  return least((lanes + (1 << exponent >> 1)) >> exponent, vi{} + 127);  // only the positive end can pass
}

struct Exp2 {  // 65536 * 2^(-exponent / 65536)
#if defined(__AVX512F__)
  __m512i part[4];
  explicit Exp2(const int32_t* table) {
    for (int i = 0; i < 4; i++) part[i] = _mm512_loadu_si512(table + 16 * i);
  }
  vi look_up(vi index) const {
    const __m512i i = (__m512i)index;
    const __m512i low = _mm512_permutex2var_epi32(part[0], i, part[1]);
    const __m512i high = _mm512_permutex2var_epi32(part[2], i, part[3]);
    return (vi)_mm512_mask_mov_epi32(low, _mm512_test_epi32_mask(i, _mm512_set1_epi32(32)), high);
  }
#else
  const int32_t* table;
  explicit Exp2(const int32_t* t) : table(t) {}
  vi look_up(vi index) const { return gather(table, index & 63); }
#endif
  vi operator()(vi exponent) const {
    const vi packed = look_up((vi)((vu)exponent >> 10)), r = exponent & 1023;
    const vi p = (vi)((vu)packed >> 15) - ((packed & 0x7FFF) * r >> 10);
    const vi halvings = (vi)((vu)exponent >> 16);
    return p >> least(halvings, vi{} + 31);
  }
};

void norm(const Packed& m, const int32_t* u, Gain by, int8_t* q) {
  uint64_t power = uint64_t(m.config.eps);
  for (int i = 0; i < m.d_pad; i++) power += uint64_t(int64_t(u[i]) * u[i]);
  const las::chip::Rsqrt root = las::chip::rsqrt(power, m.rsqrt);
  const int right = root.e + 16 - m.config.norm_fraction;
  for (int i = 0; i < m.d_pad; i += W) put(q + i, scale(ints(u + i) * root.p >> right, by, i, 8));
}

template <class Use>
inline void product(const PackedLinear& m, const int8_t* x, Use use) {
  dot_rows(m.weight, m.row_sum, m.out, m.in, x, use);
}

// s = silu(conv(x)), q = activations of x_proj; x is in y.
void convolve(const Packed& m, const PackedLayer& layer, int32_t* tail, const Buffers& b) {
  const int e = m.e_pad, last = m.config.k - 1;
  for (int i = 0; i < e; i += W) {
    const vi newest = ints(b.y + i);
    vi sum = ints(layer.conv_bias + i) + newest * ints(layer.conv + last * e + i);
    for (int j = 0; j < last; j++) {
      sum += ints(tail + j * e + i) * ints(layer.conv + j * e + i);
      put(tail + j * e + i, j + 1 < last ? ints(tail + (j + 1) * e + i) : newest);
    }
    const vi s = silu(scale(sum, layer.conv_scale, i, 16), m.sigmoid);
    put(b.s + i, s);
    put(b.q + i, scale(s, layer.x, i, 8));
  }
}

void time_step(const Packed& m, const PackedLayer& layer, const Buffers& b, int exponent) {
  const auto& c = m.config;
  product(layer.dt_proj, b.low, [&](int i, vi sum) {
    const vi g = sigmoid(scale((sum << exponent) + ints(layer.dt_proj.bias + i), layer.dt_proj.scale, i, 16), m.sigmoid);
    const vi dt = c.dt_min + (vi)(uint32_t(c.dt_range) * (vu)g >> 16);
    put(b.dt + i, dt);
    put(b.drive + i, scale(dt * ints(b.s + i), layer.drive, i, c.drive) << c.drive_left);
  });
}

enum class Keep { all, nearest, stochastic };

template <Keep K, bool Euler>
void scan(const Packed& m, const PackedLayer& layer, const Buffers& b, int32_t* h, uint32_t* random) {
  const auto& c = m.config;
  const int32_t *B = b.mixed + c.rank, *C = B + c.n;
  const Exp2 exp2(m.exp2);
  const int drop = c.state - c.state_bits, top = 1 << (c.state - 1);
  const vi highest = vi{} + (top - (1 << drop)), lowest = vi{} - top;
  for (int i = 0; i < m.e_pad; i += W) {
    const vi dt = ints(b.dt + i), drive = ints(b.drive + i);
    const uint16_t* A = layer.A + i * c.n;
    int32_t* state = h + i * c.n;
    vu bits = K == Keep::stochastic ? load_as<vu>(random + i) : vu{};
    vi sum = {};
    for (int j = 0; j < c.n; j++) {
      const vi exponent = (vi)((vu)dt * __builtin_convertvector(load_as<vs>(A + j * W), vu) >> c.decay_shift);
      const vi decay = Euler ? ONE - (vi)((vu)exponent < ONE ? (vu)exponent : vu{} + ONE) : exp2(exponent);
      const vi fed = drive * B[j];
      vi v = ints(state + j * W);
      for (int step = 0; step < c.substeps; step++) {
        v = decay * (v >> 16) + (vi)((vu)decay * (vu)(v & 0xFFFF) + ONE / 2 >> 16) + fed;
        if constexpr (K == Keep::nearest) v = (v + (1 << (drop - 1))) >> drop << drop;
        if constexpr (K == Keep::stochastic) {
          bits ^= bits << 13;
          bits ^= bits >> 17;
          bits ^= bits << 5;
          v = (v + (vi)(bits >> (32 - drop))) >> drop << drop;
        }
        v = most(lowest, least(highest, v));
      }
      put(state + j * W, v);
      sum += (v >> c.read_right) * C[j];
    }
    if (K == Keep::stochastic) std::memcpy(random + i, &bits, sizeof bits);
    const Wide read = scale(sum, layer.read, i), skip = scale(ints(b.s + i), layer.skip, i);
    put(b.y + i, saturate({read.low + skip.low, read.high + skip.high}, 16));
  }
}

template <bool Euler>
void scan(const Packed& m, const PackedLayer& layer, const Buffers& b, int32_t* h, uint32_t* random) {
  if (m.config.state == m.config.state_bits)
    scan<Keep::all, Euler>(m, layer, b, h, random);
  else if (m.config.stochastic)
    scan<Keep::stochastic, Euler>(m, layer, b, h, random);
  else
    scan<Keep::nearest, Euler>(m, layer, b, h, random);
}

int mix(const Packed& m, const PackedLayer& layer, const Buffers& b) {  // q -> low, B, C; low's exponent
  const auto& c = m.config;
  alignas(64) int32_t low[W];
  int largest = 0;
  product(layer.x_proj, b.q, [&](int row, vi sum) {
    const Wide wide = scale(sum, layer.x_proj.scale, row);
    put(b.mixed + row, saturate(wide, c.mix));
    if (row >= c.rank) return;
    put(low, saturate(wide, 16));
    for (int i = row; i < std::min(row + W, c.rank); i++) {
      b.dt[i] = low[i - row];  // until the time step is computed
      largest = std::max(largest, std::abs(low[i - row]));
    }
  });
  const int exponent = las::chip::shared_exponent(largest, 8);
  for (int i = 0; i < c.rank; i += W) put(b.low + i, activations(ints(b.dt + i), exponent));
  return exponent;
}

int gate(const Packed& m, const PackedLayer& layer, const Buffers& b) {  // y, z -> q and its exponent
  vi largest = {};
  for (int i = 0; i < m.e_pad; i += W) {
    const vi gated = scale(ints(b.y + i) * silu(ints(b.z + i), m.sigmoid), layer.gate, i, 16);
    largest = most(largest, magnitude(gated));
    put(b.y + i, gated);
  }
  const int exponent = las::chip::shared_exponent(largest_of(largest), 8);
  for (int i = 0; i < m.e_pad; i += W) put(b.q + i, activations(ints(b.y + i), exponent));
  return exponent;
}

void scan_layer(const Packed& m, int l, const Buffers& b) {  // dt, drive, B, C -> y
  const auto& c = m.config;
  int32_t* h = b.h + (int64_t)l * m.e_pad * c.n;
  uint32_t* random = b.random + (int64_t)l * m.e_pad;
  c.euler ? scan<true>(m, m.layers[l], b, h, random) : scan<false>(m, m.layers[l], b, h, random);
}

void layer_step(const Packed& m, int l, const Buffers& b) {
  const PackedLayer& layer = m.layers[l];
  const auto& c = m.config;
  const int e = m.e_pad;
  norm(m, b.u, layer.norm, b.q);
  product(layer.in_proj, b.q, [&](int row, vi sum) {
    const Wide wide = scale(sum, layer.in_proj.scale, row);
    if (row < e)
      put(b.y + row, saturate(wide, 8));
    else
      put(b.z + row - e, saturate(wide, 16));
  });
  convolve(m, layer, b.tail + (int64_t)l * (c.k - 1) * e, b);
  time_step(m, layer, b, mix(m, layer, b));
  scan_layer(m, l, b);
  const int exponent = gate(m, layer, b);
  const vd power = vd{} + double(1 << exponent);
  product(layer.out_proj, b.q, [&](int row, vi sum) {
    const Wide r = scale(sum, layer.out_proj.scale, row, power);
    const Wide u = wide(ints(b.u + row));
    put(b.u + row, saturate({r.low + u.low, r.high + u.high}, 16));
  });
}

}  // namespace

void chip_scan(const Packed& m, const Buffers& b, int layer) { scan_layer(m, layer, b); }

void chip_step(const Packed& m, const Buffers& b, int byte) {
  const int16_t* row = m.embedding + (int64_t)byte * m.d_pad;
  for (int i = 0; i < m.d_pad; i++) b.u[i] = row[i];
  for (int l = 0; l < m.config.layers; l++) layer_step(m, l, b);
  norm(m, b.u, m.norm, b.q);
  product(m.head, b.q, [&](int i, vi sum) { put(b.logits + i, scale(sum, m.head.scale, i, 16)); });
}

}  // namespace LAS_ISA
