// v_t = beta v_{t-1} + awake (u_t + U s_{t-1}) - theta s_{t-1}, s_t = awake where v_t > theta + kappa a_t: W neurons
// and one element, forward and back. The way back computes a segment's potentials again from the one kept before it:
// who fired is known.
#pragma once
#include "ops/kernels/tile.h"

namespace LAS_ISA {

using las::LifScan;
using las::LifScanGrad;
using las::LifSurrogate;
using las::SEGMENT;

enum { V, S, REST, A, STATE };     // rows of a state, and of the gradient of one
enum { BETA, THETA, KAPPA, RHO };  // rows of the neurons

// x as a sum of its own: the compiler may not fuse it with the one it goes into, which the reference rounds apart.
inline vf rounded(vf x) {
#if defined(__x86_64__)
  asm("" : "+v"(x));
#elif defined(__aarch64__)
  asm("" : "+w"(x));
#endif
  return x;
}

struct Cell {  // W neurons
  vf beta, theta, kappa, rho;
  float hard;  // 1 where a reset leaves nothing, 0 where it subtracts theta
  vf reset;    // what is subtracted after a spike
};
inline Cell cell_at(const LifScan& a, const float* cells, int pitch, int c) {
  Cell x{load(cells + BETA * pitch + c), load(cells + THETA * pitch + c), load(cells + KAPPA * pitch + c),
         load(cells + RHO * pitch + c), a.hard ? 1.f : 0.f, {}};
  x.reset = (1.f - x.hard) * x.theta;
  return x;
}

struct Now {
  vf v, s, rest, a;
};
inline Now now_at(const float* state, int pitch, int c) {
  return {load(state + V * pitch + c), load(state + S * pitch + c), load(state + REST * pitch + c),
          load(state + A * pitch + c)};
}
inline void put(const Now& x, float* state, int pitch, int c) {
  store(state + V * pitch + c, x.v), store(state + S * pitch + c, x.s);
  store(state + REST * pitch + c, x.rest), store(state + A * pitch + c, x.a);
}

template <bool RESTS>
inline vf awake(const Now& x) {
  return RESTS ? (x.rest == 0.f ? splat(1.f) : splat(0.f)) : splat(1.f);
}

// The potential and a of the next element; s and rest are still those of the last. How far it is above the threshold.
template <bool ADAPTS, bool RESTS>
inline vf charge(const Cell& c, vf current, Now& x) {
  const vf kept = rounded(c.beta * ((1.f - c.hard * x.s) * x.v));
  x.v = kept + (RESTS ? awake<RESTS>(x) * current : current) - c.reset * x.s;
  vf over = x.v - c.theta;
  if constexpr (ADAPTS) {
    x.a = rounded(c.rho * x.a) + x.s;
    over = over - rounded(c.kappa * x.a);
  }
  return over;
}

template <bool RESTS>
inline void fire(vf s, float refractory, Now& x) {
  x.s = s;
  if constexpr (RESTS) {
    x.rest = s > 0.f ? splat(refractory) : max(x.rest - 1.f, splat(0.f));
  }
}

struct Back {  // gradients of the state before an element, and of the neurons
  vf v, s, a;
  vf beta, theta, kappa, rho;
};
struct Past {  // of an element: what it began with, and what became of it
  vf v, s, a, a_next, awake, slope;
};

// From the gradients of s and v of an element to that of its current.
template <bool ADAPTS>
inline vf retreat(const Cell& c, const Past& x, vf gs, vf gv, Back& g) {
  const vf fired = x.slope * (gs + g.s), total = gv + g.v + fired, left = 1.f - c.hard * x.s;
  g.theta -= fired + (1.f - c.hard) * x.s * total;
  g.beta += total * left * x.v;
  g.v = c.beta * left * total;
  g.s = splat(0.f);
  if constexpr (ADAPTS) {
    g.kappa -= fired * x.a_next;
    const vf ga = g.a - c.kappa * fired;
    g.rho += ga * x.a;
    g.s = ga;
    g.a = c.rho * ga;
  }
  return x.awake * total;
}

template <class F>
void each_vector(float* x, int count, F f) {
  for (int i = 0; i < count; i += W) store(x + i, f(load(x + i)));
}
// How far above the threshold, to what stands for the derivative of a step there.
inline void to_slopes(LifSurrogate surrogate, float k, float* x, int count) {
  const auto size = [](vf v) { return v < 0.f ? -v : v; };
  switch (surrogate) {
    case LifSurrogate::fast_sigmoid:
      return each_vector(x, count, [=](vf v) {
        const vf below = 1.f + k * size(v);
        return 1.f / (below * below);
      });
    case LifSurrogate::arctan:
      return each_vector(x, count, [=](vf v) {
        const vf at = 1.57079632679f * k * v;
        return k / 2 / (1.f + at * at);
      });
    case LifSurrogate::triangular:
      return each_vector(x, count, [=](vf v) { return max(splat(0.f), 1.f - k * size(v)); });
    case LifSurrogate::straight_through: std::fill_n(x, count, 1.f);
  }
}

template <class F>  // f(adapts, rests)
void by_kind(const LifScan& a, F f) {
  if (a.adapts)
    a.rests ? f(std::true_type{}, std::true_type{}) : f(std::true_type{}, std::false_type{});
  else
    a.rests ? f(std::false_type{}, std::true_type{}) : f(std::false_type{}, std::false_type{});
}

inline void load_cells(const LifScan& a, int d0, int count, int pitch, float* cells) {
  std::fill_n(cells, 4 * pitch, 0.f);
  for (int i = 0; i < (a.adapts ? 4 : 2); i++)
    std::copy_n(a.neurons + static_cast<size_t>(i) * a.d + d0, count, cells + i * pitch);
}
inline void write_rows_of(const float* rows, int count, int pitch, int n, int d, float* to) {
  for (size_t i = 0; i < static_cast<size_t>(n); i++) std::copy_n(rows + i * pitch, count, to + i * d);
}

// What is kept before a segment: v, then rest and a where they change.
template <class F>
void over_kept(const LifScan& a, F f) {  // f(row of the state, which of the kept)
  int which = 0;
  f(int(V), which++);
  if (a.rests) f(int(REST), which++);
  if (a.adapts) f(int(A), which++);
}
inline float* checkpoint(const LifScan& a, int row, int t0, int which) {
  const int kept = 1 + a.rests + a.adapts, segments = (a.t - 1) / SEGMENT;
  return a.checkpoints + ((static_cast<size_t>(row) * segments + t0 / SEGMENT - 1) * kept + which) * a.d;
}
inline void keep(const LifScan& a, int row, int t0, int d0, int count, int pitch, const float* state) {
  over_kept(a, [&](int of, int which) { std::copy_n(state + of * pitch, count, checkpoint(a, row, t0, which) + d0); });
}
// The state before element t0.
inline void restore(const LifScan& a, int row, int t0, int d0, int count, int pitch, float* state) {
  load_tile(a.state, row, 0, STATE, d0, count, pitch, state);
  if (!t0) return;
  load_tile(a.s, row, t0 - 1, 1, d0, count, pitch, state + S * pitch);
  over_kept(a, [&](int of, int which) { std::copy_n(checkpoint(a, row, t0, which) + d0, count, state + of * pitch); });
}

// A segment of a row as it went: potentials, spikes and a before each element and after the last, who was awake, how
// far each was above its threshold and later the slope there.
struct Tape {
  Tape(Scratch& from, int pitch) : pitch(pitch) {
    const size_t rows = static_cast<size_t>(SEGMENT + 1) * pitch;
    v = from.take(rows), s = from.take(rows), a = from.take(rows), open = from.take(rows), slope = from.take(rows);
  }
  static size_t floats(int pitch) { return static_cast<size_t>(5) * (SEGMENT + 1) * pitch; }

  void begin(const float* state) {
    std::copy_n(state + V * pitch, pitch, v), std::copy_n(state + S * pitch, pitch, s);
    std::copy_n(state + A * pitch, pitch, a);
  }
  template <bool ADAPTS, bool RESTS>
  void replay(const Cell& cell, float refractory, int i, int c, vf current, Now& x) {
    const size_t at = static_cast<size_t>(i) * pitch + c, next = at + pitch;
    if constexpr (RESTS) store(open + at, awake<RESTS>(x));
    store(slope + at, charge<ADAPTS, RESTS>(cell, current, x));
    fire<RESTS>(load(s + next), refractory, x);
    store(v + next, x.v);
    if constexpr (ADAPTS) store(a + next, x.a);
  }
  template <bool ADAPTS, bool RESTS>
  Past past(int i, int c) const {
    const size_t at = static_cast<size_t>(i) * pitch + c;
    Past x{load(v + at), load(s + at), {}, {}, splat(1.f), load(slope + at)};
    if constexpr (ADAPTS) x.a = load(a + at), x.a_next = load(a + at + pitch);
    if constexpr (RESTS) x.awake = load(open + at), x.slope *= x.awake;
    return x;
  }

  const int pitch;
  float *v, *s, *a, *open, *slope;
};

inline Back back_at(const float* state, const float* cells, int pitch, int c) {
  return {load(state + V * pitch + c),    load(state + S * pitch + c),     load(state + A * pitch + c),
          load(cells + BETA * pitch + c), load(cells + THETA * pitch + c), load(cells + KAPPA * pitch + c),
          load(cells + RHO * pitch + c)};
}
inline void put(const Back& g, float* state, float* cells, int pitch, int c) {
  store(state + V * pitch + c, g.v), store(state + S * pitch + c, g.s), store(state + A * pitch + c, g.a);
  store(cells + BETA * pitch + c, g.beta), store(cells + THETA * pitch + c, g.theta);
  store(cells + KAPPA * pitch + c, g.kappa), store(cells + RHO * pitch + c, g.rho);
}
inline void write_gradients(const LifScanGrad& a, int row, int d0, int count, int pitch, float* state,
                            const float* cells) {
  std::fill_n(state + REST * pitch, pitch, 0.f);
  const size_t d = a.f.d, kinds = a.f.adapts ? 4 : 2;
  write_rows_of(state, count, pitch, STATE, a.f.d, a.gstate + row * STATE * d + d0);
  write_rows_of(cells, count, pitch, kinds, a.f.d, a.gneurons + row * kinds * d + d0);
}

}  // namespace LAS_ISA
