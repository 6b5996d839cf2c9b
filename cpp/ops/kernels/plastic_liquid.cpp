// The network of liquid_network.h with traces: element i is driven by u + (alpha * H) k, k = [x, h / sqrt(2 m)], then
// H = rule(H, k, h), k of this element or of the one before. A write is put off until the next element reads, so that a
// trace is passed over once an element.
#include "ops/kernels/liquid_network.h"
#include "ops/kernels/plastic.h"

namespace LAS_ISA {
namespace {

using las::PlasticLiquid;
using las::PlasticLiquidGrad;
using las::Rule;
constexpr int SEGMENT = las::LIQUID_SEGMENT;

class Synapses {  // what both directions know of the traces
 protected:
  explicit Synapses(const PlasticLiquid& a)
      : p_(a), m_(a.m()), n_(a.n()), h_scale_(1.f / std::sqrt(2.f * static_cast<float>(m_))),
        alpha_(a.alpha, a.hidden, n_) {}

  size_t element(int row, int i) const { return static_cast<size_t>(row) * p_.t + i; }
  const float* state(int row, int i) const {  // after element i
    return i < 0 ? p_.h0 + static_cast<size_t>(row) * p_.hidden : p_.h + element(row, i) * p_.hidden;
  }
  template <class T>
  T* trace(T* traces, int row) const {
    return traces + static_cast<size_t>(row) * p_.hidden * n_;
  }
  float* checkpoint(int row, int segment) const {
    return trace(p_.checkpoints, row * ((p_.t - 1) / SEGMENT) + segment - 1);
  }

  void make_keys(int row, int i, Block& keys, int first) const {  // a row a head
    if (i < 0) return read_rows(p_.k0 + static_cast<size_t>(row) * p_.g * n_, p_.g, keys, first);
    const float *x = p_.x + element(row, i) * p_.inputs, *h = state(row, i - 1);
    const int inputs = n_ - m_;
    for (int head = 0; head < p_.g; head++) {
      float* k = keys.row(first + head);
      std::copy_n(x + head * inputs, inputs, k);
      for (int j = 0; j < m_; j++) k[inputs + j] = h[head * m_ + j] * h_scale_;
    }
  }

  // c_H and c_k of the write of element i
  void coefficients_of(int row, int i, const float* s, Block& c_H, Block& c_k, int at) const {
    const float rate = p_.rate[element(row, i)], keep = p_.keep[element(row, i)];
    const float* h = state(row, i);
    for (int j = 0; j < p_.hidden; j += W) {
      const vf p = load(h + j, std::min(W, p_.hidden - j));
      const Coefficients c = coefficients(p_.rule, {p, load(s + j), splat(rate), splat(keep)});
      store(c_H.row(at) + j, c.H), store(c_k.row(at) + j, c.k);
    }
  }

  template <class F>  // f(R, unit, head)
  void over_units(F f) const {
    for (int head = 0; head < p_.g; head++)
      over_tiles(head * m_, (head + 1) * m_, [&](auto R, int unit) { f(R, unit, head); });
  }

  const PlasticLiquid& p_;
  const int m_, n_;
  const float h_scale_;
  const Block alpha_;
};

template <Rule RULE>
class PlasticNetwork : public Network, Synapses {
 public:
  explicit PlasticNetwork(const PlasticLiquid& a)
      : Network(a), Synapses(a), H_(TILE * a.hidden, n_), keys_(KEYS * TILE * a.g, n_), s_(TILE, a.hidden),
        c_H_(TILE, a.hidden), c_k_(TILE, a.hidden) {}

  template <int R>
  void begin(int row, int i) {
    Network::begin<R>(row, i);
    for (int r = 0; r < R; r++) {
      if (i == 0)
        read_rows(trace(p_.H0, row + r), p_.hidden, H_, r * p_.hidden);
      else
        coefficients_of(row + r, i - 1, s_.row(r), c_H_, c_k_, r);
      if (i == 0) make_keys(row + r, -1, keys_, key_row(r, -1));
      make_keys(row + r, i, keys_, key_row(r, i));
    }
    i ? pass_over<R, WRITE | READ | match(RULE)>(i) : pass_over<R, READ | match(RULE)>(i);
    for (int r = 0; r < R; r++) {
      if (i && i % SEGMENT == 0) write_rows(H_, r * p_.hidden, p_.hidden, checkpoint(row + r, i / SEGMENT));
      std::copy_n(u_.row(r), p_.hidden, p_.drive + element(row + r, i) * p_.hidden);
    }
  }

  template <int R>
  void finish(int row) {
    for (int r = 0; r < R; r++) coefficients_of(row + r, p_.t - 1, s_.row(r), c_H_, c_k_, r);
    pass_over<R, WRITE>(p_.t);
    for (int r = 0; r < R; r++) write_rows(H_, r * p_.hidden, p_.hidden, trace(p_.H, row + r));
  }

 private:
  static constexpr int KEYS = 3;  // of this element and of two before it
  int key_row(int r, int i) const { return ((i + KEYS) % KEYS * TILE + r) * p_.g; }

  template <int R, unsigned PARTS>
  void pass_over(int i) {
    over_units([&]<int U>(std::integral_constant<int, U>, int unit, int head) {
      for (int r = 0; r < R; r++) {
        float* H = H_.row(r * p_.hidden + unit);
        float y[U];
        auto key = [&](int of) { return keys_.row(key_row(r, of) + head); };
        pass<U, PARTS>(H_.pitch, H, H, {c_H_.row(r) + unit, c_k_.row(r) + unit, key(i - 1 - p_.lag)},
                       {alpha_.row(unit), key(i), key(i - p_.lag), y, s_.row(r) + unit});
        if constexpr (PARTS & READ)
          for (int j = 0; j < U; j++) u_.row(r)[unit + j] += y[j];
      }
    });
  }

  Block H_, keys_, s_, c_H_, c_k_;
};

template <Rule RULE>
class PlasticNetworkGrad : public NetworkGrad, Synapses {
 public:
  explicit PlasticNetworkGrad(const PlasticLiquidGrad& a)
      : NetworkGrad(a), Synapses(a.p), to_(a), H_(SEGMENT * TILE * a.p.hidden, n_),
        keys_((SEGMENT + 1) * TILE * a.p.g, n_), s_(SEGMENT * TILE, a.p.hidden), c_H_(TILE, a.p.hidden),
        c_k_(TILE, a.p.hidden), gs_(TILE, a.p.hidden), gc_H_(TILE, a.p.hidden), gc_k_(TILE, a.p.hidden),
        G_(TILE * a.p.hidden, n_), gk_(TILE * a.p.g, n_), gwritten_(TILE * a.p.g, n_), galpha_(a.p.hidden, n_) {}

  template <int R>
  void begin(int row, int i) {
    const int last = std::min(p_.t, (i / SEGMENT + 1) * SEGMENT) - 1;
    if (i == last) {
      if (i == p_.t - 1)
        for (int r = 0; r < R; r++) read_rows(trace(to_.gH, row + r), p_.hidden, G_, r * p_.hidden);
      first_ = i / SEGMENT * SEGMENT;
      replay<R>(row, last);
    }
    NetworkGrad::begin<R>(row, i);
  }

  template <int R>
  void adjoint_after(int row, int i, Block& gh) {  // of the write
    for (int r = 0; r < R; r++) {
      const size_t at = element(row + r, i);
      const vf rate = splat(p_.rate[at]), keep = splat(p_.keep[at]);
      vf grate = splat(0.f), gkeep = splat(0.f);
      for (int j = 0; j < p_.hidden; j += W) {
        const vf p = load(state(row + r, i) + j, std::min(W, p_.hidden - j));
        const RuleArguments a{p, load(s_.row(slot(r, i)) + j), rate, keep};
        const Coefficients c = coefficients(p_.rule, a);
        const RuleArguments g = LAS_ISA::adjoint(p_.rule, a, {load(gc_H_.row(r) + j), load(gc_k_.row(r) + j)});
        store(c_H_.row(r) + j, c.H), store(c_k_.row(r) + j, c.k), store(gs_.row(r) + j, g.s);
        store(gh.row(r) + j, load(gh.row(r) + j) + g.p);
        grate += g.rate, gkeep += g.keep;
      }
      to_.grate[at] = sum(grate), to_.gkeep[at] = sum(gkeep);
    }
  }

  template <int R>
  void adjoint_before(int row, int i, Block& gh) {  // of the read
    if (i == p_.t - 1) gk_.clear();
    gwritten_.clear();
    i > first_ ? retreat_over<R, true>(row, i) : retreat_over<R, false>(row, i);
    if (p_.lag == 0) add(gwritten_, gk_), gwritten_.clear();
    const int inputs = n_ - m_;
    for (int r = 0; r < R; r++) {
      float* gx = to_.gx + element(row + r, i) * p_.inputs;
      for (int head = 0; head < p_.g; head++) {
        const float* gk = gk_.row(r * p_.g + head);
        std::copy_n(gk, inputs, gx + head * inputs);
        for (int j = 0; j < m_; j++) gh.row(r)[head * m_ + j] += h_scale_ * gk[inputs + j];
      }
    }
    gk_.clear();
    add(gwritten_, gk_);  // of the key before
    for (int r = 0; r < R && i == 0; r++) {
      write_rows(G_, r * p_.hidden, p_.hidden, trace(to_.gH0, row + r));
      write_rows(gk_, r * p_.g, p_.g, to_.gk0 + static_cast<size_t>(row + r) * p_.g * n_);
    }
  }

  void write(int part) const {
    NetworkGrad::write(part);
    galpha_.write(trace(to_.galpha, part));
  }

 private:
  int slot(int r, int i) const { return i % SEGMENT * TILE + r; }
  float* H(int r, int i, int unit) { return H_.row(slot(r, i) * p_.hidden + unit); }  // before element i
  float* key(int r, int i, int head) { return keys_.row(((i - first_ + 1) * TILE + r) * p_.g + head); }

  static void add(const Block& from, Block& to) {
    for (int i = 0; i < to.rows * to.pitch; i++) to.at[i] += from.at[i];
  }

  template <int R>
  void replay(int row, int last) {  // the traces of a segment from the states alone
    for (int r = 0; r < R; r++) {
      const float* from = first_ ? checkpoint(row + r, first_ / SEGMENT) : trace(p_.H0, row + r);
      read_rows(from, p_.hidden, H_, slot(r, first_) * p_.hidden);
      for (int i = first_ - 1; i <= last; i++) make_keys(row + r, i, keys_, ((i - first_ + 1) * TILE + r) * p_.g);
    }
    over_units([&]<int U>(std::integral_constant<int, U>, int unit, int head) {
      for (int r = 0; r < R; r++) {
        Reading read{};
        auto reads = [&](int i) { read.k = key(r, i - p_.lag, head), read.s = s_.row(slot(r, i)) + unit; };
        reads(first_);
        if constexpr (match(RULE) != 0) pass<U, match(RULE)>(H_.pitch, H(r, first_, unit), nullptr, {}, read);
        for (int i = first_; i < last; i++) {
          alignas(64) float c_H[W], c_k[W];
          const size_t at = element(row + r, i);
          const vf p = load(state(row + r, i) + unit, U), s = load(read.s, U);
          const Coefficients c = coefficients(RULE, {p, s, splat(p_.rate[at]), splat(p_.keep[at])});
          store(c_H, c.H), store(c_k, c.k);
          const Writing write{c_H, c_k, read.k};
          reads(i + 1);
          pass<U, WRITE | match(RULE)>(H_.pitch, H(r, i, unit), H(r, i + 1, unit), write, read);
        }
        dots<U, RULE>(H_.pitch, G_.row(r * p_.hidden + unit), H(r, last, unit), read.k,
                      {gc_H_.row(r) + unit, gc_k_.row(r) + unit});
      }
    });
  }

  template <int R, bool BEFORE>
  void retreat_over(int row, int i) {
    over_units([&]<int U>(std::integral_constant<int, U>, int unit, int head) {
      for (int r = 0; r < R; r++) {
        Element e{};
        e.H = H(r, i, unit), e.alpha = alpha_.row(unit), e.x = key(r, i, head), e.k = key(r, i - p_.lag, head);
        e.c_H = c_H_.row(r) + unit, e.c_k = c_k_.row(r) + unit, e.gs = gs_.row(r) + unit, e.gy = gu_.row(r) + unit;
        e.G = G_.row(r * p_.hidden + unit), e.galpha = galpha_.row(unit), e.gx = gk_.row(r * p_.g + head);
        e.gk = gwritten_.row(r * p_.g + head), e.gkeep = to_.gkeep + element(row + r, i);
        const int next = (r + 1) % R, unit_next = std::min(unit + (r + 1) / R * U, p_.hidden - U);
        e.H_next = H(next, i, unit_next), e.G_next = G_.row(next * p_.hidden + unit_next);
        if constexpr (BEFORE) e.H_before = H(r, i - 1, unit), e.k_before = key(r, i - 1 - p_.lag, head);
        LAS_ISA::retreat<U, RULE, BEFORE>(H_.pitch, e, {gc_H_.row(r) + unit, gc_k_.row(r) + unit});
      }
    });
  }

  const PlasticLiquidGrad& to_;
  Block H_, keys_, s_, c_H_, c_k_, gs_, gc_H_, gc_k_, G_, gk_, gwritten_, galpha_;
  int first_ = 0;  // first element of the segment
};

template <Rule RULE>
void forward(const PlasticLiquid& a, int row0, int row1) {
  PlasticNetwork<RULE> network(a);
  Recurrence<PlasticNetwork<RULE>> rows(a, network, Network::inner(a));
  over_tiles(row0, row1, [&]<int R>(std::integral_constant<int, R>, int row) {
    rows.template forward<R>(row);
    network.template finish<R>(row);
  });
}

template <Rule RULE>
void backward(const PlasticLiquidGrad& a, int part, int row0, int row1) {
  PlasticNetworkGrad<RULE> network(a);
  Recurrence<PlasticNetworkGrad<RULE>> rows(a.f, network, Network::inner(a.f));
  over_tiles(row0, row1, [&]<int R>(std::integral_constant<int, R>, int row) { rows.template backward<R>(row, a); });
  network.write(part);
}

}  // namespace

void plastic_liquid_forward(const PlasticLiquid& a, int row0, int row1) {
  by_rule(a.rule, [&](auto rule) { forward<rule()>(a, row0, row1); });
}

void plastic_liquid_backward(const PlasticLiquidGrad& a, int part, int row0, int row1) {
  by_rule(a.p.rule, [&](auto rule) { backward<rule()>(a, part, row0, row1); });
}

}  // namespace LAS_ISA
