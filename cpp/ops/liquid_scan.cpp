#include "ops/liquid.h"

namespace las {
namespace {

struct Spec : LiquidSpec {
  float low, high;
  bool soft() const { return high <= low; }
};

enum { U_IN, U, V_IN, V, H0, DT, V2, B2 };  // the inputs, V2 and b2 for a soft tau only

LiquidScan network(const Arrays& in, const Spec& spec) {
  LiquidScan a{};
  describe(a, spec, in[U_IN], in[H0], in[DT]);
  a.inner = in[V_IN].shape(2), a.low = spec.low, a.range = spec.high - spec.low;
  a.u = floats(in[U_IN]), a.U = floats(in[U]), a.v = floats(in[V_IN]), a.V = floats(in[V]);
  if (spec.soft()) a.V2 = floats(in[V2]), a.b2 = floats(in[B2]);
  return a;
}

// in: those of the scan, the states, their gradient; out: the gradients of the inputs, U V V2 b2 as partial sums
class ScanGrad : public Op<ScanGrad, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::LiquidScanGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    const int parts = parts_of_batch(in[U_IN].shape(0));
    std::vector<mx::Shape> shapes{in[U_IN].shape(), in_parts(parts, in[U]), in[V_IN].shape(), in_parts(parts, in[V]),
                                  in[H0].shape(), in[DT].shape()};
    if (spec.soft()) shapes.push_back(in_parts(parts, in[V2])), shapes.push_back(in_parts(parts, in[B2]));
    return shapes;
  }
  std::vector<mx::Dtype> output_types(const Arrays& in) const override { return {in.size() - 2, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    LiquidScanGrad a{};
    a.f = network(in, spec);
    a.f.h = floats_out(in[in.size() - 2]), take_gradient(a, in.back());
    a.gu = floats_out(out[U_IN]), a.gU = floats_out(out[U]), a.gv = floats_out(out[V_IN]), a.gV = floats_out(out[V]);
    a.gh0 = floats_out(out[H0]), a.gdt = floats_out(out[DT]);
    if (spec.soft()) a.gV2 = floats_out(out[V2]), a.gb2 = floats_out(out[B2]);
    return over_batch(a.f.b, [a](int part, int row0, int row1) { kernels().liquid_backward(a, part, row0, row1); });
  }
};

class Scan : public Op<Scan, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::LiquidScan"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override { return {in[U_IN].shape()}; }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    LiquidScan a = network(in, spec);
    a.h = floats_out(out[0]);
    return over_batch(a.b, [a](int, int row0, int row1) { kernels().liquid_forward(a, row0, row1); });
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& out) override {
    const auto s = stream();
    Arrays arguments = in;
    arguments.push_back(out[0]);
    arguments.push_back(cotangents[0]);
    Arrays g = ScanGrad::apply(s, spec, arguments);
    for (size_t i : {U, V, V2, B2})
      if (i < g.size()) g[i] = sum_first(g[i], s);
    return pick(g, argnums);
  }
};

}  // namespace

mx::array liquid_scan(mx::array u, mx::array U, mx::array v, mx::array V, MaybeArray V2, MaybeArray b2, MaybeArray h0,
                      mx::array dt, float low, float high, const std::string& solver, int substeps, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  Arrays in{dense(u, s), dense(U, s), dense(v, s), dense(V, s),
            h0 ? dense(*h0, s) : mx::zeros({u.shape(0), u.shape(2)}, mx::float32, s), dense(dt, s)};
  if (V2) in.push_back(dense(*V2, s)), in.push_back(dense(*b2, s));
  Spec spec;
  spec.solver = find_solver(solver), spec.substeps = substeps, spec.low = low, spec.high = V2 ? low : high;
  return Scan::apply(s, spec, in)[0];
}

}  // namespace las
