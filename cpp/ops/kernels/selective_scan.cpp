// h_t = exp(dt A) h + dt phi(dt A) B x,  y = (C . h + D x) silu(z),  one vector lane a channel, states in registers.
// phi(a) = expm1(a) / (K expm1(a / K)) folds K sub-steps of dt / K into one (K = 1: phi = 1; K = inf: expm1(a) / a).
#include "ops/kernels/tile.h"

namespace LAS_ISA {
namespace {

using las::ScanBackward;
using las::ScanForward;
using las::SEGMENT;

constexpr int FORWARD_GROUP = W == 16 ? 16 : 8;  // states whose h fits the registers at once
constexpr int ADJOINT_GROUP = W == 16 ? 8 : 4;   // dh and dA both live there

template <int MOST, class F>
void for_state_groups(int n, F f) {
  int i = 0;
  if constexpr (MOST >= 16)
    for (; i + 16 <= n; i += 16) f(std::integral_constant<int, 16>{}, i);
  if constexpr (MOST >= 8)
    for (; i + 8 <= n; i += 8) f(std::integral_constant<int, 8>{}, i);
  for (; i + 4 <= n; i += 4) f(std::integral_constant<int, 4>{}, i);
  for (; i < n; i++) f(std::integral_constant<int, 1>{}, i);
}

inline vf phi(vf a, float inverse_substeps) {
  const vf denominator = inverse_substeps > 0.f ? expm1(a * inverse_substeps) / inverse_substeps : a;
  const vf ratio = expm1(a) / denominator;
  const vf size = a < 0.f ? -a : a;
  return size < 1e-20f ? splat(1.f) : ratio;
}

// d log(phi) / da = s(a) - s(a / K) / K with s(a) = e^a / expm1(a) - 1/a, by its Bernoulli series where that cancels.
inline vf log_slope(vf a) {
  const vf a2 = a * a;
  vf series = splat(-1.f / 1209600.f);
  series = series * a2 + 1.f / 30240.f;
  series = series * a2 - 1.f / 720.f;
  series = series * a2 + 1.f / 12.f;
  series = series * a + 0.5f;
  const vf minus = expm1(-a);
  const vf direct = -1.f / minus - 1.f / a;
  return a2 < 1.f ? series : direct;
}
inline vf phi_slope(vf a, vf phi_a, float inverse_substeps) {
  return phi_a * (log_slope(a) - inverse_substeps * log_slope(a * inverse_substeps));
}

constexpr int STRIP = 4;        // blocks of channels whose tiles are moved together: whole cache lines, several a row
constexpr int ROW = STRIP * W;  // floats from one row of a tile to the next

struct Segment {  // one block of channels in dense tiles: dt, x, y are (t, W) at a pitch of ROW; B, C are (t, n)
  int t, n;
  float inverse_substeps;
  const float *dt, *x, *B, *C;
  float* y;
};

template <int G, bool SUBSTEPS>
void advance(const Segment& s, int first, const float* A, float* h) {
  vf state[G];
  for (int j = 0; j < G; j++) state[j] = load(h + j * W);
  for (int t = 0; t < s.t; t++) {
    const vf dt = load(s.dt + t * ROW), input = dt * load(s.x + t * ROW), dt2 = dt * LOG2E;
    const float *B = s.B + t * s.n + first, *C = s.C + t * s.n + first;
    vf even = load(s.y + t * ROW), odd = splat(0.f);
#pragma GCC unroll 16
    for (int j = 0; j < G; j++) {
      const vf a = load(A + j * W);
      vf gain = input * B[j];
      if constexpr (SUBSTEPS) gain *= phi(dt * a, s.inverse_substeps);
      state[j] = exp2(dt2 * a) * state[j] + gain;
      (j % 2 ? odd : even) += state[j] * C[j];
    }
    store(s.y + t * ROW, even + odd);
  }
  for (int j = 0; j < G; j++) store(h + j * W, state[j]);
}

struct History {  // (t + 1, n, W), (t, n, W), (t, n, W)
  float *h, *decay, *phi;
};

template <int G, bool SUBSTEPS>
void recompute(const Segment& s, int first, const float* A, const History& past) {
  vf state[G];
  for (int j = 0; j < G; j++) state[j] = load(past.h + (first + j) * W);
  for (int t = 0; t < s.t; t++) {
    const vf dt = load(s.dt + t * ROW), input = dt * load(s.x + t * ROW), dt2 = dt * LOG2E;
    const float *B = s.B + t * s.n + first, *C = s.C + t * s.n + first;
    const size_t row = (static_cast<size_t>(t) * s.n + first) * W;
    vf even = load(s.y + t * ROW), odd = splat(0.f);
#pragma GCC unroll 16
    for (int j = 0; j < G; j++) {
      const vf a = load(A + j * W), decay = exp2(dt2 * a);
      vf gain = input * B[j];
      if constexpr (SUBSTEPS) {
        const vf f = phi(dt * a, s.inverse_substeps);
        store(past.phi + row + j * W, f);
        gain *= f;
      }
      state[j] = decay * state[j] + gain;
      store(past.decay + row + j * W, decay);
      store(past.h + row + (s.n + j) * W, state[j]);
      (j % 2 ? odd : even) += state[j] * C[j];
    }
    store(s.y + t * ROW, even + odd);
  }
}

struct Adjoint {  // gy, gx, gdt: (t, W) at a pitch of ROW; gB, gC: (t, n, W), summed over lanes later
  const float* gy;
  float *gx, *gdt, *gB, *gC;
};

template <int G, bool SUBSTEPS>
void adjoint(const Segment& s, int first, const float* A, const History& past, const Adjoint& g, float* gh, float* gA) {
  vf dh[G], dA[G];
  for (int j = 0; j < G; j++) dh[j] = load(gh + j * W), dA[j] = load(gA + j * W);
  for (int t = s.t - 1; t >= 0; t--) {
    const vf dt = load(s.dt + t * ROW), x = load(s.x + t * ROW), input = dt * x, gy = load(g.gy + t * ROW);
    const float *B = s.B + t * s.n + first, *C = s.C + t * s.n + first;
    const size_t row = (static_cast<size_t>(t) * s.n + first) * W;
    vf ginput = splat(0.f), ga = splat(0.f);
#pragma GCC unroll 8
    for (int j = 0; j < G; j++) {
      const size_t at = row + j * W;
      const vf a = load(A + j * W), before = load(past.h + at), after = load(past.h + at + s.n * W);
      dh[j] += gy * C[j];
      store(g.gC + at, load(g.gC + at) + gy * after);
      const vf decayed = dh[j] * load(past.decay + at);
      vf q = decayed * before;  // d loss / d(dt A)
      if constexpr (SUBSTEPS) {
        const vf f = load(past.phi + at), into = dh[j] * f;
        store(g.gB + at, load(g.gB + at) + into * input);
        ginput += into * B[j];
        q += dh[j] * (input * B[j]) * phi_slope(dt * a, f, s.inverse_substeps);
      } else {
        store(g.gB + at, load(g.gB + at) + dh[j] * input);
        ginput += dh[j] * B[j];
      }
      ga += q * a;
      dA[j] += q * dt;
      dh[j] = decayed;
    }
    store(g.gx + t * ROW, load(g.gx + t * ROW) + ginput * dt);
    store(g.gdt + t * ROW, load(g.gdt + t * ROW) + ginput * x + ga);
  }
  for (int j = 0; j < G; j++) store(gh + j * W, dh[j]), store(gA + j * W, dA[j]);
}

void to_lanes(const float* from, int d0, int count, int n, float* to) {  // (d, n) -> (n, W), absent channels 0
  for (int j = 0; j < n; j++)
    for (int w = 0; w < W; w++) to[j * W + w] = w < count ? from[static_cast<size_t>(d0 + w) * n + j] : 0.f;
}
void from_lanes(const float* from, int d0, int count, int n, float* to) {
  for (int w = 0; w < count; w++)
    for (int j = 0; j < n; j++) to[static_cast<size_t>(d0 + w) * n + j] = from[j * W + w];
}

thread_local Scratch scratch;

template <bool SUBSTEPS>
void forward(const ScanForward& a, int row, int block0, int block1) {
  const int n = a.n, blocks = (a.d + W - 1) / W, segments = (a.t + SEGMENT - 1) / SEGMENT, mine = block1 - block0;
  const size_t nW = static_cast<size_t>(n) * W;
  scratch.reserve(2 * mine * nW + 2 * SEGMENT * n + 4 * SEGMENT * ROW + 16 * 8);
  float *A = scratch.take(mine * nW), *h = scratch.take(mine * nW), *dt = scratch.take(SEGMENT * ROW),
        *x = scratch.take(SEGMENT * ROW), *y = scratch.take(SEGMENT * ROW), *z = scratch.take(SEGMENT * ROW),
        *B = scratch.take(SEGMENT * n), *C = scratch.take(SEGMENT * n);
  for (int k = 0; k < mine; k++) {
    const int d0 = (block0 + k) * W, count = std::min(W, a.d - d0);
    to_lanes(a.A, d0, count, n, A + k * nW);
    to_lanes(a.h0 + static_cast<size_t>(row) * a.d * n, d0, count, n, h + k * nW);
  }
  for (int s = 0; s < segments; s++) {
    const int t0 = s * SEGMENT, t = std::min(SEGMENT, a.t - t0);
    std::memcpy(a.checkpoints + ((static_cast<size_t>(row) * segments + s) * blocks + block0) * nW, h,
                mine * nW * sizeof(float));
    load_tile(a.B, row, t0, t, 0, n, n, B);
    load_tile(a.C, row, t0, t, 0, n, n, C);
    for (int k0 = 0; k0 < mine; k0 += STRIP) {
      const int k1 = std::min(mine, k0 + STRIP), d0 = (block0 + k0) * W, count = std::min((k1 - k0) * W, a.d - d0);
      load_tile(a.dt, row, t0, t, d0, count, ROW, dt);
      load_tile(a.x, row, t0, t, d0, count, ROW, x);
      if (a.z.data) load_tile(a.z, row, t0, t, d0, count, ROW, z);
      for (int k = k0; k < k1; k++) {
        const int c = (k - k0) * W;
        const vf D = load(a.D + d0 + c, std::min(W, count - c));
        for (int i = 0; i < t; i++) store(y + i * ROW + c, D * load(x + i * ROW + c));
        const Segment segment{t, n, a.inverse_substeps, dt + c, x + c, B, C, y + c};
        for_state_groups<FORWARD_GROUP>(n, [&]<int G>(std::integral_constant<int, G>, int i) {
          advance<G, SUBSTEPS>(segment, i, A + k * nW + i * W, h + k * nW + i * W);
        });
        for (int i = 0; a.z.data && i < t; i++) {
          const vf gate = load(z + i * ROW + c);
          store(y + i * ROW + c, load(y + i * ROW + c) * gate * sigmoid(gate));
        }
      }
      store_tile(a.y, row, t0, t, d0, count, ROW, y);
    }
  }
  for (int k = 0; k < mine; k++) {
    const int d0 = (block0 + k) * W;
    from_lanes(h + k * nW, d0, std::min(W, a.d - d0), n, a.h_last + static_cast<size_t>(row) * a.d * n);
  }
}

template <bool SUBSTEPS>
void backward(const ScanBackward& a, int row, int part, int block0, int block1) {
  const ScanForward& f = a.f;
  const int n = f.n, blocks = (f.d + W - 1) / W, segments = (f.t + SEGMENT - 1) / SEGMENT, mine = block1 - block0;
  const size_t nW = static_cast<size_t>(n) * W, tile = SEGMENT * ROW, history = SEGMENT * nW;
  scratch.reserve(3 * mine * nW + mine * W + 2 * SEGMENT * n + 7 * tile + (SUBSTEPS ? 5 : 4) * history + nW + 16 * 20);
  float *A = scratch.take(mine * nW), *gh = scratch.take(mine * nW), *gA = scratch.take(mine * nW),
        *gD = scratch.take(mine * W), *dt = scratch.take(tile), *x = scratch.take(tile), *y = scratch.take(tile),
        *z = scratch.take(tile), *gy = scratch.take(tile), *gx = scratch.take(tile), *gdt = scratch.take(tile),
        *gB = scratch.take(history), *gC = scratch.take(history);
  const History past{scratch.take(history + nW), scratch.take(history), SUBSTEPS ? scratch.take(history) : nullptr};
  float *B = scratch.take(SEGMENT * n), *C = scratch.take(SEGMENT * n);
  for (int k = 0; k < mine; k++) {
    const int d0 = (block0 + k) * W, count = std::min(W, f.d - d0);
    to_lanes(f.A, d0, count, n, A + k * nW);
    to_lanes(a.gh_last + static_cast<size_t>(row) * f.d * n, d0, count, n, gh + k * nW);
  }
  std::fill(gA, gA + mine * nW, 0.f);
  std::fill(gD, gD + mine * W, 0.f);
  for (int s = segments - 1; s >= 0; s--) {
    const int t0 = s * SEGMENT, t = std::min(SEGMENT, f.t - t0);
    load_tile(f.B, row, t0, t, 0, n, n, B);
    load_tile(f.C, row, t0, t, 0, n, n, C);
    std::fill(gB, gB + t * nW, 0.f);
    std::fill(gC, gC + t * nW, 0.f);
    for (int k0 = 0; k0 < mine; k0 += STRIP) {
      const int k1 = std::min(mine, k0 + STRIP), d0 = (block0 + k0) * W, count = std::min((k1 - k0) * W, f.d - d0);
      load_tile(f.dt, row, t0, t, d0, count, ROW, dt);
      load_tile(f.x, row, t0, t, d0, count, ROW, x);
      load_tile(a.gy, row, t0, t, d0, count, ROW, gy);
      if (f.z.data) load_tile(f.z, row, t0, t, d0, count, ROW, z);
      for (int k = k0; k < k1; k++) {
        const int c = (k - k0) * W;
        const vf D = load(f.D + d0 + c, std::min(W, count - c));
        for (int i = 0; i < t; i++) store(y + i * ROW + c, D * load(x + i * ROW + c));
        std::memcpy(past.h, f.checkpoints + ((static_cast<size_t>(row) * segments + s) * blocks + block0 + k) * nW,
                    nW * sizeof(float));
        const Segment segment{t, n, f.inverse_substeps, dt + c, x + c, B, C, y + c};
        for_state_groups<FORWARD_GROUP>(n, [&]<int G>(std::integral_constant<int, G>, int i) {
          recompute<G, SUBSTEPS>(segment, i, A + k * nW + i * W, past);
        });
        for (int i = 0; f.z.data && i < t; i++) {  // out = y z sigmoid(z)
          const vf gate = load(z + i * ROW + c), sg = sigmoid(gate), g = load(gy + i * ROW + c);
          store(z + i * ROW + c, g * load(y + i * ROW + c) * sg * (1.f + gate * (1.f - sg)));
          store(gy + i * ROW + c, g * gate * sg);
        }
        vf sum_D = load(gD + k * W);
        for (int i = 0; i < t; i++) {
          const vf g = load(gy + i * ROW + c);
          store(gx + i * ROW + c, g * D);
          store(gdt + i * ROW + c, splat(0.f));
          sum_D += g * load(x + i * ROW + c);
        }
        store(gD + k * W, sum_D);
        const Adjoint g{gy + c, gx + c, gdt + c, gB, gC};
        for_state_groups<ADJOINT_GROUP>(n, [&]<int G>(std::integral_constant<int, G>, int i) {
          adjoint<G, SUBSTEPS>(segment, i, A + k * nW + i * W, past, g, gh + k * nW + i * W, gA + k * nW + i * W);
        });
      }
      if (f.z.data) store_tile(a.gz, row, t0, t, d0, count, ROW, z);
      store_tile(a.gx, row, t0, t, d0, count, ROW, gx);
      store_tile(a.gdt, row, t0, t, d0, count, ROW, gdt);
    }
    const size_t out = ((static_cast<size_t>(part) * f.b + row) * f.t + t0) * n;
    for (int i = 0; i < t * n; i++) a.gB[out + i] = sum(load(gB + i * W)), a.gC[out + i] = sum(load(gC + i * W));
  }
  for (int k = 0; k < mine; k++) {
    const int d0 = (block0 + k) * W, count = std::min(W, f.d - d0);
    from_lanes(gA + k * nW, d0, count, n, a.gA + static_cast<size_t>(row) * f.d * n);
    from_lanes(gh + k * nW, d0, count, n, a.gh0 + static_cast<size_t>(row) * f.d * n);
    store(a.gD + static_cast<size_t>(row) * f.d + d0, load(gD + k * W), count);
  }
}

}  // namespace

void scan_forward(const ScanForward& a, int row, int block0, int block1) {
  a.inverse_substeps == 1.f ? forward<false>(a, row, block0, block1) : forward<true>(a, row, block0, block1);
}
void scan_backward(const ScanBackward& a, int row, int part, int block0, int block1) {
  a.f.inverse_substeps == 1.f ? backward<false>(a, row, part, block0, block1) : backward<true>(a, row, part, block0, block1);
}

}  // namespace LAS_ISA
