// A trace a few rows at a time. Given the keys, each row is a recurrence of its own:
//   y = sum_i alpha_i H_i x_i,  H'_i = c_H H_i + c_k k_i,  c_H and c_k by the rule from p, s = H k, rate and keep.
#pragma once
#include "ops/kernels/liquid.h"

namespace LAS_ISA {

// rows, densely stored, to rows of a block from the first on, and back
inline void read_rows(const float* from, int rows, Block& to, int first = 0) {
  for (int i = 0; i < rows; i++) std::copy_n(from + static_cast<size_t>(i) * to.columns, to.columns, to.row(first + i));
}
inline void write_rows(const Block& from, int first, int rows, float* to) {
  for (int i = 0; i < rows; i++)
    std::copy_n(from.row(first + i), from.columns, to + static_cast<size_t>(i) * from.columns);
}

struct RuleArguments {  // or their gradients, a lane a row
  vf p, s, rate, keep;
};
struct Coefficients {
  vf H, k;
};

inline Coefficients coefficients(las::Rule rule, const RuleArguments& a) {
  if (rule == las::Rule::hebb) return {a.keep, a.rate * a.p};
  if (rule == las::Rule::oja) return {a.keep - a.rate * a.p * a.p, a.rate * a.p};
  return {a.keep, a.rate * (a.p - a.keep * a.s)};
}

inline RuleArguments adjoint(las::Rule rule, const RuleArguments& a, const Coefficients& g) {
  const vf zero = splat(0.f);
  if (rule == las::Rule::hebb) return {a.rate * g.k, zero, a.p * g.k, g.H};
  if (rule == las::Rule::oja) return {a.rate * (g.k - 2.f * a.p * g.H), zero, a.p * (g.k - a.p * g.H), g.H};
  const vf wrote = a.rate * g.k;
  return {wrote, -a.keep * wrote, (a.p - a.keep * a.s) * g.k, g.H - a.s * wrote};
}

template <class F>  // f(std::integral_constant<Rule, RULE>)
void by_rule(las::Rule rule, F f) {
  if (rule == las::Rule::hebb) return f(std::integral_constant<las::Rule, las::Rule::hebb>{});
  if (rule == las::Rule::oja) return f(std::integral_constant<las::Rule, las::Rule::oja>{});
  f(std::integral_constant<las::Rule, las::Rule::delta>{});
}

template <int R>
void sums(const vf* of, float* to) {
#if defined(__clang__) || __GNUC__ >= 12
  if constexpr (R == 4) {  // folded to four lanes each and transposed
    typedef float v4 __attribute__((vector_size(16)));
    v4 q[4], parts[W / 4];
    for (int r = 0; r < 4; r++) {
      std::memcpy(parts, of + r, sizeof parts);
      for (int half = W / 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) parts[i] += parts[i + half];
      q[r] = parts[0];
    }
    const v4 low = __builtin_shufflevector(q[0], q[1], 0, 4, 1, 5) + __builtin_shufflevector(q[0], q[1], 2, 6, 3, 7);
    const v4 high = __builtin_shufflevector(q[2], q[3], 0, 4, 1, 5) + __builtin_shufflevector(q[2], q[3], 2, 6, 3, 7);
    q[0] = __builtin_shufflevector(low, high, 0, 1, 4, 5) + __builtin_shufflevector(low, high, 2, 3, 6, 7);
    std::memcpy(to, q, sizeof q[0]);
    return;
  }
#endif
  for (int r = 0; r < R; r++) to[r] = sum(of[r]);
}

struct Writing {  // what the element before writes: c_H and c_k a row, and its key
  const float *c_H, *c_k, *k;
};
struct Reading {  // results a row; s may be null where it is not asked for
  const float *alpha, *x, *k;
  float *y, *s;
};

enum Parts : unsigned { WRITE = 1, READ = 2, MATCH = 4 };  // what a pass does

// s is asked for by the delta rule only
constexpr unsigned match(las::Rule rule) { return rule == las::Rule::delta ? MATCH : 0; }

// to = c_H from + c_k k, then y = (alpha * to) x and s = to k', over R rows at a pitch
template <int R, unsigned PARTS>
void pass(int pitch, const float* from, float* to, const Writing& w, const Reading& read) {
  vf y[R], s[R];
  for (int r = 0; r < R; r++) y[r] = s[r] = splat(0.f);
  for (int c = 0; c < pitch; c += W) {
    vf written, x, k;
    if constexpr (PARTS & WRITE) written = load(w.k + c);
    if constexpr (PARTS & READ) x = load(read.x + c);
    if constexpr (PARTS & MATCH) k = load(read.k + c);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      const size_t at = static_cast<size_t>(r) * pitch + c;
      vf h = load(from + at);
      if constexpr (PARTS & WRITE) {
        h = w.c_H[r] * h + w.c_k[r] * written;
        store(to + at, h);
      }
      if constexpr (PARTS & READ) y[r] += load(read.alpha + at) * h * x;
      if constexpr (PARTS & MATCH) s[r] += h * k;
    }
  }
  if constexpr (PARTS & READ) sums<R>(y, read.y);
  if constexpr (PARTS & MATCH) sums<R>(s, read.s);
}

struct Dots {  // a row each: G H and G k, the gradients of c_H and c_k; H for oja only, as no other p depends on it
  float *H, *k;
};

template <int R, las::Rule RULE>
void dots(int pitch, const float* G, const float* H, const float* k, const Dots& to) {
  vf with_H[R], with_k[R];
  for (int r = 0; r < R; r++) with_H[r] = with_k[r] = splat(0.f);
  for (int c = 0; c < pitch; c += W) {
    const vf key = load(k + c);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      const vf g = load(G + r * pitch + c);
      if constexpr (RULE == las::Rule::oja) with_H[r] += g * load(H + r * pitch + c);
      with_k[r] += g * key;
    }
  }
  if constexpr (RULE == las::Rule::oja) sums<R>(with_H, to.H);
  sums<R>(with_k, to.k);
}

struct Element {
  const float *H, *alpha, *x, *k;    // H: the trace before it
  const float *c_H, *c_k, *gs, *gy;  // a row each; gs for delta only
  float *G, *galpha, *gx, *gk;       // G: of the trace after it, then of the one before it; the others are added to
  float* gkeep;                      // G H of all rows is added to it; not for oja
  const float *H_before, *k_before;  // of the element before, whose dots are taken on the way
  const float *H_next, *G_next;      // rows that are needed next, fetched on the way
};

constexpr int LINE = 16;  // floats of a cache line

// The adjoint of an element over R rows, with the dots of the one before it where there is one
template <int R, las::Rule RULE, bool BEFORE>
void retreat(int pitch, const Element& e, const Dots& before) {
  constexpr bool OJA = RULE == las::Rule::oja;
  vf with_H[R], with_k[R], gkeep = splat(0.f);
  for (int r = 0; r < R; r++) with_H[r] = with_k[r] = splat(0.f);
  for (int c = 0; c < pitch; c += W) {
    const vf x = load(e.x + c), k = load(e.k + c);
    vf gx = load(e.gx + c), gk = load(e.gk + c), key = splat(0.f);
    if constexpr (BEFORE) key = load(e.k_before + c);
    for (int r = 0; r < R && c % LINE == 0; r++) {
      __builtin_prefetch(e.H_next + static_cast<size_t>(r) * pitch + c);
      __builtin_prefetch(e.G_next + static_cast<size_t>(r) * pitch + c, 1);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      const size_t at = static_cast<size_t>(r) * pitch + c;
      const vf h = load(e.H + at), alpha = load(e.alpha + at), gyx = e.gy[r] * x;
      vf g = load(e.G + at);
      store(e.galpha + at, load(e.galpha + at) + h * gyx);
      gx += e.gy[r] * (alpha * h);
      gk += e.c_k[r] * g;
      if constexpr (!OJA) gkeep += g * h;
      g = e.c_H[r] * g + alpha * gyx;
      if constexpr (RULE == las::Rule::delta) {
        gk += e.gs[r] * h;
        g += e.gs[r] * k;
      }
      store(e.G + at, g);
      if constexpr (BEFORE) {
        if constexpr (OJA) with_H[r] += g * load(e.H_before + at);
        with_k[r] += g * key;
      }
    }
    store(e.gx + c, gx);
    store(e.gk + c, gk);
  }
  if constexpr (!OJA) *e.gkeep += sum(gkeep);
  if constexpr (BEFORE && OJA) sums<R>(with_H, before.H);
  if constexpr (BEFORE) sums<R>(with_k, before.k);
}

}  // namespace LAS_ISA
