#include "ops/ops.h"

namespace las {
namespace {

constexpr int FEATURES = 8;  // of a task of the backward pass
int blocks_of(int d) { return (d + FEATURES - 1) / FEATURES; }

struct Spec {
  int degree;
};

// in: x (rows, d), C, knots, perhaps W (d, out)
Bspline describe(const Arrays& in, const Spec& spec) {
  return {in[0].shape(1),
          in[1].shape(2),
          in[1].shape(1),
          spec.degree,
          in[0].data<float>(),
          in[1].data<float>(),
          in.size() > 3 ? in[3].data<float>() : nullptr,
          in[2].data<float>(),
          nullptr};
}

// in: x, C, knots, gy, perhaps W; out: gx, gC and perhaps gW as partial sums
class BsplineGradient : public Op<BsplineGradient, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::BsplineGradient"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    const int d = in[0].shape(1), parts = row_parts(in[0].shape(0), d), out = in[1].shape(2);
    std::vector<mx::Shape> shapes{in[0].shape(), {parts, d, in[1].shape(1), out}};
    if (in.size() > 4) shapes.push_back({parts, d, out});
    return shapes;
  }
  std::vector<mx::Dtype> output_types(const Arrays& in) const override { return {in.size() - 2, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    BsplineGrad a{};
    a.f = describe(in.size() > 4 ? Arrays{in[0], in[1], in[2], in[4]} : Arrays{in[0], in[1], in[2]}, spec);
    a.gy = in[3].data<float>();
    a.gx = const_cast<float*>(out[0].data<float>());
    a.gC = const_cast<float*>(out[1].data<float>());
    a.gW = out.size() > 2 ? const_cast<float*>(out[2].data<float>()) : nullptr;
    return [a, rows = in[0].shape(0), parts = out[1].shape(0)] {
      const int blocks = blocks_of(a.f.d);
      Pool::get().parallel_for(parts * blocks, [&](int task) {
        const int64_t part = task / blocks, i0 = task % blocks * FEATURES;
        BsplineGrad mine = a;
        mine.gC += part * a.f.d * a.f.K * a.f.out;
        if (a.gW) mine.gW += part * a.f.d * a.f.out;
        kernels().bspline_backward(mine, rows * part / parts, rows * (part + 1) / parts, static_cast<int>(i0),
                                   std::min(static_cast<int>(i0) + FEATURES, a.f.d));
      });
    };
  }

 private:
  static int row_parts(int64_t rows, int d) {  // more than one where the features alone are too few tasks
    return std::max(1, parts_of_rows(rows) / blocks_of(d));
  }
};

// in: x, C, knots, perhaps W; out: y
class BsplineLinear : public Op<BsplineLinear, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::BsplineLinear"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override { return {{in[0].shape(0), in[1].shape(2)}}; }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    Bspline a = describe(in, spec);
    a.y = const_cast<float*>(out[0].data<float>());
    return [a, rows = in[0].shape(0)] {
      over_rows(rows, parts_of_rows(rows),
                [&](int, int64_t r0, int64_t r1) { kernels().bspline_forward(a, r0, r1); });
    };
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays&) override {
    const auto s = stream();
    Arrays given{in[0], in[1], in[2], dense(cotangents[0], s)};
    if (in.size() > 3) given.push_back(in[3]);
    const Arrays g = BsplineGradient::apply(s, spec, given);
    Arrays all{g[0], sum_first(g[1], s), mx::zeros_like(in[2], s)};
    if (in.size() > 3) all.push_back(sum_first(g[2], s));
    return pick(all, argnums);
  }
};

}  // namespace

mx::array bspline_linear(mx::array x, mx::array C, MaybeArray W, mx::array knots, int degree, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  Arrays in{dense(mx::reshape(x, {-1, x.shape(-1)}, s), s), dense(C, s), dense(knots, s)};
  if (W) in.push_back(dense(mx::transpose(*W, s), s));
  mx::Shape shape = x.shape();
  shape.back() = C.shape(2);
  return mx::astype(mx::reshape(BsplineLinear::apply(s, {degree}, in)[0], shape, s), x.dtype(), s);
}

}  // namespace las
