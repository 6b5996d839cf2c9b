#include "ops/ops.h"

namespace las {
namespace {

struct Spec {
  float eps;
};

// in: x (rows, d), weight, gy; out: gx, gweight as partial sums
class RmsNormGrad : public Op<RmsNormGrad, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::RmsNormGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    return {in[0].shape(), {parts_of_rows(in[0].shape(0)), in[0].shape(1)}};
  }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    const auto *x = in[0].data<float>(), *w = in[1].data<float>(), *gy = in[2].data<float>();
    auto *gx = const_cast<float*>(out[0].data<float>()), *gw = const_cast<float*>(out[1].data<float>());
    return [=, rows = in[0].shape(0), d = in[0].shape(1), parts = out[1].shape(0), eps = spec.eps] {
      over_rows(rows, parts, [&](int part, int64_t r0, int64_t r1) {
        kernels().rms_norm_grad({r0, r1, d}, x, w, eps, gy, gx, gw + static_cast<int64_t>(part) * d);
      });
    };
  }
};

// in: x (rows, d), weight; out: y
class RmsNorm : public Op<RmsNorm, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::RmsNorm"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override { return {in[0].shape()}; }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    const auto *x = in[0].data<float>(), *w = in[1].data<float>();
    auto* y = const_cast<float*>(out[0].data<float>());
    return [=, rows = in[0].shape(0), d = in[0].shape(1), eps = spec.eps] {
      over_rows(rows, parts_of_rows(rows),
                [&](int, int64_t r0, int64_t r1) { kernels().rms_norm({r0, r1, d}, x, w, eps, y); });
    };
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override {
    const auto s = stream();
    Arrays g = RmsNormGrad::apply(s, spec, {in[0], in[1], dense(cotangents[0], s)});
    g[1] = sum_first(g[1], s);
    return pick(g, argnums);
  }
};

}  // namespace

mx::array rms_norm(mx::array x, mx::array weight, float eps, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  const int d = x.shape(-1);
  auto y = RmsNorm::apply(s, {eps}, {dense(mx::reshape(x, {-1, d}, s), s), dense(weight, s)})[0];
  return mx::astype(mx::reshape(y, x.shape(), s), x.dtype(), s);
}

}  // namespace las
