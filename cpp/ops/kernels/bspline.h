// The B-splines of one feature for a tile of rows: rows sorted by cell, and what is not zero in each cell.
#pragma once
#include "ops/kernels/tile.h"

namespace LAS_ISA {
namespace {

using las::Bspline;

constexpr int ROWS = 128;         // a tile
constexpr int DEGREE = 5;         // the highest
constexpr int PLACES = ROWS + W;  // vectors of a group reach past its end

struct Group {  // rows of one cell
  int begin, end, cell;
};

struct Sorted {  // the rows of a tile in the order of the cells of one feature
  int groups, row[ROWS];
  Group group[ROWS];
  float value[DEGREE + 2][PLACES];  // B_{c-P} .. B_c, silu
  float slope[DEGREE + 1][PLACES];  // the functions of degree P - 1, silu'
};

thread_local std::vector<int> bins;

template <int P, bool BASE>
struct Kind {
  static constexpr int degree = P, rows = P + 1 + BASE, slopes = P + BASE;
  static constexpr bool base = BASE;
};

// 1 / (t_{c+r+1} - t_{c+1-j+r}) at [j][r] and t_{c+1-P} .. t_{c+P}; past the ends of the knots, numbers that grow.
template <int P>
struct Cell {
  float t[2 * P + 1], inverse[P + 1][P + 1];

  Cell(const Bspline& a, const float* knots, int c) {
    const int last = a.K + P;
    for (int q = 0; q < 2 * P; q++) {
      const int m = c + 1 - P + q, in = std::clamp(m, 0, last);
      t[q] = knots[in] + static_cast<float>(m - in);
    }
    for (int j = 1; j <= P; j++)
      for (int r = 0; r < j; r++) inverse[j][r] = 1.f / (t[P + r] - t[P - j + r]);
  }
};

// de Boor's triangle at W places from `at` on; functions whose support leaves the knots are none of ours
template <class K>
void evaluate(const Bspline& a, const Cell<K::degree>& cell, int c, vf x, int at, Sorted& s) {
  constexpr int P = K::degree;
  const auto put = [&](float (*rows)[PLACES], int count, int first, int end, const vf* v) {
    for (int r = 0; r < count; r++) store(rows[r] + at, first + r >= 0 && first + r < end ? v[r] : splat(0.f));
  };
  vf n[P + 1];
  n[0] = splat(1.f);
#pragma GCC unroll 5
  for (int j = 1; j <= P; j++) {
    if (j == P) put(s.slope, P, c - P + 1, a.K + 1, n);
    vf saved = splat(0.f);
#pragma GCC unroll 5
    for (int r = 0; r < j; r++) {
      const vf share = n[r] * cell.inverse[j][r];
      n[r] = saved + (cell.t[P + r] - x) * share;
      saved = (x - cell.t[P - j + r]) * share;
    }
    n[j] = saved;
  }
  put(s.value, P + 1, c - P, a.K, n);
}

template <class K>
void sort_rows(const Bspline& a, int64_t r0, int count, int i, Sorted& s) {
  constexpr int P = K::degree;
  alignas(64) float column[PLACES], x[PLACES];
  alignas(64) int32_t bin[PLACES];
  for (int j = 0; j < count; j++) column[j] = a.x[(r0 + j) * a.d + i];
  std::fill(column + count, column + PLACES, 0.f);

  const int last = a.K + P;
  const float* knots = a.knots + static_cast<int64_t>(i) * (last + 1);
  bins.assign(last + 3, 0);
  for (int j = 0; j < count; j += W) {
    const vf v = load(column + j);
    vi passed{};
    for (int m = 0; m <= last; m++) passed -= v >= splat(knots[m]);
    std::memcpy(bin + j, &passed, sizeof passed);
  }
  for (int j = 0; j < count; j++) bins[bin[j] + 1]++;
  s.groups = 0;
  for (int b = 0; b <= last + 1; b++) {
    bins[b + 1] += bins[b];
    if (bins[b + 1] > bins[b]) s.group[s.groups++] = {bins[b], bins[b + 1], b - 1};
  }
  for (int j = 0; j < count; j++) {
    const int at = bins[bin[j]]++;
    s.row[at] = j;
    x[at] = column[j];
  }
  std::fill(x + count, x + PLACES, 0.f);

  for (int g = 0; g < s.groups; g++) {
    const auto [begin, end, c] = s.group[g];
    const bool inside = c >= 0 && c < last;
    const Cell<P> cell(a, knots, c);
    for (int at = begin; at < end; at += W) {
      const vf v = load(x + at);
      if (inside) {
        evaluate<K>(a, cell, c, v, at, s);
        continue;
      }
      const vf nothing = v - v;  // NaN where x is not finite
      for (int r = 0; r <= P; r++) store(s.value[r] + at, nothing);
      for (int r = 0; r < P; r++) store(s.slope[r] + at, nothing);
    }
  }
  if constexpr (K::base)
    for (int at = 0; at < count; at += W) {
      const vf v = load(x + at), open = sigmoid(v);
      store(s.value[P + 1] + at, v * open);
      store(s.slope[P] + at, open * (1.f + v * (1.f - open)));
    }
}

}  // namespace
}  // namespace LAS_ISA
