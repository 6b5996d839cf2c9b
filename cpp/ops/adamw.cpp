#include "ops/ops.h"

namespace las {
namespace {

constexpr int64_t CHUNK = 1 << 15;

struct Spec {
  float b1, b2, eps, weight_decay;
};

// in: p g m v, scalars (lr, scale of the gradient, bias correction); out: p m v
class AdamWStep : public Op<AdamWStep, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::AdamW"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    return {in[0].shape(), in[0].shape(), in[0].shape()};
  }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32, mx::float32, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    AdamW a{};
    a.b1 = spec.b1, a.b2 = spec.b2, a.eps = spec.eps, a.weight_decay = spec.weight_decay;
    a.p = in[0].data<float>(), a.g = in[1].data<float>(), a.m = in[2].data<float>(), a.v = in[3].data<float>();
    auto data = [&](int i) { return const_cast<float*>(out[i].data<float>()); };
    a.p_out = data(0), a.m_out = data(1), a.v_out = data(2);
    return [a, scalars = in[4].data<float>(), size = static_cast<int64_t>(in[0].size())]() mutable {
      a.lr = scalars[0], a.scale = scalars[1], a.bias_correction = scalars[2];
      const int chunks = static_cast<int>((size + CHUNK - 1) / CHUNK);
      Pool::get().parallel_for(chunks, [&](int i) { kernels().adamw(a, i * CHUNK, std::min(size, (i + 1) * CHUNK)); });
    };
  }
};

}  // namespace

Arrays adamw(mx::array p, mx::array g, mx::array m, mx::array v, mx::array scalars, float b1, float b2, float eps,
             float weight_decay, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  return AdamWStep::apply(s, {b1, b2, eps, weight_decay}, {dense(p, s), dense(g, s), dense(m, s), dense(v, s), dense(scalars, s)});
}

}  // namespace las
