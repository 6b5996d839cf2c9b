#include "ops/ops.h"

namespace las {
namespace {

// in: logits (rows, classes), targets, log-sum-exp, gloss; out: glogits
class CrossEntropyGrad : public Op<CrossEntropyGrad, None> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::CrossEntropyGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override { return {in[0].shape()}; }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    const auto *x = in[0].data<float>(), *lse = in[2].data<float>(), *g = in[3].data<float>();
    const auto* target = in[1].data<int32_t>();
    auto* gx = const_cast<float*>(out[0].data<float>());
    return [=, rows = in[0].shape(0), d = in[0].shape(1)] {
      over_rows(rows, parts_of_rows(rows),
                [&](int, int64_t r0, int64_t r1) { kernels().cross_entropy_grad({r0, r1, d}, x, target, lse, g, gx); });
    };
  }
};

// in: logits (rows, classes), targets; out: loss, log-sum-exp
class CrossEntropy : public Op<CrossEntropy, None> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::CrossEntropy"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override { return {{in[0].shape(0)}, {in[0].shape(0)}}; }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    const auto* x = in[0].data<float>();
    const auto* target = in[1].data<int32_t>();
    auto *loss = const_cast<float*>(out[0].data<float>()), *lse = const_cast<float*>(out[1].data<float>());
    return [=, rows = in[0].shape(0), d = in[0].shape(1)] {
      over_rows(rows, parts_of_rows(rows),
                [&](int, int64_t r0, int64_t r1) { kernels().cross_entropy({r0, r1, d}, x, target, loss, lse); });
    };
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& out) override {
    const auto s = stream();
    const Arrays g = CrossEntropyGrad::apply(s, {}, {in[0], in[1], out[1], dense(cotangents[0], s)});
    return pick({g[0], mx::zeros_like(in[1], s)}, argnums);
  }
};

}  // namespace

mx::array cross_entropy(mx::array logits, mx::array targets, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  const int classes = logits.shape(-1);
  const auto flat = dense(mx::reshape(logits, {-1, classes}, s), s);
  const auto loss = CrossEntropy::apply(s, {}, {flat, dense(mx::flatten(targets, s), mx::int32, s)})[0];
  return mx::reshape(loss, targets.shape(), s);
}

}  // namespace las
