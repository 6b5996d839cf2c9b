// A step of a chip in integers: one byte in, 256 logits of the byte after it out. No heap, no floats, no library.
// The functions have the names and give the bits of lasmlx/chip/twin.py; a comment derives a width that is not plain.
#pragma once
#include "las_model.hpp"
#include "las_types.hpp"

namespace las {

constexpr int lesser(int a, int b) { return a < b ? a : b; }
constexpr int greater(int a, int b) { return a < b ? b : a; }
constexpr int log2_up(int n) {
  int bits = 0;
  while ((1 << bits) < n) ++bits;
  return bits;
}

constexpr int ONE = 1 << 16;                  // of the curves and the decay
constexpr int DROP = STATE - STATE_BITS;      // low bits of h that are not stored
constexpr int TAIL = greater(K - 1, 1);       // an array holds one element at least
constexpr int PIECE = FRACTION - 4;           // a piece of the sigmoid is 1/16 wide
constexpr int BLOCK = LANE - ACTIVATION + 1;  // the largest exponent of a block
constexpr int FED_BITS = DRIVE + MIX + DRIVE_LEFT - DRIVE_RIGHT;
constexpr int POWER_BITS = greater(2 * (LANE - 1 - NORM_RIGHT) + log2_up(D), 31) + 1;  // eps has 31
constexpr int dot_bits(int columns) { return lesser(WEIGHT + ACTIVATION - 1 + log2_up(columns), ACCUMULATOR); }

using Activation = Int<ACTIVATION>;
using Lane = Int<LANE>;
using Mix = Int<MIX>;
using Drive = Int<DRIVE>;
using Accumulator = Int<ACCUMULATOR>;
using Scaled = Int<lesser(ACCUMULATOR + MULTIPLIER, 64)>;  // the weights were checked: they cannot overflow it
using BlockSum = Int<lesser(dot_bits(E) + BLOCK, 64)>;
using ScaledBlock = Int<lesser(ACCUMULATOR + MULTIPLIER + BLOCK, 64)>;
using Shift = Uint<6>;
using Exponent = Uint<4>;                  // of a block
using Power = Uint<POWER_BITS>;            // sum u^2 + eps
using Direction = Int<NORM_FRACTION + 2>;  // |u| < 2^(e + 1 + NORM_RIGHT)
using Curve = Uint<17>;                    // 0 .. 65536
using Curved = Int<LANE + 16>;             // a lane times 0 .. 65536
using Dt = Uint<16>;
using Fed = Int<FED_BITS>;
using Sum = Fed;                 // h <= 2^(STATE - 1) - 2^DROP, fed <= 2^(FED_BITS - 2), what rounds < 2^DROP
using Stored = Int<STATE_BITS>;  // h without the bits that are dropped
using Read = Int<MIX + STATE - READ_RIGHT + log2_up(N)>;

static_assert(STATE < FED_BITS && FED_BITS < 64, "h + fed must fit Sum");
static_assert(FRACTION + 4 < LANE, "the sigmoid's reach must fit a lane");

// What a chip keeps between two bytes. las_reset() makes it ready.
struct State {
  Activation tail[LAYERS][E][TAIL];  // the last inputs of the convolution, oldest first
  Stored h[LAYERS][E][N];
  uint32_t random[LAYERS][E];
};

template <int bits, class V>
LAS_INLINE Int<bits> saturate(V v) {
  LAS_PRAGMA(HLS INLINE)
  const V top = (V(1) << (bits - 1)) - 1;
  const V bottom = -top - 1;
  if (v > top) return Int<bits>(top);
  if (v < bottom) return Int<bits>(bottom);
  return Int<bits>(v);
}

// floor(v m / 2^s + 1/2).
template <class Product = Scaled, class V = Lane>
LAS_INLINE Product scale(V v, Multiplier m, uint8_t s) {
  LAS_PRAGMA(HLS INLINE)
  const Shift right = s, half = s - 1;
  return (mul<Product>(v, Int<MULTIPLIER>(m)) + (Product(1) << half)) >> right;
}

template <int columns>
LAS_INLINE Int<dot_bits(columns)> dot(const Weight (&row)[columns], const Activation (&x)[columns]) {
  LAS_PRAGMA(HLS INLINE)
  Int<dot_bits(columns)> total = 0;
  for (int i = 0; i < columns; ++i) {
    LAS_PRAGMA(HLS PIPELINE II=1)
    LAS_PRAGMA(HLS UNROLL factor=LAS_PARALLEL)
    total += mul<Int<dot_bits(columns)>>(Int<WEIGHT>(row[i]), x[i]);
  }
  return total;
}

// 0 .. 65536 for v in 2^-FRACTION; symmetric, so the table holds v >= 0.
LAS_INLINE Curve sigmoid(Lane v) {
  const Lane top = (16 << FRACTION) - 1;
  const Uint<FRACTION + 4> a = v > top || v < -top ? top : v < 0 ? Lane(-v) : v;
  const Uint<8> i = a >> PIECE;
  const Uint<PIECE> r = a & ((1 << PIECE) - 1);
  const Curve low = sigmoid_table[i], rise = sigmoid_table[i + 1] - sigmoid_table[i];
  const Curve p = low + Curve(Uint<17 + PIECE>(rise * r) >> PIECE);
  return v < 0 ? Curve(ONE - p) : p;
}

// v sigmoid(v), rounded.
LAS_INLINE Lane silu(Lane v) { return Lane((mul<Curved>(v, sigmoid(v)) + ONE / 2) >> 16); }

// Lanes as activations with one shared exponent: t is about q 2^e, e as small as the largest of t allows.
template <int count>
LAS_INLINE Exponent block(const Lane (&t)[count], Activation (&q)[count]) {
  using Wide = Int<LANE + 1>;
  Uint<LANE> magnitudes = 0;
  Exponent e = 0;
  for (int i = 0; i < count; ++i) magnitudes |= Uint<LANE>(t[i] < 0 ? Wide(-Wide(t[i])) : Wide(t[i]));
  for (int i = 0; i < BLOCK; ++i) {
    LAS_PRAGMA(HLS UNROLL)
    if ((magnitudes >> (ACTIVATION - 1 + i)) != 0) e = i + 1;
  }
  const Wide half = (Wide(1) << e) >> 1;
  for (int i = 0; i < count; ++i) {
    LAS_PRAGMA(HLS PIPELINE II=1)
    q[i] = saturate<ACTIVATION>(Wide(Wide(t[i] + half) >> e));
  }
  return e;
}

// 65536 * 2^(-exponent / 65536).
LAS_INLINE Curve exp2(Uint<32> exponent) {
  const Uint<6> i = (exponent >> 10) & 63;
  const Uint<10> r = exponent & 1023;
  const Uint<16> halvings = exponent >> 16;
  const Curve high = exp2_table[i], fall = exp2_table[i] - exp2_table[i + 1];
  const Curve p = high - Curve(Uint<27>(fall * r) >> 10);
  return p >> (halvings < 31 ? Uint<5>(halvings) : Uint<5>(31));
}

// The largest e with 4^e <= power.
LAS_INLINE Uint<5> log4(Power power) {
  Uint<5> e = 0;
  for (int i = 1; 2 * i < POWER_BITS; ++i) {
    LAS_PRAGMA(HLS UNROLL)
    if ((power >> (2 * i)) != 0) e = i;
  }
  return e;
}

// 2^16 2^e / sqrt(power).
LAS_INLINE Curve rsqrt(Power power, Uint<5> e) {
  const Shift twice = 2 * e, left = 30 - lesser(twice, 30), right = greater(twice, 30) - 30;
  const Uint<32> m = power << left >> right;  // in 2^30 .. 2^32
  const Uint<8> i = (m >> 24) - 64;
  const Uint<16> r = (m >> 8) & 0xFFFF;
  const Curve high = rsqrt_table[i], fall = rsqrt_table[i] - rsqrt_table[i + 1];
  return high - Curve(Uint<33>(fall * r) >> 16);
}

// Activations of the width of u: u / sqrt(sum u^2 + eps), scaled a channel.
LAS_INLINE void norm(const Lane (&u)[D], const Multiplier (&m)[D], const uint8_t (&s)[D], Activation (&t)[D]) {
  constexpr int bits = LANE - NORM_RIGHT;
  Power power = EPS;
  for (int i = 0; i < D; ++i) {
    LAS_PRAGMA(HLS PIPELINE II=1)
    const Int<bits> v = u[i] >> NORM_RIGHT;
    power += mul<Int<2 * bits>>(v, v);
  }
  const Uint<5> e = log4(power);
  const Curve p = rsqrt(power, e);
  const Shift right = e + (NORM_RIGHT + 16 - NORM_FRACTION);
  for (int i = 0; i < D; ++i) {
    LAS_PRAGMA(HLS PIPELINE II=1)
    const Direction direction = mul<Curved>(u[i], p) >> right;
    t[i] = saturate<ACTIVATION>(scale(direction, m[i], s[i]));
  }
}

// A linear-feedback shift register of 32 bits that moves by 32 bits at once (Marsaglia 2003).
LAS_INLINE uint32_t xorshift(uint32_t x) {
  x ^= x << 13;
  x ^= x >> 17;
  return x ^ x << 5;
}

// h as it is stored: its low bits rounded off, its range kept.
LAS_INLINE Stored keep(Sum h, uint32_t& random) {
  LAS_PRAGMA(HLS INLINE)
  if (DROP > 0 && STOCHASTIC) {
    random = xorshift(random);
    h += Sum(random >> 1 >> (31 - DROP));
  } else {
    h += (1 << DROP) / 2;
  }
  return saturate<STATE_BITS>(Sum(h >> DROP));
}

LAS_INLINE Int<STATE> widened(Stored h) { return shifted<Int<STATE>>(h, DROP); }

LAS_INLINE Curve decay(Dt dt, uint16_t A) {
  // In 1/65536 of a halving, or of a nat for euler.
  const Uint<32> exponent = mul<Uint<32>>(dt, Uint<16>(A)) >> DECAY_SHIFT;
  if (DECAY_TABLE) return exp2(exponent);
  return exponent < Uint<32>(ONE) ? Curve(ONE - exponent) : Curve(0);
}

// What a state gains.
LAS_INLINE Fed feed(Drive drive, Mix B) {
  return shifted<Int<DRIVE + MIX + DRIVE_LEFT>>(mul<Int<DRIVE + MIX>>(drive, B), DRIVE_LEFT) >> DRIVE_RIGHT;
}

// The states of one channel after SUBSTEPS times ``h = decay h + drive B``; sum_j C_j h_j.
LAS_INLINE Read scan(const uint16_t (&A)[N], Dt dt, Drive drive, const Mix (&B)[N], const Mix (&C)[N], Stored (&h)[N],
                     uint32_t& random) {
  LAS_PRAGMA(HLS INLINE)
  Read read = 0;
  for (int j = 0; j < N; ++j) {
    LAS_PRAGMA(HLS PIPELINE)
    const Curve kept = decay(dt, A[j]);
    const Fed fed = feed(drive, B[j]);
    Stored now = h[j];
    for (int i = 0; i < SUBSTEPS; ++i)
      now = keep(Sum((mul<Int<STATE + 16>>(kept, widened(now)) + ONE / 2) >> 16) + fed, random);
    h[j] = now;
    read += mul<Read>(widened(now) >> READ_RIGHT, C[j]);
  }
  return read;
}

// A channel of the convolution of K taps; x is the newest.
LAS_INLINE Accumulator conv(int layer, int c, Activation x, Activation (&tail)[TAIL]) {
  LAS_PRAGMA(HLS INLINE)
  Accumulator total = conv_bias[layer][c] + mul<Accumulator>(Int<WEIGHT>(conv_weight[layer][c][K - 1]), x);
  for (int i = 0; i < K - 1; ++i) {
    LAS_PRAGMA(HLS UNROLL)
    total += mul<Accumulator>(Int<WEIGHT>(conv_weight[layer][c][i]), tail[i]);
    tail[i] = i < K - 2 ? tail[lesser(i + 1, TAIL - 1)] : x;
  }
  return total;
}

// s of every channel, and s as x_proj takes it.
LAS_INLINE void inputs(int layer, const Activation (&t)[D], State& state, Lane (&s)[E], Activation (&q)[E]) {
  for (int c = 0; c < E; ++c) {
    const Scaled x = scale(dot(in_proj_weight[layer][c], t), in_proj_multiplier[layer][c], in_proj_shift[layer][c]);
    const Accumulator v = conv(layer, c, saturate<ACTIVATION>(x), state.tail[layer][c]);
    s[c] = silu(saturate<LANE>(scale(v, conv_multiplier[layer][c], conv_shift[layer][c])));
    q[c] = saturate<ACTIVATION>(scale(s[c], x_multiplier[layer][c], x_shift[layer][c]));
  }
}

LAS_INLINE Scaled mix(int layer, int row, const Activation (&q)[E]) {
  return scale(dot(x_proj_weight[layer][row], q), x_proj_multiplier[layer][row], x_proj_shift[layer][row]);
}

LAS_INLINE Dt time_step(int layer, int c, const Activation (&low)[RANK], Exponent e) {
  const Accumulator p = dt_proj_bias[layer][c] + shifted<Accumulator>(dot(dt_proj_weight[layer][c], low), e);
  const Lane lane = saturate<LANE>(scale(p, dt_proj_multiplier[layer][c], dt_proj_shift[layer][c]));
  return Dt(DT_MIN + (mul<Uint<32>>(Uint<16>(DT_RANGE), sigmoid(lane)) >> 16));
}

// What a channel hands to out_proj: its states read, its input skipped past them, gated by z.
LAS_INLINE Lane gated(int layer, int c, Read read, Lane s, const Activation (&t)[D]) {
  const int row = E + c;
  const Lane y = saturate<LANE>(Scaled(scale(read, read_multiplier[layer][c], read_shift[layer][c]) +
                                       scale(s, skip_multiplier[layer][c], skip_shift[layer][c])));
  const Lane z = saturate<LANE>(
      scale(dot(in_proj_weight[layer][row], t), in_proj_multiplier[layer][row], in_proj_shift[layer][row]));
  return saturate<LANE>(scale(mul<Int<2 * LANE>>(y, silu(z)), gate_multiplier[layer][c], gate_shift[layer][c]));
}

// What the channels add to u; q is room for them as activations.
LAS_INLINE void project(int layer, const Lane (&s)[E], Activation (&q)[E], Lane (&u)[D]) {
  LAS_PRAGMA(HLS INLINE)
  const Exponent e = block(s, q);
  for (int r = 0; r < D; ++r) {
    const BlockSum total = shifted<BlockSum>(dot(out_proj_weight[layer][r], q), e);
    const ScaledBlock added = scale<ScaledBlock>(total, out_proj_multiplier[layer][r], out_proj_shift[layer][r]);
    u[r] = saturate<LANE>(ScaledBlock(u[r] + added));
  }
}

LAS_INLINE void layer_step(int layer, Lane (&u)[D], State& state) {
  Activation t[D], q[E], low[RANK];
  Lane s[E], wide[RANK];
  Mix B[N], C[N];
  LAS_PRAGMA(HLS ARRAY_PARTITION variable=t type=cyclic factor=LAS_PARALLEL)
  LAS_PRAGMA(HLS ARRAY_PARTITION variable=q type=cyclic factor=LAS_PARALLEL)
  LAS_PRAGMA(HLS ARRAY_PARTITION variable=low type=complete)
  norm(u, norm_multiplier[layer], norm_shift[layer], t);
  inputs(layer, t, state, s, q);
  for (int r = 0; r < RANK; ++r) wide[r] = saturate<LANE>(mix(layer, r, q));
  for (int j = 0; j < N; ++j) B[j] = saturate<MIX>(mix(layer, RANK + j, q));
  for (int j = 0; j < N; ++j) C[j] = saturate<MIX>(mix(layer, RANK + N + j, q));
  const Exponent e = block(wide, low);
  for (int c = 0; c < E; ++c) {
    const Dt dt = time_step(layer, c, low, e);
    const Drive drive =
        saturate<DRIVE>(scale(mul<Curved>(dt, s[c]), drive_multiplier[layer][c], drive_shift[layer][c]));
    const Read read = scan(A[layer][c], dt, drive, B, C, state.h[layer][c], state.random[layer][c]);
    s[c] = gated(layer, c, read, s[c], t);
  }
  project(layer, s, q, u);
}

// The state before the first byte.
LAS_INLINE void las_reset(State& state) {
  for (int i = 0; i < LAYERS; ++i)
    for (int c = 0; c < E; ++c) {
      const uint32_t seed = (uint32_t(i * E + c + 1) * 0x9E3779B9u) ^ SEED;
      state.random[i][c] = seed ? seed : 1;
      for (int k = 0; k < TAIL; ++k) state.tail[i][c][k] = 0;
      for (int j = 0; j < N; ++j) state.h[i][c][j] = 0;
    }
}

// Logits of the byte after ``byte``, in 2^-LOGIT_FRACTION; the state moves on.
LAS_INLINE void las_step(State& state, uint8_t byte, Lane (&logits)[256]) {
  Lane u[D];
  Activation t[D];
  LAS_PRAGMA(HLS ARRAY_PARTITION variable=t type=cyclic factor=LAS_PARALLEL)
  for (int i = 0; i < D; ++i) u[i] = Lane(shifted<Accumulator>(Int<WEIGHT>(embedding[byte][i]), EMBEDDING_SHIFT));
  for (int i = 0; i < LAYERS; ++i) layer_step(i, u, state);
  norm(u, head_norm_multiplier, head_norm_shift, t);
  for (int i = 0; i < 256; ++i)
    logits[i] = saturate<LANE>(scale(dot(head_weight[i], t), head_multiplier[i], head_shift[i]));
}

// The likeliest next byte; the lower of two alike.
LAS_INLINE uint8_t las_argmax(const Lane (&logits)[256]) {
  int best = 0;
  for (int i = 1; i < 256; ++i) {
    LAS_PRAGMA(HLS PIPELINE II=1)
    if (logits[i] > logits[best]) best = i;
  }
  return uint8_t(best);
}

}  // namespace las
