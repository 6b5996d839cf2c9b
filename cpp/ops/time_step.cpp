#include "ops/ops.h"

namespace las {
namespace {

struct Spec {
  bool bounded;  // else softplus
  float dt_min, dt_max;
};

// in: x (rows, d), bias, gdt; out: gx, gbias as partial sums
class TimeStepGrad : public Op<TimeStepGrad, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::TimeStepGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    return {in[0].shape(), {parts_of_rows(in[0].shape(0)), in[0].shape(1)}};
  }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    const auto *x = in[0].data<float>(), *bias = in[1].data<float>(), *g = in[2].data<float>();
    auto *gx = const_cast<float*>(out[0].data<float>()), *gbias = const_cast<float*>(out[1].data<float>());
    return [=, rows = in[0].shape(0), d = in[0].shape(1), parts = out[1].shape(0), spec = spec] {
      over_rows(rows, parts, [&](int part, int64_t r0, int64_t r1) {
        float* sum = gbias + static_cast<int64_t>(part) * d;
        if (spec.bounded)
          kernels().bounded_grad({r0, r1, d}, x, bias, spec.dt_min, spec.dt_max, g, gx, sum);
        else
          kernels().softplus_grad({r0, r1, d}, x, bias, g, gx, sum);
      });
    };
  }
};

// in: x (rows, d), bias; out: dt
class TimeStep : public Op<TimeStep, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::TimeStep"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override { return {in[0].shape()}; }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    const auto *x = in[0].data<float>(), *bias = in[1].data<float>();
    auto* dt = const_cast<float*>(out[0].data<float>());
    return [=, rows = in[0].shape(0), d = in[0].shape(1), spec = spec] {
      over_rows(rows, parts_of_rows(rows), [&](int, int64_t r0, int64_t r1) {
        if (spec.bounded)
          kernels().bounded({r0, r1, d}, x, bias, spec.dt_min, spec.dt_max, dt);
        else
          kernels().softplus({r0, r1, d}, x, bias, dt);
      });
    };
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override {
    const auto s = stream();
    Arrays g = TimeStepGrad::apply(s, spec, {in[0], in[1], dense(cotangents[0], s)});
    g[1] = sum_first(g[1], s);
    return pick(g, argnums);
  }
};

mx::array time_step(Spec spec, mx::array x, mx::array bias, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  const int d = x.shape(-1);
  auto dt = TimeStep::apply(s, spec, {dense(mx::reshape(x, {-1, d}, s), s), dense(bias, s)})[0];
  return mx::astype(mx::reshape(dt, x.shape(), s), x.dtype(), s);
}

}  // namespace

mx::array bounded_time_step(mx::array x, mx::array bias, float dt_min, float dt_max, MaybeStream stream) {
  return time_step({true, dt_min, dt_max}, x, bias, stream);
}
mx::array softplus_time_step(mx::array x, mx::array bias, MaybeStream stream) {
  return time_step({false, 0.f, 0.f}, x, bias, stream);
}

}  // namespace las
