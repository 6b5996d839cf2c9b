#include "ops/ops.h"

namespace las {
namespace {

struct Spec {
  bool silu;
};

// in: x weight bias tail
ConvForward describe(const Arrays& in, const Spec& spec) {
  ConvForward a{};
  a.b = in[0].shape(0), a.t = in[0].shape(1), a.d = in[0].shape(2), a.k = in[1].shape(1);
  a.silu = spec.silu;
  a.x = view(in[0]), a.tail = view(in[3]);
  a.weight = in[1].data<float>(), a.bias = in[2].data<float>();
  return a;
}

// in: x weight bias tail gy gnew_tail; out: gx gweight gbias gtail, gweight and gbias as partial sums
class ConvGrad : public Op<ConvGrad, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::CausalConv1dGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    const int b = in[0].shape(0), d = in[0].shape(2);
    return {in[0].shape(), {b, d, in[1].shape(1)}, {b, d}, in[3].shape()};
  }
  std::vector<mx::Dtype> output_types(const Arrays& in) const override {
    return {in[0].dtype(), mx::float32, mx::float32, in[3].dtype()};
  }
  Job job(const Arrays& in, const Arrays& out) const override {
    ConvBackward a{};
    a.f = describe(in, spec);
    a.gy = view(in[4]), a.gnew_tail = view(in[5]), a.gx = view(out[0]), a.gtail = view(out[3]);
    a.gweight = const_cast<float*>(out[1].data<float>());
    a.gbias = const_cast<float*>(out[2].data<float>());
    return over_channels(a.f.b, a.f.d, [a](int row, int d0, int d1) { kernels().conv_backward(a, row, d0, d1); });
  }
};

// in: x weight bias tail; out: y new_tail
class Conv : public Op<Conv, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::CausalConv1d"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override { return {in[0].shape(), in[3].shape()}; }
  std::vector<mx::Dtype> output_types(const Arrays& in) const override { return {in[0].dtype(), in[3].dtype()}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    ConvForward a = describe(in, spec);
    a.y = view(out[0]), a.new_tail = view(out[1]);
    return over_channels(a.b, a.d, [a](int row, int d0, int d1) { kernels().conv_forward(a, row, d0, d1); });
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override {
    const auto s = stream();
    Arrays g = ConvGrad::apply(s, spec, {in[0], in[1], in[2], in[3], cotangents[0], cotangents[1]});
    g[1] = sum_first(g[1], s);
    g[2] = sum_first(g[2], s);
    return pick(g, argnums);
  }
};

}  // namespace

Arrays causal_conv1d(mx::array x, mx::array weight, MaybeArray bias, MaybeArray tail, bool silu, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  const int b = x.shape(0), d = x.shape(2), k = weight.shape(1);
  return Conv::apply(s, {silu},
                     {x, dense(weight, s), bias ? dense(*bias, s) : mx::zeros({d}, mx::float32, s),
                      tail ? *tail : mx::zeros({b, k - 1, d}, x.dtype(), s)});
}

}  // namespace las
