#include "ops/liquid.h"

namespace las {
namespace {

// in: x h0 dt, sensory w mu sigma erev, recurrent w mu sigma erev, leak g v cm
constexpr size_t X = 0, H0 = 1, DT = 2, SENSORY = 3, RECURRENT = 7, LEAK = 11, INPUTS = 14;

SynapseArrays synapses(const Arrays& in, size_t at) {
  return {floats(in[at]), floats(in[at + 1]), floats(in[at + 2]), floats(in[at + 3])};
}
SynapseSums synapse_sums(const Arrays& out, size_t at) {
  return {floats_out(out[at]), floats_out(out[at + 1]), floats_out(out[at + 2]), floats_out(out[at + 3])};
}

LtcScan neurons(const Arrays& in, const LiquidSpec& spec) {
  LtcScan a{};
  describe(a, spec, in[X], in[H0], in[DT]);
  a.inputs = in[X].shape(2), a.x = floats(in[X]);
  a.sensory = synapses(in, SENSORY), a.recurrent = synapses(in, RECURRENT);
  a.g = floats(in[LEAK]), a.v = floats(in[LEAK + 1]), a.cm = floats(in[LEAK + 2]);
  return a;
}

// in: those of the scan, the states, their gradient; out: the gradients of the inputs, those of parameters as partial sums
class LtcGrad : public Op<LtcGrad, LiquidSpec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::LtcScanGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    std::vector<mx::Shape> shapes{in[X].shape(), in[H0].shape(), in[DT].shape()};
    for (size_t i = SENSORY; i < INPUTS; i++) shapes.push_back(in_parts(parts_of_batch(in[X].shape(0)), in[i]));
    return shapes;
  }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {INPUTS, mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    LtcScanGrad a{};
    a.f = neurons(in, spec);
    a.f.h = floats_out(in[INPUTS]), take_gradient(a, in[INPUTS + 1]);
    a.gx = floats_out(out[X]), a.gh0 = floats_out(out[H0]), a.gdt = floats_out(out[DT]);
    a.gsensory = synapse_sums(out, SENSORY), a.grecurrent = synapse_sums(out, RECURRENT);
    a.gg = floats_out(out[LEAK]), a.gv = floats_out(out[LEAK + 1]), a.gcm = floats_out(out[LEAK + 2]);
    return over_batch(a.f.b, [a](int part, int row0, int row1) { kernels().ltc_backward(a, part, row0, row1); });
  }
};

class Ltc : public Op<Ltc, LiquidSpec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::LtcScan"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    return {{in[X].shape(0), in[X].shape(1), in[H0].shape(1)}};
  }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32}; }
  Job job(const Arrays& in, const Arrays& out) const override {
    LtcScan a = neurons(in, spec);
    a.h = floats_out(out[0]);
    return over_batch(a.b, [a](int, int row0, int row1) { kernels().ltc_forward(a, row0, row1); });
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& out) override {
    const auto s = stream();
    Arrays arguments = in;
    arguments.push_back(out[0]);
    arguments.push_back(cotangents[0]);
    Arrays g = LtcGrad::apply(s, spec, arguments);
    for (size_t i = SENSORY; i < INPUTS; i++) g[i] = sum_first(g[i], s);
    return pick(g, argnums);
  }
};

}  // namespace

mx::array ltc_scan(mx::array x, Arrays sensory, Arrays recurrent, Arrays leak, MaybeArray h0, mx::array dt,
                   const std::string& solver, int substeps, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  const int hidden = leak[0].shape(0);
  Arrays in{dense(x, s), h0 ? dense(*h0, s) : mx::zeros({x.shape(0), hidden}, mx::float32, s), dense(dt, s)};
  for (const Arrays* group : {&sensory, &recurrent, &leak})
    for (const auto& a : *group) in.push_back(dense(a, s));
  return Ltc::apply(s, {find_solver(solver), substeps}, in)[0];
}

}  // namespace las
