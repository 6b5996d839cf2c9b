#include <numeric>

#include "ops/plastic.h"

namespace las {
namespace {

struct Spec {
  Rule rule;
  bool keyed, targeted;
};

enum { U_IN, X, ALPHA, TRACE, RATE, KEEP, FIRST_OPTIONAL };  // then the key and the target, where there are any

PlasticScan describe(const Arrays& in, const Spec& spec) {
  PlasticScan a{};
  const auto& shape = in[TRACE].shape();
  a.b = shape[0], a.t = in[U_IN].shape(1), a.g = shape[1], a.m = shape[2], a.n = shape[3], a.rule = spec.rule;
  a.u = floats(in[U_IN]), a.x = floats(in[X]), a.alpha = floats(in[ALPHA]), a.H0 = floats(in[TRACE]);
  a.rate = floats(in[RATE]), a.keep = floats(in[KEEP]);
  if (spec.keyed) a.key = floats(in[FIRST_OPTIONAL]);
  if (spec.targeted) a.target = floats(in[FIRST_OPTIONAL + spec.keyed]);
  return a;
}

struct Cut {  // how often the batch and the units of all heads are cut: both, where threads would idle otherwise
  int batch, units;
};
constexpr int LEAST = 8;  // units a part

Cut cut(const mx::array& trace) {
  const int b = trace.shape(0), most = std::max(1, trace.shape(1) * trace.shape(2) / LEAST);
  const int threads = Pool::get().size(), even = std::gcd(b, threads);
  if (b >= 4 * threads || most < threads / even) return {std::min(b, threads), 1};
  return {even, threads / even};
}

template <class F>
Job over_parts(const mx::array& trace, Cut cut, F f) {  // f(part)
  return [=, b = trace.shape(0), units = trace.shape(1) * trace.shape(2)] {
    auto edge = [&](int i) { return i == cut.units ? units : units * i / cut.units / LEAST * LEAST; };
    Pool::get().parallel_for(cut.batch * cut.units, [&](int i) {
      const int row = i / cut.units, unit = i % cut.units;
      f(PlasticPart{b * row / cut.batch, b * (row + 1) / cut.batch, edge(unit), edge(unit + 1), row, unit});
    });
  };
}

// in: those of the scan, y, the gradients of y and of the last trace, checkpoints; out: the gradients of the inputs,
// alpha by parts of the batch, x key rate keep by parts of the units
class ScanGrad : public Op<ScanGrad, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::PlasticScanGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    const Cut parts = cut(in[TRACE]);
    std::vector<mx::Shape> shapes{in[U_IN].shape(),           in_parts(parts.units, in[X]),
                                  in_parts(parts.batch, in[ALPHA]), in[TRACE].shape(),
                                  in_parts(parts.units, in[RATE]), in_parts(parts.units, in[KEEP])};
    if (spec.keyed) shapes.push_back(in_parts(parts.units, in[X]));
    if (spec.targeted) shapes.push_back(in[U_IN].shape());
    return shapes;
  }
  std::vector<mx::Dtype> output_types(const Arrays& in) const override { return {in.size() - 4, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    const size_t after = in.size() - 4;
    PlasticScanGrad a{};
    a.f = describe(in, spec);
    a.f.y = floats_out(in[after]), a.gy = floats(in[after + 1]), a.gH = floats(in[after + 2]);
    a.f.checkpoints = floats_out(in[after + 3]);
    a.gu = floats_out(out[U_IN]), a.gx = floats_out(out[X]), a.galpha = floats_out(out[ALPHA]);
    a.gH0 = floats_out(out[TRACE]), a.grate = floats_out(out[RATE]), a.gkeep = floats_out(out[KEEP]);
    if (spec.keyed) a.gkey = floats_out(out[FIRST_OPTIONAL]);
    if (spec.targeted) a.gtarget = floats_out(out[FIRST_OPTIONAL + spec.keyed]);
    return over_parts(in[TRACE], {out[ALPHA].shape(0), out[X].shape(0)},
                      [a](const PlasticPart& part) { kernels().plastic_backward(a, part); });
  }
};

// out: y, the last trace, checkpoints
class Scan : public Op<Scan, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::PlasticScan"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    return {in[U_IN].shape(), in[TRACE].shape(), checkpoints_shape(in[TRACE], in[U_IN].shape(1), SEGMENT)};
  }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {3, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    PlasticScan a = describe(in, spec);
    a.y = floats_out(out[0]), a.H = floats_out(out[1]), a.checkpoints = floats_out(out[2]);
    return over_parts(in[TRACE], cut(in[TRACE]), [a](const PlasticPart& part) { kernels().plastic_forward(a, part); });
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& out) override {
    const auto s = stream();
    Arrays arguments = in;
    arguments.insert(arguments.end(), {out[0], dense(cotangents[0], s), dense(cotangents[1], s), out[2]});
    Arrays g = ScanGrad::apply(s, spec, arguments);
    for (int i : {int(X), int(ALPHA), int(RATE), int(KEEP)}) g[i] = sum_first(g[i], s);
    if (spec.keyed) g[FIRST_OPTIONAL] = sum_first(g[FIRST_OPTIONAL], s);
    return pick(g, argnums);
  }
};

}  // namespace

Arrays plastic_scan(mx::array u, mx::array x, mx::array alpha, MaybeArray H0, mx::array rate, mx::array keep,
                    MaybeArray key, MaybeArray target, const std::string& rule, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  const mx::Shape shape{u.shape(0), alpha.shape(0), alpha.shape(1), alpha.shape(2)};
  Arrays in{dense(u, s),    dense(x, s), dense(alpha, s), H0 ? dense(*H0, s) : mx::zeros(shape, mx::float32, s),
            dense(rate, s), dense(keep, s)};
  if (key) in.push_back(dense(*key, s));
  if (target) in.push_back(dense(*target, s));
  const auto out = Scan::apply(s, {find_rule(rule), key.has_value(), target.has_value()}, in);
  return {out[0], out[1]};
}

}  // namespace las
