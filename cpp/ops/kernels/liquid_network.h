// dh/dt = (-h + tanh(u + U h)) / tau, tau = low + range sigmoid(v + V h) or low + softplus(V2 tanh(v + V h) + b2).
#pragma once
#include "ops/kernels/liquid.h"

namespace LAS_ISA {

using las::LiquidScan;
using las::LiquidScanGrad;

class Network {
 public:
  explicit Network(const LiquidScan& a)
      : a_(a), U_(a.U, a.hidden, a.hidden), V_(a.V, inner(a), a.hidden), V2_(a.V2, a.V2 ? a.hidden : 0, inner(a)),
        b2_(a.b2, a.V2 ? 1 : 0, a.hidden), U_t_(U_, Transposed{}), V_t_(V_, Transposed{}), V2_t_(V2_, Transposed{}),
        u_(TILE, a.hidden), v_(TILE, inner(a)), pre_(TILE, a.hidden), q_(TILE, inner(a)) {}

  static int inner(const LiquidScan& a) { return a.V2 ? a.inner : a.hidden; }

  template <int R>
  void begin(int row, int i) {
    for (int r = 0; r < R; r++) {
      const size_t at = static_cast<size_t>(row + r) * a_.t + i;
      std::copy_n(a_.u + at * a_.hidden, a_.hidden, u_.row(r));
      std::copy_n(a_.v + at * v_.columns, v_.columns, v_.row(r));
    }
  }

  template <int R>
  void eval(Stage& s) {
    std::copy_n(u_.at, R * u_.pitch, pre_.at);
    multiply<R>(s.h, U_t_, pre_);
    Block& q = a_.V2 ? s.extra : q_;
    std::copy_n(v_.at, R * v_.pitch, q.at);
    multiply<R>(s.h, V_t_, q);
    if (a_.V2) {
      each<R>(q, [&](int, int o) { store(q.at + o, tanh(load(q.at + o))); });
      for (int r = 0; r < R; r++) std::copy_n(b2_.at, b2_.pitch, s.decay.row(r));
      multiply<R>(q, V2_t_, s.decay);
    }
    const float* p = a_.V2 ? s.decay.at : q_.at;
    each<R>(pre_, [&](int, int o) {
      const vf tau = a_.low + (a_.V2 ? softplus(load(p + o)) : a_.range * sigmoid(load(p + o)));
      const vf decay = 1.f / tau;
      store(s.decay.at + o, decay);
      store(s.drive.at + o, tanh(load(pre_.at + o)) * decay);
    });
  }

 protected:
  const LiquidScan& a_;
  const Block U_, V_, V2_, b2_, U_t_, V_t_, V2_t_;
  Block u_, v_, pre_, q_;
};

class NetworkGrad : public Network {
 public:
  explicit NetworkGrad(const LiquidScanGrad& a)
      : Network(a.f), gu_(TILE, a.f.hidden), g_(a), gv_(TILE, v_.columns), g_pre_(TILE, a.f.hidden),
        g_tau_(TILE, a.f.hidden), g_q_(TILE, v_.columns), gU_(U_.rows, U_.columns), gV_(V_.rows, V_.columns),
        gV2_(V2_.rows, V2_.columns), gb2_(1, a.f.hidden) {}

  template <int R>
  void begin(int row, int i) {
    Network::begin<R>(row, i);
    gu_.clear();
    gv_.clear();
  }

  template <int R>
  void adjoint(const Stage& s, const Block& gdrive, const Block& gdecay, Block& gh) {
    each<R>(g_pre_, [&](int r, int o) {
      const vf decay = load(s.decay.at + o), tau = 1.f / decay, f = load(s.drive.at + o) * tau;
      const vf g = load(gdrive.at + o);
      store(g_pre_.at + o, g * decay * (1.f - f * f));
      const vf beyond = tau - a_.low;
      const vf slope = a_.V2 ? -expm1(-beyond) : beyond * (1.f - beyond / a_.range);  // of tau
      const vf g_tau = -(g * f + load(gdecay.at + o)) * decay * decay * slope;
      store(g_tau_.at + o, g_tau);
      if (a_.V2) {
        float* sum = gb2_.at + o - r * g_tau_.pitch;
        store(sum, load(sum) + g_tau);
      }
    });
    if (a_.V2) {
      add_outer<R>(g_tau_, s.extra, gV2_);
      g_q_.clear();
      multiply<R>(g_tau_, V2_, g_q_);
      each<R>(g_q_, [&](int, int o) {
        const vf inner = load(s.extra.at + o);
        store(g_q_.at + o, load(g_q_.at + o) * (1.f - inner * inner));
      });
    }
    const Block& g_q = a_.V2 ? g_q_ : g_tau_;
    each<R>(gu_, [&](int, int o) { store(gu_.at + o, load(gu_.at + o) + load(g_pre_.at + o)); });
    each<R>(gv_, [&](int, int o) { store(gv_.at + o, load(gv_.at + o) + load(g_q.at + o)); });
    add_outer<R>(g_pre_, s.h, gU_);
    add_outer<R>(g_q, s.h, gV_);
    multiply<R>(g_pre_, U_, gh);
    multiply<R>(g_q, V_, gh);
  }

  template <int R>
  void end(int row, int i) {
    for (int r = 0; r < R; r++) {
      const size_t at = static_cast<size_t>(row + r) * a_.t + i;
      std::copy_n(gu_.row(r), a_.hidden, g_.gu + at * a_.hidden);
      std::copy_n(gv_.row(r), gv_.columns, g_.gv + at * gv_.columns);
    }
  }

  void write(int part) const {
    auto to = [&](float* sums, const Block& g) {
      g.write(sums + static_cast<size_t>(part) * g.rows * g.columns);
    };
    to(g_.gU, gU_);
    to(g_.gV, gV_);
    if (a_.V2) to(g_.gV2, gV2_), to(g_.gb2, gb2_);
  }

 protected:
  Block gu_;

 private:
  const LiquidScanGrad& g_;
  Block gv_, g_pre_, g_tau_, g_q_, gU_, gV_, gV2_, gb2_;
};

}  // namespace LAS_ISA
