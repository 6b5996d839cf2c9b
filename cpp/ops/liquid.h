// What the primitives of the liquid scans share: parts of a batch, common fields, sums over parts.
#pragma once
#include "ops/ops.h"

namespace las {

struct LiquidSpec {
  Solver solver;
  int substeps;
};

inline Solver find_solver(const std::string& name) {
  if (name == "euler") return Solver::euler;
  if (name == "midpoint") return Solver::midpoint;
  if (name == "fused") return Solver::fused;
  throw std::invalid_argument("solver: got '" + name + "', expected euler, midpoint or fused.");
}

inline int parts_of_batch(int b) { return std::min(b, Pool::get().size()); }

template <class F>
Job over_batch(int b, F f) {  // f(part, row0, row1)
  return [=] {
    const int parts = parts_of_batch(b);
    Pool::get().parallel_for(parts, [&](int i) { f(i, b * i / parts, b * (i + 1) / parts); });
  };
}

inline const float* floats(const mx::array& a) { return a.data<float>(); }
inline float* floats_out(const mx::array& a) { return const_cast<float*>(a.data<float>()); }

inline void describe(Liquid& a, const LiquidSpec& spec, const mx::array& sequence, const mx::array& h0,
                     const mx::array& dt) {
  a.b = sequence.shape(0), a.t = sequence.shape(1), a.hidden = h0.shape(1);
  a.solver = spec.solver, a.substeps = spec.substeps;
  a.h0 = floats(h0), a.dt = floats(dt);
}

inline void take_gradient(LiquidGrad& a, const mx::array& gh) {
  a.gh = floats(gh);
  for (int i = 0; i < 3; i++) a.gh_stride[i] = gh.strides()[i];
}

inline mx::Shape in_parts(int parts, const mx::array& a) {
  mx::Shape shape = a.shape();
  shape.insert(shape.begin(), parts);
  return shape;
}

}  // namespace las
