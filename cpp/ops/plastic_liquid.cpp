#include "ops/plastic.h"

namespace las {
namespace {

struct Spec : LiquidSpec {
  float low, high;
  Rule rule;
  int lag;
  bool soft() const { return high <= low; }
};

// the inputs, V2 and b2 for a soft tau only
enum { U_IN, U, V_IN, V, H0, DT, X, ALPHA, TRACE, KEY, RATE, KEEP, V2, B2 };

PlasticLiquid network(const Arrays& in, const Spec& spec) {
  PlasticLiquid a{};
  describe(a, spec, in[U_IN], in[H0], in[DT]);
  a.inner = in[V_IN].shape(2), a.low = spec.low, a.range = spec.high - spec.low;
  a.u = floats(in[U_IN]), a.U = floats(in[U]), a.v = floats(in[V_IN]), a.V = floats(in[V]);
  if (spec.soft()) a.V2 = floats(in[V2]), a.b2 = floats(in[B2]);
  a.inputs = in[X].shape(2), a.g = in[ALPHA].shape(0), a.rule = spec.rule, a.lag = spec.lag;
  a.x = floats(in[X]), a.alpha = floats(in[ALPHA]), a.H0 = floats(in[TRACE]), a.k0 = floats(in[KEY]);
  a.rate = floats(in[RATE]), a.keep = floats(in[KEEP]);
  return a;
}

// in: those of the scan, the states, the drive, checkpoints, the gradients of the last trace and of the states;
// out: the gradients of the inputs, U V alpha V2 b2 as partial sums
class ScanGrad : public Op<ScanGrad, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::PlasticLiquidScanGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    const int parts = parts_of_batch(in[U_IN].shape(0));
    std::vector<mx::Shape> shapes;
    for (size_t i = 0; i < in.size() - 5; i++) shapes.push_back(shared(i) ? in_parts(parts, in[i]) : in[i].shape());
    return shapes;
  }
  std::vector<mx::Dtype> output_types(const Arrays& in) const override { return {in.size() - 5, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    const size_t after = in.size() - 5;
    PlasticLiquidGrad a{};
    a.p = network(in, spec);
    a.p.h = floats_out(in[after]), a.p.u = floats(in[after + 1]), a.p.checkpoints = floats_out(in[after + 2]);
    a.gH = floats(in[after + 3]), take_gradient(a, in[after + 4]);
    a.f = a.p;
    a.gu = floats_out(out[U_IN]), a.gU = floats_out(out[U]), a.gv = floats_out(out[V_IN]), a.gV = floats_out(out[V]);
    a.gh0 = floats_out(out[H0]), a.gdt = floats_out(out[DT]), a.gx = floats_out(out[X]);
    a.galpha = floats_out(out[ALPHA]), a.gH0 = floats_out(out[TRACE]), a.gk0 = floats_out(out[KEY]);
    a.grate = floats_out(out[RATE]), a.gkeep = floats_out(out[KEEP]);
    if (spec.soft()) a.gV2 = floats_out(out[V2]), a.gb2 = floats_out(out[B2]);
    return over_batch(a.f.b, [a](int part, int row0, int row1) {
      kernels().plastic_liquid_backward(a, part, row0, row1);
    });
  }

  static bool shared(size_t i) { return i == U || i == V || i == ALPHA || i == V2 || i == B2; }  // by the whole batch
};

// out: the states, the last trace, the drive, checkpoints
class Scan : public Op<Scan, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::PlasticLiquidScan"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    return {in[U_IN].shape(), in[TRACE].shape(), in[U_IN].shape(),
            checkpoints_shape(in[TRACE], in[U_IN].shape(1), LIQUID_SEGMENT)};
  }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {4, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    PlasticLiquid a = network(in, spec);
    a.h = floats_out(out[0]), a.H = floats_out(out[1]), a.drive = floats_out(out[2]);
    a.checkpoints = floats_out(out[3]);
    return over_batch(a.b, [a](int, int row0, int row1) { kernels().plastic_liquid_forward(a, row0, row1); });
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& out) override {
    const auto s = stream();
    Arrays arguments = in;
    arguments.insert(arguments.end(), {out[0], out[2], out[3], dense(cotangents[1], s), cotangents[0]});
    Arrays g = ScanGrad::apply(s, spec, arguments);
    for (size_t i = 0; i < g.size(); i++)
      if (ScanGrad::shared(i)) g[i] = sum_first(g[i], s);
    return pick(g, argnums);
  }
};

}  // namespace

Arrays plastic_liquid_scan(mx::array u, mx::array U, mx::array v, mx::array V, MaybeArray V2, MaybeArray b2,
                           MaybeArray h0, MaybeArray H0, MaybeArray k0, mx::array dt, mx::array x, mx::array alpha,
                           mx::array rate, mx::array keep, float low, float high, const std::string& solver,
                           int substeps, const std::string& rule, int lag, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  const mx::Shape trace{u.shape(0), alpha.shape(0), alpha.shape(1), alpha.shape(2)};
  auto or_zeros = [&](const MaybeArray& a, const mx::Shape& shape) {
    return a ? dense(*a, s) : mx::zeros(shape, mx::float32, s);
  };
  Arrays in{dense(u, s), dense(U, s), dense(v, s), dense(V, s), or_zeros(h0, {u.shape(0), u.shape(2)}), dense(dt, s),
            dense(x, s), dense(alpha, s), or_zeros(H0, trace), or_zeros(k0, {trace[0], trace[1], trace[3]}),
            dense(rate, s), dense(keep, s)};
  if (V2) in.push_back(dense(*V2, s)), in.push_back(dense(*b2, s));
  Spec spec;
  spec.solver = find_solver(solver), spec.substeps = substeps, spec.low = low, spec.high = V2 ? low : high;
  spec.rule = find_rule(rule), spec.lag = lag;
  const auto out = Scan::apply(s, spec, in);
  return {out[0], out[1]};
}

}  // namespace las
