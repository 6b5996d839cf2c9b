// What the liquid scans share: R batch rows at a time through an ODE dh/dt = drive - decay h, forward and backward.
//
// A Field has eval<R>, which fills a Stage with drive and decay at its h, and adjoint<R>, which takes their gradients back
// to h and to the field's parameters; begin<R> and end<R> open and close an element of the sequence. A field that uses
// h besides adds to its gradient after the element in adjoint_after<R> and before it in adjoint_before<R>. States are
// kept at elements only: the backward pass recomputes the stages in between.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "ops/kernels.h"
#include "simd/simd.h"

namespace LAS_ISA {

constexpr int TILE = 4;  // batch rows that share one load of a weight

inline vf tanh(vf x) {
  const vf e = expm1(2.f * x);
  return e / (e + 2.f);
}

struct Transposed {};

class Block {  // rows of floats, each padded with zeros to whole vectors, aligned to 64 bytes
 public:
  Block(int rows, int columns) : rows(rows), columns(columns), pitch((columns + W - 1) / W * W), data_(size() + 16) {
    at = reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(data_.data()) + 63) & ~uintptr_t{63});
  }
  Block(const float* from, int rows, int columns) : Block(rows, columns) {
    for (int i = 0; i < rows; i++) std::copy_n(from + static_cast<size_t>(i) * columns, columns, row(i));
  }
  Block(const Block& a, Transposed) : Block(a.columns, a.rows) {
    for (int i = 0; i < a.rows; i++)
      for (int j = 0; j < a.columns; j++) row(j)[i] = a.row(i)[j];
  }
  Block(const Block&) = delete;

  float* row(int i) { return at + static_cast<size_t>(i) * pitch; }
  const float* row(int i) const { return at + static_cast<size_t>(i) * pitch; }
  void clear() { std::fill_n(at, size(), 0.f); }
  void write(float* to) const {
    for (int i = 0; i < rows; i++) std::copy_n(row(i), columns, to + static_cast<size_t>(i) * columns);
  }

  const int rows, columns, pitch;
  float* at;

 private:
  size_t size() const { return static_cast<size_t>(rows) * pitch; }
  std::vector<float> data_;
};

template <int R, int P>
void multiply_columns(const float* in, int in_pitch, const Block& weights, int column, float* out, int out_pitch) {
  vf sums[R][P];
  for (int r = 0; r < R; r++)
    for (int p = 0; p < P; p++) sums[r][p] = load(out + r * out_pitch + column + p * W);
  for (int j = 0; j < weights.rows; j++) {
    const float* w = weights.row(j) + column;
#pragma GCC unroll 4
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
      for (int p = 0; p < P; p++) sums[r][p] += in[r * in_pitch + j] * load(w + p * W);
  }
  for (int r = 0; r < R; r++)
    for (int p = 0; p < P; p++) store(out + r * out_pitch + column + p * W, sums[r][p]);
}

// out (R, columns) += in (R, rows) weights (rows, columns)
template <int R>
void multiply(const Block& in, const Block& weights, Block& out) {
  constexpr int P = W == 16 ? 4 : 2;
  int c = 0;
  for (; c + P * W <= weights.pitch; c += P * W)
    multiply_columns<R, P>(in.at, in.pitch, weights, c, out.at, out.pitch);
  for (; c < weights.pitch; c += W) multiply_columns<R, 1>(in.at, in.pitch, weights, c, out.at, out.pitch);
}

// sums (left columns, right columns) += left^T right, over R rows
template <int R>
void add_outer(const Block& left, const Block& right, Block& sums) {
  for (int j = 0; j < sums.rows; j++)
    for (int c = 0; c < sums.pitch; c += W) {
      vf sum = load(sums.row(j) + c);
      for (int r = 0; r < R; r++) sum += left.row(r)[j] * load(right.row(r) + c);
      store(sums.row(j) + c, sum);
    }
}

struct Stage {  // one evaluation of the field
  Stage(int hidden, int extra) : h(TILE, hidden), drive(TILE, hidden), decay(TILE, hidden), extra(TILE, extra) {}
  Block h, drive, decay, extra;  // extra: what the field keeps for its adjoint
};

template <int R, class F>
void each(const Block& like, F f) {  // f(row, offset of a vector)
  for (int r = 0; r < R; r++)
    for (int c = 0; c < like.pitch; c += W) f(r, r * like.pitch + c);
}

template <class Field>
class Recurrence {
 public:
  Recurrence(const las::Liquid& a, Field& field, int extra)
      : a_(a), field_(field), gh_(TILE, a.hidden), gdrive_(TILE, a.hidden), gdecay_(TILE, a.hidden),
        gmid_(TILE, a.hidden) {
    per_step_ = a.solver == las::Solver::midpoint ? 2 : 1;
    for (int i = 0; i <= per_step_ * a.substeps; i++) stages_.push_back(std::make_unique<Stage>(a.hidden, extra));
  }

  template <int R>
  void forward(int row) {
    Stage &now = *stages_[0], &mid = *stages_[per_step_ - 1];
    load_states<R>(now.h, row, -1);
    for (int i = 0; i < a_.t; i++) {
      open<R>(row, i);
      for (int k = 0; k < a_.substeps; k++) advance<R>(now, mid, now.h);
      for (int r = 0; r < R; r++) std::copy_n(now.h.row(r), a_.hidden, state(row + r, i));
    }
  }

  template <int R>
  void backward(int row, const las::LiquidGrad& to) {
    const int K = a_.substeps;
    gh_.clear();
    for (int i = a_.t - 1; i >= 0; i--) {
      open<R>(row, i);
      load_states<R>(stages_[0]->h, row, i - 1);
      for (int k = 0; k < K; k++) advance<R>(before(k), middle(k), before(k + 1).h);
      for (int r = 0; r < R; r++) {
        const float* g = to.gh + (row + r) * to.gh_stride[0] + i * to.gh_stride[1];
        for (int j = 0; j < a_.hidden; j++) gh_.row(r)[j] += g[j * to.gh_stride[2]];
        gd_[r] = splat(0.f);
      }
      if constexpr (requires { field_.template adjoint_after<R>(row, i, gh_); })
        field_.template adjoint_after<R>(row, i, gh_);
      for (int k = K - 1; k >= 0; k--) retreat<R>(before(k), middle(k), before(k + 1).h);
      field_.template end<R>(row, i);
      if constexpr (requires { field_.template adjoint_before<R>(row, i, gh_); })
        field_.template adjoint_before<R>(row, i, gh_);
      for (int r = 0; r < R; r++) to.gdt[static_cast<size_t>(row + r) * a_.t + i] = sum(gd_[r]) / static_cast<float>(K);
    }
    for (int r = 0; r < R; r++) std::copy_n(gh_.row(r), a_.hidden, to.gh0 + static_cast<size_t>(row + r) * a_.hidden);
  }

 private:
  Stage& before(int k) { return *stages_[per_step_ * k]; }
  Stage& middle(int k) { return *stages_[per_step_ * (k + 1) - 1]; }
  float* state(int row, int i) const { return a_.h + (static_cast<size_t>(row) * a_.t + i) * a_.hidden; }

  template <int R>
  void load_states(Block& h, int row, int i) {
    for (int r = 0; r < R; r++)
      std::copy_n(i < 0 ? a_.h0 + static_cast<size_t>(row + r) * a_.hidden : state(row + r, i), a_.hidden, h.row(r));
  }

  template <int R>
  void open(int row, int i) {
    field_.template begin<R>(row, i);
    for (int r = 0; r < R; r++) d_[r] = a_.dt[static_cast<size_t>(row + r) * a_.t + i] / static_cast<float>(a_.substeps);
  }

  template <int R>
  void advance(Stage& now, Stage& mid, Block& next) {
    field_.template eval<R>(now);
    if (a_.solver == las::Solver::midpoint) {
      euler<R>(now, now.h, 0.5f, mid.h);
      field_.template eval<R>(mid);
      euler<R>(mid, now.h, 1.f, next);
    } else if (a_.solver == las::Solver::fused) {
      each<R>(next, [&](int r, int o) {
        store(next.at + o, (load(now.h.at + o) + d_[r] * load(now.drive.at + o)) / (1.f + d_[r] * load(now.decay.at + o)));
      });
    } else {
      euler<R>(now, now.h, 1.f, next);
    }
  }

  template <int R>  // next = from + share d rate(at)
  void euler(const Stage& at, const Block& from, float share, Block& next) {
    each<R>(next, [&](int r, int o) {
      const vf rate = load(at.drive.at + o) - load(at.decay.at + o) * load(at.h.at + o);
      store(next.at + o, load(from.at + o) + share * d_[r] * rate);
    });
  }

  template <int R>
  void retreat(Stage& now, Stage& mid, const Block& next) {
    if (a_.solver == las::Solver::midpoint) {
      gmid_.clear();
      through_rate<R>(mid, gh_, 1.f, gmid_);
      each<R>(gh_, [&](int, int o) { store(gh_.at + o, load(gh_.at + o) + load(gmid_.at + o)); });
      through_rate<R>(now, gmid_, 0.5f, gh_);
    } else if (a_.solver == las::Solver::fused) {
      each<R>(gh_, [&](int r, int o) {
        const vf drive = load(now.drive.at + o), decay = load(now.decay.at + o), end = load(next.at + o);
        const vf g = load(gh_.at + o) / (1.f + d_[r] * decay);
        store(gdrive_.at + o, d_[r] * g);
        store(gdecay_.at + o, -d_[r] * g * end);
        store(gh_.at + o, g);
        gd_[r] += g * (drive - decay * end);
      });
      field_.template adjoint<R>(now, gdrive_, gdecay_, gh_);
    } else {
      std::copy_n(gh_.at, R * gh_.pitch, gmid_.at);
      through_rate<R>(now, gmid_, 1.f, gh_);
    }
  }

  template <int R>  // gh += the gradient of share d rate(at) times g
  void through_rate(Stage& at, const Block& g, float share, Block& gh) {
    each<R>(gh, [&](int r, int o) {
      const vf drive = load(at.drive.at + o), decay = load(at.decay.at + o), h = load(at.h.at + o);
      const vf g_o = share * load(g.at + o), g_rate = d_[r] * g_o;
      gd_[r] += g_o * (drive - decay * h);
      store(gdrive_.at + o, g_rate);
      store(gdecay_.at + o, -g_rate * h);
      store(gh.at + o, load(gh.at + o) - decay * g_rate);
    });
    field_.template adjoint<R>(at, gdrive_, gdecay_, gh);
  }

  const las::Liquid& a_;
  Field& field_;
  int per_step_;
  std::vector<std::unique_ptr<Stage>> stages_;
  Block gh_, gdrive_, gdecay_, gmid_;
  float d_[TILE];
  vf gd_[TILE];
};

// f(std::integral_constant<int, R>, row) for tiles of rows that cover [row0, row1)
template <class F>
void over_tiles(int row0, int row1, F f) {
  int row = row0;
  for (; row + TILE <= row1; row += TILE) f(std::integral_constant<int, TILE>{}, row);
  for (; row < row1; row++) f(std::integral_constant<int, 1>{}, row);
}

}  // namespace LAS_ISA
