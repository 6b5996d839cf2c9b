// The plastic scan: a few rows of a trace through a segment at a time, so that they, their alpha and their gradients
// stay in the nearest cache; whole traces are kept between segments only.
#include "ops/kernels/plastic.h"

namespace LAS_ISA {
namespace {

using las::PlasticPart;
using las::PlasticScan;
using las::PlasticScanGrad;
using las::Rule;
using las::SEGMENT;

struct Lanes {  // a number a row
  alignas(64) float at[W] = {};
};

// f(head, first unit, last unit + 1) for each head that has units in the part
template <class F>
void over_heads(const PlasticPart& part, int m, F f) {
  for (int head = part.unit0 / m; head * m < part.unit1; head++)
    f(head, std::max(part.unit0, head * m), std::min(part.unit1, (head + 1) * m));
}

class Traces {  // of one batch row and head during one segment, a tile of units at a time
 public:
  explicit Traces(const PlasticScan& a)
      : a_(a), x_(SEGMENT, a.n), k_(a.key ? SEGMENT : 0, a.n), most_(std::clamp(NEAR / x_.pitch, TILE, W)),
        alpha_(most_, a.n), keys_(a.key ? k_ : x_) {}

  void enter(int row, int t0, int head) {
    row_ = row, t0_ = t0, head_ = head, count_ = std::min(SEGMENT, a_.t - t0);
    for (int i = 0; i < count_; i++) {
      std::copy_n(a_.x + element(i) * a_.n, a_.n, x_.row(i));
      if (a_.key) std::copy_n(a_.key + element(i) * a_.n, a_.n, k_.row(i));
    }
  }

  template <class F>  // f(unit) for tiles of up to most_ units that cover [unit0, unit1)
  void over_tiles_of(int unit0, int unit1, F f) {
    for (unit_ = unit0; unit_ < unit1; unit_ += rows_) {
      rows_ = std::min(most_, unit1 - unit_);
      f(unit_);
    }
  }

 protected:
  static constexpr int NEAR = 1024;  // floats of a trace, its alpha and gradients each in the nearest cache

  size_t element(int i) const { return (static_cast<size_t>(row_) * a_.t + t0_ + i) * a_.g + head_; }
  size_t trace_at(int unit) const { return (static_cast<size_t>(row_) * a_.g * a_.m + unit) * a_.n; }
  float* checkpoint(int unit) const {
    const size_t kept = (a_.t - 1) / SEGMENT, which = row_ * kept + t0_ / SEGMENT - 1;
    return a_.checkpoints + (which * a_.g * a_.m + unit) * a_.n;
  }
  size_t unit_at(int i) const { return element(i) * a_.m + unit_ - head_ * a_.m; }
  void take(const float* from, Lanes* to) const {  // of each element of the segment the tile's units
    for (int i = 0; i < count_; i++) std::copy_n(from + unit_at(i), rows_, to[i].at);
  }
  void put(const Lanes* from, float* to) const {
    for (int i = 0; i < count_; i++) std::copy_n(from[i].at, rows_, to + unit_at(i));
  }
  RuleArguments arguments(int i, vf p, vf s) const {
    return {p, s, splat(a_.rate[element(i)]), splat(a_.keep[element(i)])};
  }

  template <unsigned PARTS>
  void pass_over(const float* from, float* to, const Writing& w, const Reading& read) const {
    over_tiles(0, rows_, [&]<int R>(std::integral_constant<int, R>, int r) {
      const size_t at = static_cast<size_t>(r) * x_.pitch;
      pass<R, PARTS>(x_.pitch, from + at, to + at, {w.c_H + r, w.c_k + r, w.k},
                     {read.alpha + at, read.x, read.k, read.y + r, read.s + r});
    });
  }

  const PlasticScan& a_;
  Block x_, k_;
  const int most_;
  Block alpha_;
  const Block& keys_;
  int row_, t0_, head_, count_, unit_, rows_;
};

class Forward : public Traces {
 public:
  explicit Forward(const PlasticScan& a) : Traces(a), H_(most_, a.n) {}

  template <Rule RULE>
  void tile(int unit) {
    read_rows(a_.alpha + static_cast<size_t>(unit) * a_.n, rows_, alpha_);
    read_rows(a_.H + trace_at(unit), rows_, H_);
    if (t0_) write_rows(H_, 0, rows_, checkpoint(unit));
    take(a_.u, y_);
    if (a_.target) take(a_.target, p_);
    Lanes y, s, c_H, c_k;
    Writing write{c_H.at, c_k.at, nullptr};
    for (int i = 0; i < count_; i++) {
      const Reading read{alpha_.at, x_.row(i), keys_.row(i), y.at, s.at};
      if (i)
        pass_over<WRITE | READ | match(RULE)>(H_.at, H_.at, write, read);
      else
        pass_over<READ | match(RULE)>(H_.at, H_.at, write, read);
      const vf sum = load(y_[i].at) + load(y.at), p = a_.target ? load(p_[i].at) : tanh(sum);
      const Coefficients c = coefficients(RULE, arguments(i, p, load(s.at)));
      store(y_[i].at, sum), store(c_H.at, c.H), store(c_k.at, c.k);
      write.k = keys_.row(i);
    }
    pass_over<WRITE>(H_.at, H_.at, write, {alpha_.at, nullptr, nullptr, y.at, s.at});
    write_rows(H_, 0, rows_, a_.H + trace_at(unit));
    put(y_, a_.y);
  }

 private:
  Block H_;
  Lanes y_[SEGMENT], p_[SEGMENT];
};

class Backward : public Traces {
 public:
  explicit Backward(const PlasticScanGrad& a)
      : Traces(a.f), g_(a), H_(SEGMENT * most_, a.f.n), G_(most_, a.f.n), galpha_(most_, a.f.n), gx_(SEGMENT, a.f.n),
        gk_(SEGMENT, a.f.n) {}

  void enter(int row, int t0, int head) {
    Traces::enter(row, t0, head);
    gx_.clear(), gk_.clear();
    std::fill_n(grate_, SEGMENT, 0.f), std::fill_n(gkeep_, SEGMENT, 0.f);
  }

  template <Rule RULE>
  void tile(int unit, float* galpha) {
    replay<RULE>(unit);
    read_rows(a_.alpha + static_cast<size_t>(unit) * a_.n, rows_, alpha_);
    read_rows(g_.gH0 + trace_at(unit), rows_, G_);
    read_rows(galpha + static_cast<size_t>(unit) * a_.n, rows_, galpha_);
    take(g_.gy, gy_);
    const int last = count_ - 1;
    Lanes c_H, c_k, gs, gc_H, gc_k;
    over_tiles(0, rows_, [&]<int R>(std::integral_constant<int, R>, int r) {
      dots<R, RULE>(H_.pitch, G_.row(r), H(last, r), keys_.row(last), {gc_H.at + r, gc_k.at + r});
    });
    for (int i = last; i >= 0; i--) {
      const vf p = load(p_[i].at);
      const RuleArguments a = arguments(i, p, load(s_[i].at));
      const Coefficients c = coefficients(RULE, a);
      const RuleArguments g = adjoint(RULE, a, {load(gc_H.at), load(gc_k.at)});
      grate_[i] += sum(g.rate), gkeep_[i] += sum(g.keep);
      if (a_.target)
        store(p_[i].at, g.p);
      else
        store(gy_[i].at, load(gy_[i].at) + g.p * (1.f - p * p));
      store(c_H.at, c.H), store(c_k.at, c.k), store(gs.at, g.s);
      over_tiles(0, rows_, [&]<int R>(std::integral_constant<int, R>, int r) {
        Element e{};
        e.H = H(i, r), e.alpha = alpha_.row(r), e.x = x_.row(i), e.k = keys_.row(i);
        e.c_H = c_H.at + r, e.c_k = c_k.at + r, e.gs = gs.at + r, e.gy = gy_[i].at + r;
        e.G = G_.row(r), e.galpha = galpha_.row(r), e.gx = gx_.row(i), e.gk = gk_.row(i), e.gkeep = &gkeep_[i];
        e.H_next = H(std::max(0, i - 1), r), e.G_next = e.G;
        const Dots before{gc_H.at + r, gc_k.at + r};
        if (i) {
          e.H_before = H(i - 1, r), e.k_before = keys_.row(i - 1);
          retreat<R, RULE, true>(H_.pitch, e, before);
        } else {
          retreat<R, RULE, false>(H_.pitch, e, before);
        }
      });
    }
    write_rows(G_, 0, rows_, g_.gH0 + trace_at(unit));
    write_rows(galpha_, 0, rows_, galpha + static_cast<size_t>(unit) * a_.n);
    put(gy_, g_.gu);
    if (a_.target) put(p_, g_.gtarget);
  }

  void leave(int part) {
    const size_t sequence = static_cast<size_t>(a_.b) * a_.t * a_.g, offset = part * sequence;
    for (int i = 0; i < count_; i++) {
      const size_t at = offset + element(i);
      float* gx = g_.gx + at * a_.n;
      std::copy_n(gx_.row(i), a_.n, gx);
      if (a_.key)
        std::copy_n(gk_.row(i), a_.n, g_.gkey + at * a_.n);
      else
        for (int j = 0; j < a_.n; j++) gx[j] += gk_.row(i)[j];
      g_.grate[at] = grate_[i], g_.gkeep[at] = gkeep_[i];
    }
  }

 private:
  float* H(int i, int r) { return H_.row(i * most_ + r); }  // before element i

  template <Rule RULE>
  void replay(int unit) {
    read_rows(t0_ ? checkpoint(unit) : a_.H0 + trace_at(unit), rows_, H_);
    take(a_.target ? a_.target : a_.y, p_);
    Lanes y, c_H, c_k;
    Writing write{c_H.at, c_k.at, nullptr};
    for (int i = 0; i < count_; i++) {
      const Reading read{alpha_.at, nullptr, keys_.row(i), y.at, s_[i].at};
      if (i)
        pass_over<WRITE | match(RULE)>(H(i - 1, 0), H(i, 0), write, read);
      else if constexpr (match(RULE) != 0)
        pass_over<match(RULE)>(H(i, 0), H(i, 0), write, read);
      const vf p = a_.target ? load(p_[i].at) : tanh(load(p_[i].at));
      const Coefficients c = coefficients(RULE, arguments(i, p, load(s_[i].at)));
      store(p_[i].at, p), store(c_H.at, c.H), store(c_k.at, c.k);
      write.k = keys_.row(i);
    }
  }

  const PlasticScanGrad& g_;
  Block H_, G_, galpha_, gx_, gk_;
  Lanes p_[SEGMENT], s_[SEGMENT], gy_[SEGMENT];  // p_: of a target its gradient in the end
  float grate_[SEGMENT], gkeep_[SEGMENT];
};

template <Rule RULE>
void forward(const PlasticScan& a, const PlasticPart& part) {
  Forward traces(a);
  const size_t heads = static_cast<size_t>(a.g) * a.m;
  for (int row = part.row0; row < part.row1; row++) {
    const size_t first = (row * heads + part.unit0) * a.n, size = static_cast<size_t>(part.unit1 - part.unit0) * a.n;
    std::copy_n(a.H0 + first, size, a.H + first);
    for (int t0 = 0; t0 < a.t; t0 += SEGMENT)
      over_heads(part, a.m, [&](int head, int unit0, int unit1) {
        traces.enter(row, t0, head);
        traces.over_tiles_of(unit0, unit1, [&](int unit) { traces.template tile<RULE>(unit); });
      });
  }
}

template <Rule RULE>
void backward(const PlasticScanGrad& a, const PlasticPart& part) {
  const PlasticScan& f = a.f;
  Backward traces(a);
  const size_t heads = static_cast<size_t>(f.g) * f.m, sequence = static_cast<size_t>(f.t) * f.g;
  const size_t size = static_cast<size_t>(part.unit1 - part.unit0) * f.n;
  float* galpha = a.galpha + part.of_batch * heads * f.n;
  std::fill_n(galpha + static_cast<size_t>(part.unit0) * f.n, size, 0.f);
  for (int row = part.row0; row < part.row1; row++) {
    const size_t first = (row * heads + part.unit0) * f.n;
    std::copy_n(a.gH + first, size, a.gH0 + first);
    const size_t begin = (static_cast<size_t>(part.of_units) * f.b + row) * sequence;  // other parts' heads add nothing
    std::fill_n(a.gx + begin * f.n, sequence * f.n, 0.f);
    if (f.key) std::fill_n(a.gkey + begin * f.n, sequence * f.n, 0.f);
    std::fill_n(a.grate + begin, sequence, 0.f), std::fill_n(a.gkeep + begin, sequence, 0.f);
    for (int t0 = (f.t - 1) / SEGMENT * SEGMENT; t0 >= 0; t0 -= SEGMENT)
      over_heads(part, f.m, [&](int head, int unit0, int unit1) {
        traces.enter(row, t0, head);
        traces.over_tiles_of(unit0, unit1, [&](int unit) { traces.template tile<RULE>(unit, galpha); });
        traces.leave(part.of_units);
      });
  }
}

}  // namespace

void plastic_forward(const PlasticScan& a, const PlasticPart& part) {
  by_rule(a.rule, [&](auto rule) { forward<rule()>(a, part); });
}

void plastic_backward(const PlasticScanGrad& a, const PlasticPart& part) {
  by_rule(a.f.rule, [&](auto rule) { backward<rule()>(a, part); });
}

}  // namespace LAS_ISA
