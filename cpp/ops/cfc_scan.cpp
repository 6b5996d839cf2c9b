#include "ops/liquid.h"

namespace las {
namespace {

struct Spec {
  bool gate, per_unit, deep, masked;  // deep: there are W and b
};

enum { U, V, H0, DT, WEIGHT, BIAS };  // the inputs, W and b where deep; then the mask, if any

CfcScan cell(const Arrays& in, const Spec& spec) {
  CfcScan a{};
  a.b = in[U].shape(0), a.t = in[U].shape(1), a.hidden = in[H0].shape(1), a.inner = in[U].shape(2);
  a.gate = spec.gate, a.per_unit = spec.per_unit;
  a.u = floats(in[U]), a.V = floats(in[V]), a.h0 = floats(in[H0]), a.dt = floats(in[DT]);
  if (spec.deep) a.W = floats(in[WEIGHT]), a.bias = floats(in[BIAS]);
  if (spec.masked) a.mask = in[spec.deep ? BIAS + 1 : WEIGHT].data<bool>();
  return a;
}

// in: those of the scan, the states, their gradient; out: the gradients of U .. BIAS, V W b as partial sums
class ScanGrad : public Op<ScanGrad, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::CfcScanGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    const int parts = parts_of_batch(in[U].shape(0));
    std::vector<mx::Shape> shapes{in[U].shape(), in_parts(parts, in[V]), in[H0].shape(), in[DT].shape()};
    if (spec.deep) shapes.push_back(in_parts(parts, in[WEIGHT])), shapes.push_back(in_parts(parts, in[BIAS]));
    return shapes;
  }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {spec.deep ? 6u : 4u, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    CfcScanGrad a{};
    a.f = cell(in, spec);
    a.f.h = floats_out(in[in.size() - 2]);
    a.gh = floats(in.back());
    for (int i = 0; i < 3; i++) a.gh_stride[i] = in.back().strides()[i];
    a.gu = floats_out(out[U]), a.gV = floats_out(out[V]), a.gh0 = floats_out(out[H0]), a.gdt = floats_out(out[DT]);
    if (spec.deep) a.gW = floats_out(out[WEIGHT]), a.gbias = floats_out(out[BIAS]);
    return over_batch(a.f.b, [a](int part, int row0, int row1) { kernels().cfc_backward(a, part, row0, row1); });
  }
};

class Scan : public Op<Scan, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::CfcScan"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    return {{in[U].shape(0), in[U].shape(1), in[H0].shape(1)}};
  }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    CfcScan a = cell(in, spec);
    a.h = floats_out(out[0]);
    return over_batch(a.b, [a](int, int row0, int row1) { kernels().cfc_forward(a, row0, row1); });
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& out) override {
    const auto s = stream();
    Arrays arguments = in;
    arguments.push_back(out[0]);
    arguments.push_back(cotangents[0]);
    Arrays g = ScanGrad::apply(s, spec, arguments);
    for (size_t i : {V, WEIGHT, BIAS})
      if (i < g.size()) g[i] = sum_first(g[i], s);
    if (spec.masked) g.push_back(mx::zeros_like(in.back(), s));
    return pick(g, argnums);
  }
};

}  // namespace

mx::array cfc_scan(mx::array u, mx::array V, MaybeArray W, MaybeArray b, MaybeArray h0, mx::array dt, MaybeArray mask,
                   bool gate, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  Arrays in{dense(u, s), dense(V, s), h0 ? dense(*h0, s) : mx::zeros({u.shape(0), V.shape(1)}, mx::float32, s),
            dense(dt, s)};
  if (W) in.push_back(dense(*W, s)), in.push_back(dense(*b, s));
  if (mask) in.push_back(dense(*mask, mx::bool_, s));
  return Scan::apply(s, {gate, dt.shape(2) > 1, W.has_value(), mask.has_value()}, in)[0];
}

}  // namespace las
