// cm dh_i/dt = g_i (v_i - h_i) + sum_j G_ji (erev_ji - h_i), G = w sigmoid(sigma (pre - mu)), over inputs and neurons.
#include "ops/kernels/liquid.h"

namespace LAS_ISA {
namespace {

using las::LtcScan;
using las::LtcScanGrad;

constexpr size_t CACHE = 512 << 10;  // bytes, of a core

struct Synapses {  // (pre, hidden) each
  Synapses(const las::SynapseArrays& a, int pre, int hidden)
      : w(a.w, pre, hidden), mu(a.mu, pre, hidden), sigma(a.sigma, pre, hidden), erev(a.erev, pre, hidden) {}
  Synapses(int pre, int hidden) : w(pre, hidden), mu(pre, hidden), sigma(pre, hidden), erev(pre, hidden) {}
  Block w, mu, sigma, erev;

  void write(const las::SynapseSums& to, int part) const {
    const size_t offset = static_cast<size_t>(part) * w.rows * w.columns;
    w.write(to.w + offset), mu.write(to.mu + offset), sigma.write(to.sigma + offset), erev.write(to.erev + offset);
  }
};

// current += sum_j G_j erev_j, conductance += sum_j G_j; with KEEP `open` keeps the sigmoids, (pre, vectors of hidden, R, W)
template <int R, bool KEEP>
void add_currents(const Synapses& s, const Block& pre, Block& current, Block& conductance, float* open = nullptr) {
  for (int c = 0; c < s.w.pitch; c += W) {
    vf sum[R], wide[R];
    for (int r = 0; r < R; r++) sum[r] = load(current.row(r) + c), wide[r] = load(conductance.row(r) + c);
    for (int j = 0; j < s.w.rows; j++) {
      const vf w = load(s.w.row(j) + c), mu = load(s.mu.row(j) + c), erev = load(s.erev.row(j) + c);
      const vf slope = load(s.sigma.row(j) + c) * -LOG2E;
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) {
        const vf share = 1.f / (1.f + exp2(slope * (pre.row(r)[j] - mu))), G = w * share;
        wide[r] += G;
        sum[r] += G * erev;
        if constexpr (KEEP) store(open + (static_cast<size_t>(j) * s.w.pitch + c) * R + r * W, share);
      }
    }
    for (int r = 0; r < R; r++) store(current.row(r) + c, sum[r]), store(conductance.row(r) + c, wide[r]);
  }
}

template <int R, bool KEPT>
void currents_adjoint(const Synapses& s, const Block& pre, const Block& gcurrent, const Block& gconductance, Synapses& g,
                      Block& gpre, const float* kept = nullptr) {
  for (int j = 0; j < s.w.rows; j++) {
    vf to_pre[R];
    for (int r = 0; r < R; r++) to_pre[r] = splat(0.f);
    for (int c = 0; c < s.w.pitch; c += W) {
      const vf w = load(s.w.row(j) + c), mu = load(s.mu.row(j) + c), sigma = load(s.sigma.row(j) + c);
      const vf erev = load(s.erev.row(j) + c), slope = sigma * -LOG2E;
      vf to_w = load(g.w.row(j) + c), to_mu = load(g.mu.row(j) + c), to_sigma = load(g.sigma.row(j) + c);
      vf to_erev = load(g.erev.row(j) + c);
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) {
        const vf away = pre.row(r)[j] - mu;
        const vf open = KEPT ? load(kept + (static_cast<size_t>(j) * s.w.pitch + c) * R + r * W)
                             : 1.f / (1.f + exp2(slope * away));
        const vf G = w * open;
        const vf g_current = load(gcurrent.row(r) + c);
        const vf g_G = g_current * erev + load(gconductance.row(r) + c), g_z = g_G * G * (1.f - open);
        to_w += g_G * open;
        to_erev += g_current * G;
        to_sigma += g_z * away;
        to_mu -= g_z * sigma;
        to_pre[r] += g_z * sigma;
      }
      store(g.w.row(j) + c, to_w), store(g.mu.row(j) + c, to_mu), store(g.sigma.row(j) + c, to_sigma);
      store(g.erev.row(j) + c, to_erev);
    }
    for (int r = 0; r < R; r++) gpre.row(r)[j] += sum(to_pre[r]);
  }
}

class Neurons {
 public:
  explicit Neurons(const LtcScan& a)
      : a_(a), sensory_(a.sensory, a.inputs, a.hidden), recurrent_(a.recurrent, a.hidden, a.hidden), g_(a.g, 1, a.hidden),
        v_(a.v, 1, a.hidden), per_cm_(1, a.hidden), x_(TILE, a.inputs), current_(TILE, a.hidden),
        conductance_(TILE, a.hidden) {
    for (int j = 0; j < a.hidden; j++) per_cm_.at[j] = 1.f / a.cm[j];
  }

  template <int R>
  void begin(int row, int i) {
    for (int r = 0; r < R; r++) {
      std::copy_n(a_.x + (static_cast<size_t>(row + r) * a_.t + i) * a_.inputs, a_.inputs, x_.row(r));
      for (int c = 0; c < g_.pitch; c += W) {
        store(current_.row(r) + c, load(g_.at + c) * load(v_.at + c));
        store(conductance_.row(r) + c, load(g_.at + c));
      }
    }
    add_currents<R, false>(sensory_, x_, current_, conductance_);
  }

  template <int R, bool KEEP = false>
  void eval(Stage& s) {
    std::copy_n(current_.at, R * current_.pitch, s.drive.at);
    std::copy_n(conductance_.at, R * conductance_.pitch, s.decay.at);
    add_currents<R, KEEP>(recurrent_, s.h, s.drive, s.decay, s.extra.at);
    for (int r = 0; r < R; r++)
      for (int c = 0; c < per_cm_.pitch; c += W) {
        store(s.drive.row(r) + c, load(s.drive.row(r) + c) * load(per_cm_.at + c));
        store(s.decay.row(r) + c, load(s.decay.row(r) + c) * load(per_cm_.at + c));
      }
  }

 protected:
  const LtcScan& a_;
  const Synapses sensory_, recurrent_;
  Block g_, v_, per_cm_, x_, current_, conductance_;
};

class NeuronsGrad : public Neurons {
 public:
  explicit NeuronsGrad(const LtcScanGrad& a)
      : Neurons(a.f), out_(a), gsensory_(a.f.inputs, a.f.hidden), grecurrent_(a.f.hidden, a.f.hidden),
        gg_(1, a.f.hidden), gv_(1, a.f.hidden), gcm_(1, a.f.hidden), gx_(TILE, a.f.inputs), gcurrent_(TILE, a.f.hidden),
        gconductance_(TILE, a.f.hidden), to_current_(TILE, a.f.hidden), to_conductance_(TILE, a.f.hidden) {}

  template <int R>
  void begin(int row, int i) {
    Neurons::begin<R>(row, i);
    to_current_.clear();
    to_conductance_.clear();
  }

  // Sigmoids of a stage that are kept for its adjoint, if those of all stages fit a core's cache: half its exponentials.
  static int kept(const LtcScan& a) {
    const size_t stage = static_cast<size_t>(a.hidden) * ((a.hidden + W - 1) / W * W);
    const size_t stages = a.substeps * (a.solver == las::Solver::midpoint ? 2 : 1);
    return stages * stage * TILE * sizeof(float) <= CACHE ? static_cast<int>(stage) : 0;
  }

  template <int R>
  void eval(Stage& s) {
    s.extra.columns ? Neurons::eval<R, true>(s) : Neurons::eval<R, false>(s);
  }

  template <int R>
  void adjoint(const Stage& s, const Block& gdrive, const Block& gdecay, Block& gh) {
    for (int r = 0; r < R; r++)
      for (int c = 0; c < per_cm_.pitch; c += W) {
        const vf per_cm = load(per_cm_.at + c);
        const vf g_current = load(gdrive.row(r) + c) * per_cm, g_conductance = load(gdecay.row(r) + c) * per_cm;
        store(gcurrent_.row(r) + c, g_current);
        store(gconductance_.row(r) + c, g_conductance);
        store(to_current_.row(r) + c, load(to_current_.row(r) + c) + g_current);
        store(to_conductance_.row(r) + c, load(to_conductance_.row(r) + c) + g_conductance);
        store(gcm_.at + c, load(gcm_.at + c) - g_current * load(s.drive.row(r) + c) -
                               g_conductance * load(s.decay.row(r) + c));
      }
    if (s.extra.columns)
      currents_adjoint<R, true>(recurrent_, s.h, gcurrent_, gconductance_, grecurrent_, gh, s.extra.at);
    else
      currents_adjoint<R, false>(recurrent_, s.h, gcurrent_, gconductance_, grecurrent_, gh);
  }

  template <int R>
  void end(int row, int i) {
    gx_.clear();
    currents_adjoint<R, false>(sensory_, x_, to_current_, to_conductance_, gsensory_, gx_);
    for (int r = 0; r < R; r++) {
      std::copy_n(gx_.row(r), a_.inputs, out_.gx + (static_cast<size_t>(row + r) * a_.t + i) * a_.inputs);
      for (int c = 0; c < g_.pitch; c += W) {
        const vf to_current = load(to_current_.row(r) + c);
        store(gg_.at + c, load(gg_.at + c) + to_current * load(v_.at + c) + load(to_conductance_.row(r) + c));
        store(gv_.at + c, load(gv_.at + c) + to_current * load(g_.at + c));
      }
    }
  }

  void write(int part) const {
    gsensory_.write(out_.gsensory, part);
    grecurrent_.write(out_.grecurrent, part);
    const size_t offset = static_cast<size_t>(part) * a_.hidden;
    gg_.write(out_.gg + offset), gv_.write(out_.gv + offset), gcm_.write(out_.gcm + offset);
  }

 private:
  const LtcScanGrad& out_;
  Synapses gsensory_, grecurrent_;
  Block gg_, gv_, gcm_, gx_, gcurrent_, gconductance_, to_current_, to_conductance_;
};

}  // namespace

void ltc_forward(const LtcScan& a, int row0, int row1) {
  Neurons neurons(a);
  Recurrence<Neurons> rows(a, neurons, 0);
  over_tiles(row0, row1, [&]<int R>(std::integral_constant<int, R>, int row) { rows.template forward<R>(row); });
}

void ltc_backward(const LtcScanGrad& a, int part, int row0, int row1) {
  NeuronsGrad neurons(a);
  Recurrence<NeuronsGrad> rows(a.f, neurons, NeuronsGrad::kept(a.f));
  over_tiles(row0, row1, [&]<int R>(std::integral_constant<int, R>, int row) {
    rows.template backward<R>(row, a);
  });
  neurons.write(part);
}

}  // namespace LAS_ISA
