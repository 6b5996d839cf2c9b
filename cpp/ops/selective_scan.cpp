#include "ops/ops.h"

namespace las {
namespace {

struct Spec {
  float inverse_substeps;
  bool gated;
};

int segments(int t) { return (t + SEGMENT - 1) / SEGMENT; }
int blocks(int d) { return (d + kernels().lanes - 1) / kernels().lanes; }

int parts(int b, int d) {  // channel blocks of a batch row go to so many jobs, until all threads have equal work
  const int threads = Pool::get().size(), most = blocks(d);
  int n = 1;
  if (b < 4 * threads)
    while ((b * n) % threads != 0 && n < most) n++;
  return n;
}

// in: x dt A B C D h0 [z]
ScanForward describe(const Arrays& in, const Spec& spec) {
  ScanForward a{};
  a.b = in[0].shape(0), a.t = in[0].shape(1), a.d = in[0].shape(2), a.n = in[2].shape(1);
  a.inverse_substeps = spec.inverse_substeps;
  a.x = view(in[0]), a.dt = view(in[1]), a.B = view(in[3]), a.C = view(in[4]);
  if (spec.gated) a.z = view(in[7]);
  a.A = in[2].data<float>(), a.D = in[5].data<float>(), a.h0 = in[6].data<float>();
  return a;
}

template <class F>
Job over_channel_blocks(int b, int d, int parts, F f) {  // f(row, part, block0, block1)
  return [=, most = blocks(d)] {
    Pool::get().parallel_for(b * parts, [&](int i) {
      const int row = i / parts, part = i % parts;
      f(row, part, most * part / parts, most * (part + 1) / parts);
    });
  };
}

// in: x dt A B C D h0 [z] gy gh_last checkpoints; out: gx gdt gA gB gC gD gh0 [gz], gA gB gC gD as partial sums
class ScanGrad : public Op<ScanGrad, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::SelectiveScanGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    const int b = in[0].shape(0), t = in[0].shape(1), d = in[0].shape(2), n = in[2].shape(1), p = parts(b, d);
    std::vector<mx::Shape> s{{b, t, d}, {b, t, d}, {b, d, n}, {p, b, t, n}, {p, b, t, n}, {b, d}, {b, d, n}};
    if (spec.gated) s.push_back({b, t, d});
    return s;
  }
  std::vector<mx::Dtype> output_types(const Arrays& in) const override {
    const auto f = mx::float32;
    std::vector<mx::Dtype> types{in[0].dtype(), in[1].dtype(), f, f, f, f, f};
    if (spec.gated) types.push_back(in[7].dtype());
    return types;
  }
  Job job(const Arrays& in, const Arrays& out) const override {
    const size_t after = spec.gated ? 8 : 7;
    ScanBackward a{};
    a.f = describe(in, spec);
    a.gy = view(in[after]);
    a.gh_last = in[after + 1].data<float>();
    a.f.checkpoints = const_cast<float*>(in[after + 2].data<float>());
    a.gx = view(out[0]), a.gdt = view(out[1]);
    auto data = [&](int i) { return const_cast<float*>(out[i].data<float>()); };
    a.gA = data(2), a.gB = data(3), a.gC = data(4), a.gD = data(5), a.gh0 = data(6);
    if (spec.gated) a.gz = view(out[7]);
    return over_channel_blocks(a.f.b, a.f.d, out[3].shape(0), [a](int row, int part, int block0, int block1) {
      kernels().scan_backward(a, row, part, block0, block1);
    });
  }
};

// in: x dt A B C D h0 [z]; out: y h_last checkpoints
class Scan : public Op<Scan, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::SelectiveScan"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    const int b = in[0].shape(0), t = in[0].shape(1), d = in[0].shape(2), n = in[2].shape(1);
    return {{b, t, d}, {b, d, n}, {b, segments(t), blocks(d), n, kernels().lanes}};
  }
  std::vector<mx::Dtype> output_types(const Arrays& in) const override {
    return {in[0].dtype(), mx::float32, mx::float32};
  }
  Job job(const Arrays& in, const Arrays& out) const override {
    ScanForward a = describe(in, spec);
    a.y = view(out[0]);
    a.h_last = const_cast<float*>(out[1].data<float>());
    a.checkpoints = const_cast<float*>(out[2].data<float>());
    return over_channel_blocks(a.b, a.d, parts(a.b, a.d), [a](int row, int, int block0, int block1) {
      kernels().scan_forward(a, row, block0, block1);
    });
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& out) override {
    const auto s = stream();
    Arrays arguments = in;
    arguments.push_back(cotangents[0]);
    arguments.push_back(dense(cotangents[1], s));
    arguments.push_back(out[2]);
    Arrays g = ScanGrad::apply(s, spec, arguments);
    g[2] = sum_first(g[2], s);
    for (int i : {3, 4}) g[i] = mx::astype(sum_first(g[i], s), in[i].dtype(), s);
    g[5] = sum_first(g[5], s);
    return pick(g, argnums);
  }
};

}  // namespace

Arrays selective_scan(mx::array x, mx::array dt, mx::array A, mx::array B, mx::array C, MaybeArray D, MaybeArray z,
                      MaybeArray h0, float substeps, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  const int b = x.shape(0), d = x.shape(2), n = A.shape(1);
  Arrays in{x, dt, dense(A, s), B, C, D ? dense(*D, s) : mx::zeros({d}, mx::float32, s),
            h0 ? dense(*h0, s) : mx::zeros({b, d, n}, mx::float32, s)};
  if (z) in.push_back(*z);
  auto out = Scan::apply(s, {1.f / substeps, z.has_value()}, in);
  return {out[0], out[1]};
}

}  // namespace las
