// y = sum_i (W_i silu(x_i) + sum_k C_ik B_k(x_i)), B_k of degree P. In a cell [t_c, t_{c+1}) only B_{c-P} .. B_c are
// not zero. The rows of a tile are sorted by cell, feature by feature: those of one cell meet the same P + 1 rows of C,
// which stay in registers. The backward pass owns features, so that gC and gx of a feature have one writer.
#include "ops/kernels/bspline.h"

namespace LAS_ISA {
namespace {

using las::BsplineGrad;

constexpr int FEATURES = 8;            // sorted before they are used
constexpr int WIDE = W == 16 ? 4 : 2;  // vectors of outputs in a block of registers

thread_local Scratch scratch;
thread_local Sorted sorted[FEATURES];

template <int V>
inline void get(const float* p, int left, vf* v) {  // left: outputs from p on
  const bool whole = left >= V * W;
#pragma GCC unroll 4
  for (int u = 0; u < V; u++) v[u] = whole ? load(p + u * W) : load(p + u * W, std::clamp(left - u * W, 0, W));
}
template <int V>
inline void put(float* p, int left, const vf* v) {
  const bool whole = left >= V * W;
#pragma GCC unroll 4
  for (int u = 0; u < V; u++)
    if (whole)
      store(p + u * W, v[u]);
    else
      store(p + u * W, v[u], std::clamp(left - u * W, 0, W));
}

// row r of a group's block of weights: the functions of its cell, then W; null where there is none
template <class K>
float* weights_of(const Bspline& a, const float* C, const float* base, int i, int cell, int r) {
  if (r > K::degree) return const_cast<float*>(base) + static_cast<int64_t>(i) * a.out;
  const int k = cell - K::degree + r;
  return k < 0 || k >= a.K ? nullptr : const_cast<float*>(C) + (static_cast<int64_t>(i) * a.K + k) * a.out;
}

template <class K, int V>
void get_weights(const Bspline& a, int i, int cell, int o, vf (&c)[K::rows][V]) {
#pragma GCC unroll 7
  for (int r = 0; r < K::rows; r++) {
    const float* p = weights_of<K>(a, a.C, a.W, i, cell, r);
    if (p)
      get<V>(p + o, a.out - o, c[r]);
    else
#pragma GCC unroll 4
      for (int u = 0; u < V; u++) c[r][u] = splat(0.f);
  }
}

// calls f(first output, its vectors): WIDE, or 1 where few are left
template <class F>
void over_blocks(int out, F f) {
  for (int o = 0; o < out;) {
    if (out - o > WIDE / 2 * W) {
      f(o, std::integral_constant<int, WIDE>{});
      o += WIDE * W;
    } else {
      f(o, std::integral_constant<int, 1>{});
      o += W;
    }
  }
}

template <class K, int V>
void add_group(const Bspline& a, const Sorted& s, const Group& g, int i, int o, float* y) {
  vf c[K::rows][V];
  get_weights<K, V>(a, i, g.cell, o, c);
  for (int j = g.begin; j < g.end; j++) {
    float* to = y + s.row[j] * V * W;
    vf sum[V];
#pragma GCC unroll 4
    for (int u = 0; u < V; u++) sum[u] = load(to + u * W);
#pragma GCC unroll 7
    for (int r = 0; r < K::rows; r++)
#pragma GCC unroll 4
      for (int u = 0; u < V; u++) sum[u] += s.value[r][j] * c[r][u];
#pragma GCC unroll 4
    for (int u = 0; u < V; u++) store(to + u * W, sum[u]);
  }
}

size_t tile_size(const Bspline& a) {  // outputs of ROWS rows: a block after the other, (ROWS, V W) each
  return ROWS * static_cast<size_t>(a.out + WIDE * W);
}

template <class K>
void forward(const Bspline& a, int64_t begin, int64_t end) {
  scratch.reserve(tile_size(a));
  float* tile = scratch.take(tile_size(a));
  for (int64_t r0 = begin; r0 < end; r0 += ROWS) {
    const int count = static_cast<int>(std::min<int64_t>(ROWS, end - r0));
    std::fill_n(tile, tile_size(a), 0.f);
    for (int i0 = 0; i0 < a.d; i0 += FEATURES) {
      const int features = std::min(FEATURES, a.d - i0);
      for (int i = 0; i < features; i++) sort_rows<K>(a, r0, count, i0 + i, sorted[i]);
      over_blocks(a.out, [&](int o, auto vectors) {
        for (int i = 0; i < features; i++)
          for (int g = 0; g < sorted[i].groups; g++)
            add_group<K, vectors>(a, sorted[i], sorted[i].group[g], i0 + i, o, tile + static_cast<size_t>(ROWS) * o);
      });
    }
    over_blocks(a.out, [&](int o, auto vectors) {
      constexpr int V = vectors;
      for (int j = 0; j < count; j++) {
        vf v[V];
        get<V>(tile + static_cast<size_t>(ROWS) * o + j * V * W, V * W, v);
        put<V>(a.y + (r0 + j) * a.out + o, a.out - o, v);
      }
    });
  }
}

// gC += B gy
template <class K, int V>
void weight_gradient(const BsplineGrad& a, const Sorted& s, const Group& g, int i, int o, const float* gy) {
  vf sum[K::rows][V];
#pragma GCC unroll 7
  for (int r = 0; r < K::rows; r++)
#pragma GCC unroll 4
    for (int u = 0; u < V; u++) sum[r][u] = splat(0.f);
  for (int j = g.begin; j < g.end; j++) {
    const float* from = gy + s.row[j] * V * W;
#pragma GCC unroll 7
    for (int r = 0; r < K::rows; r++)
#pragma GCC unroll 4
      for (int u = 0; u < V; u++) sum[r][u] += s.value[r][j] * load(from + u * W);
  }
#pragma GCC unroll 7
  for (int r = 0; r < K::rows; r++)
    if (float* p = weights_of<K>(a.f, a.gC, a.gW, i, g.cell, r)) {
      vf v[V];
      get<V>(p + o, a.f.out - o, v);
#pragma GCC unroll 4
      for (int u = 0; u < V; u++) v[u] += sum[r][u];
      put<V>(p + o, a.f.out - o, v);
    }
}

// products, W lanes a place: += gy times the slope of the outputs
template <class K, int V>
void input_gradient(const BsplineGrad& a, const Sorted& s, const Group& g, int i, int o, const float* gy,
                    float* products) {
  constexpr int P = K::degree;
  vf c[K::rows][V];
  get_weights<K, V>(a.f, i, g.cell, o, c);
  if (P > 0 && g.cell >= 0 && g.cell < a.f.K + P) {
    const Cell<P> cell(a.f, a.f.knots + static_cast<int64_t>(i) * (a.f.K + P + 1), g.cell);
#pragma GCC unroll 5
    for (int q = 0; q < P; q++)
#pragma GCC unroll 4
      for (int u = 0; u < V; u++) c[q][u] = (c[q + 1][u] - c[q][u]) * (P * cell.inverse[P][q]);
  }
  if constexpr (K::base)
#pragma GCC unroll 4
    for (int u = 0; u < V; u++) c[P][u] = c[P + 1][u];
  for (int j = g.begin; j < g.end; j++) {
    const float* from = gy + s.row[j] * V * W;
    vf dot = load(products + j * W);
#pragma GCC unroll 4
    for (int u = 0; u < V; u++) {
      vf slope = splat(0.f);
#pragma GCC unroll 6
      for (int q = 0; q < K::slopes; q++) slope += s.slope[q][j] * c[q][u];
      dot += slope * load(from + u * W);
    }
    store(products + j * W, dot);
  }
}

template <int H, int... L>
inline vf fold(vf a, vf b, std::integer_sequence<int, L...>) {  // halves of 2 H lanes of a, and of b, added up
  return __builtin_shufflevector(a, b, (L % (2 * H) < H ? L : W + L - H)...) +
         __builtin_shufflevector(a, b, (L % (2 * H) < H ? L + H : W + L)...);
}
template <int H>
inline void fold_all(vf* v) {
  for (int i = 0; i < H; i++) v[i] = fold<H>(v[i], v[i + H], std::make_integer_sequence<int, W>{});
  if constexpr (H > 1) fold_all<H / 2>(v);
}
inline vf sums(const float* rows) {  // lane i: the sum of row i of a (W, W) tile
  vf v[W];
  for (int i = 0; i < W; i++) v[i] = load(rows + i * W);
  fold_all<W / 2>(v);
  return v[0];
}

template <class K>
void backward(const BsplineGrad& a, int64_t begin, int64_t end, int i0, int i1) {
  const Bspline& f = a.f;
  Sorted& s = sorted[0];
  scratch.reserve(tile_size(f) + PLACES * W);
  float *gy = scratch.take(tile_size(f)), *products = scratch.take(PLACES * W);
  const int64_t slab = static_cast<int64_t>(f.K) * f.out;
  std::fill(a.gC + i0 * slab, a.gC + i1 * slab, 0.f);
  if (K::base) std::fill(a.gW + static_cast<int64_t>(i0) * f.out, a.gW + static_cast<int64_t>(i1) * f.out, 0.f);
  for (int64_t r0 = begin; r0 < end; r0 += ROWS) {
    const int count = static_cast<int>(std::min<int64_t>(ROWS, end - r0));
    over_blocks(f.out, [&](int o, auto vectors) {
      constexpr int V = vectors;
      for (int j = 0; j < count; j++) {
        vf v[V];
        get<V>(a.gy + (r0 + j) * f.out + o, f.out - o, v);
        put<V>(gy + ROWS * static_cast<size_t>(o) + j * V * W, V * W, v);
      }
    });
    for (int i = i0; i < i1; i++) {
      sort_rows<K>(f, r0, count, i, s);
      std::fill_n(products, PLACES * W, 0.f);
      over_blocks(f.out, [&](int o, auto vectors) {
        const float* block = gy + ROWS * static_cast<size_t>(o);
        for (int g = 0; g < s.groups; g++) {
          weight_gradient<K, vectors>(a, s, s.group[g], i, o, block);
          input_gradient<K, vectors>(a, s, s.group[g], i, o, block, products);
        }
      });
      for (int j = 0; j < count; j += W) {
        const vf gx = sums(products + j * W);
        for (int l = 0; l < std::min(W, count - j); l++) a.gx[(r0 + s.row[j + l]) * f.d + i] = gx[l];
      }
    }
  }
}

template <class F>
void with_kind(const Bspline& a, F f) {
  const auto of_degree = [&](auto degree) {
    if (a.W)
      f(Kind<decltype(degree)::value, true>{});
    else
      f(Kind<decltype(degree)::value, false>{});
  };
  switch (a.degree) {
    case 0: return of_degree(std::integral_constant<int, 0>{});
    case 1: return of_degree(std::integral_constant<int, 1>{});
    case 2: return of_degree(std::integral_constant<int, 2>{});
    case 3: return of_degree(std::integral_constant<int, 3>{});
    case 4: return of_degree(std::integral_constant<int, 4>{});
    case 5: return of_degree(std::integral_constant<int, 5>{});
  }
}

}  // namespace

void bspline_forward(const Bspline& a, int64_t r0, int64_t r1) {
  with_kind(a, [&](auto kind) { forward<decltype(kind)>(a, r0, r1); });
}

void bspline_backward(const BsplineGrad& a, int64_t r0, int64_t r1, int i0, int i1) {
  with_kind(a.f, [&](auto kind) { backward<decltype(kind)>(a, r0, r1, i0, i1); });
}

}  // namespace LAS_ISA
