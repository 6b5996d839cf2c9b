#include "ops/liquid.h"

namespace las {
namespace {

struct Spec {
  bool hard, rests;
  float refractory;
  LifSurrogate surrogate;
  float slope;
  bool potential, recurrent;
};

enum { U_IN, NEURONS, STATE, U };  // the inputs, U where neurons hear each other

LifSurrogate find_surrogate(const std::string& name) {
  if (name == "fast_sigmoid") return LifSurrogate::fast_sigmoid;
  if (name == "arctan") return LifSurrogate::arctan;
  if (name == "triangular") return LifSurrogate::triangular;
  if (name == "straight_through") return LifSurrogate::straight_through;
  throw std::invalid_argument("surrogate: got '" + name +
                              "', expected fast_sigmoid, arctan, triangular or straight_through.");
}

LifScan describe(const Arrays& in, const Spec& spec) {
  LifScan a{};
  a.b = in[U_IN].shape(0), a.t = in[U_IN].shape(1), a.d = in[U_IN].shape(2);
  a.hard = spec.hard, a.adapts = in[NEURONS].shape(0) == 4, a.rests = spec.rests, a.refractory = spec.refractory;
  a.u = view(in[U_IN]), a.neurons = floats(in[NEURONS]), a.state = view(in[STATE]);
  if (spec.recurrent) a.U = floats(in[U]);
  return a;
}

// f(row, d0, d1) over strips of channels, g(row0, row1) over rows
template <class F, class G>
Job over_neurons(const LifScan& a, F f, G g) {
  if (a.U) return over_batch(a.b, [g](int, int row0, int row1) { g(row0, row1); });
  return over_channels(a.b, a.d, f);
}

// in: those of the scan, s, checkpoints, the gradients of s, of the state and of the potentials, if any; out: the
// gradients of u, of the neurons by rows of the batch, of the state
class ScanGrad : public Op<ScanGrad, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::LifScanGrad"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    return {in[U_IN].shape(), in_parts(in[U_IN].shape(0), in[NEURONS]), in[STATE].shape()};
  }
  std::vector<mx::Dtype> output_types(const Arrays& in) const override {
    return {in[U_IN].dtype(), mx::float32, mx::float32};
  }
  Job job(const Arrays& in, const Arrays& out) const override {
    const size_t after = spec.recurrent ? U + 1 : U;
    LifScanGrad a{};
    a.f = describe(in, spec);
    a.f.s = view(in[after]), a.f.checkpoints = floats_out(in[after + 1]);
    a.gs = view(in[after + 2]), a.gafter = view(in[after + 3]);
    if (spec.potential) a.gpotential = view(in[after + 4]);
    a.gu = view(out[0]), a.gneurons = floats_out(out[1]), a.gstate = floats_out(out[2]);
    a.surrogate = spec.surrogate, a.slope = spec.slope;
    return over_neurons(
        a.f, [a](int row, int d0, int d1) { kernels().lif_backward(a, row, d0, d1); },
        [a](int row0, int row1) { kernels().lif_recurrent_backward(a, row0, row1); });
  }
};

// out: s, the state after the last element, checkpoints, potentials if asked for
class Scan : public Op<Scan, Spec> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::LifScan"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    const auto& shape = in[U_IN].shape();
    const int kept = 1 + spec.rests + (in[NEURONS].shape(0) == 4);
    std::vector<mx::Shape> shapes{shape, in[STATE].shape(), {shape[0], (shape[1] - 1) / SEGMENT, kept, shape[2]}};
    if (spec.potential) shapes.push_back(shape);
    return shapes;
  }
  std::vector<mx::Dtype> output_types(const Arrays& in) const override {
    std::vector<mx::Dtype> types{in[U_IN].dtype(), mx::float32, mx::float32};
    if (spec.potential) types.push_back(in[U_IN].dtype());
    return types;
  }
  Job job(const Arrays& in, const Arrays& out) const override {
    LifScan a = describe(in, spec);
    a.s = view(out[0]), a.after = floats_out(out[1]), a.checkpoints = floats_out(out[2]);
    if (spec.potential) a.potential = view(out[3]);
    return over_neurons(
        a, [a](int row, int d0, int d1) { kernels().lif_forward(a, row, d0, d1); },
        [a](int row0, int row1) { kernels().lif_recurrent_forward(a, row0, row1); });
  }
  Arrays vjp(const Arrays& in, const Arrays& cotangents, const std::vector<int>& argnums, const Arrays& out) override {
    const auto s = stream();
    Arrays arguments = in;
    arguments.insert(arguments.end(), {out[0], out[2], cotangents[0], cotangents[1]});
    if (spec.potential) arguments.push_back(cotangents[3]);
    Arrays g = ScanGrad::apply(s, spec, arguments);
    g[NEURONS] = sum_first(g[NEURONS], s);
    if (spec.recurrent) g.push_back(synapses(g[U_IN], out[0], in[STATE]));
    return pick(g, argnums);
  }

 private:
  // sum_t gu_t s_{t-1}^T
  mx::array synapses(const mx::array& gu, const mx::array& spikes, const mx::array& state) {
    const auto s = stream();
    const int b = gu.shape(0), t = gu.shape(1), d = gu.shape(2);
    const auto first = mx::slice(state, {0, 1, 0}, {b, 2, d}, s);
    const auto before = mx::concatenate({first, mx::slice(spikes, {0, 0, 0}, {b, t - 1, d}, s)}, 1, s);
    return mx::matmul(mx::transpose(mx::reshape(gu, {b * t, d}, s), s), mx::reshape(before, {b * t, d}, s), s);
  }
};

}  // namespace

Arrays lif_scan(mx::array u, mx::array neurons, MaybeArray state, MaybeArray U, bool hard, int refractory,
                const std::string& surrogate, float slope, bool potential, MaybeStream stream) {
  const auto s = cpu_stream(stream);
  const auto resting = mx::broadcast_to(mx::zeros({1}, mx::float32, s), {u.shape(0), 4, u.shape(2)}, s);
  Arrays in{u, dense(neurons, s), state ? mx::astype(*state, mx::float32, s) : resting};
  if (U) in[U_IN] = mx::astype(u, mx::float32, s), in.push_back(dense(*U, s));
  const Spec spec{hard, refractory > 0 || state, static_cast<float>(refractory), find_surrogate(surrogate), slope,
                  potential, U.has_value()};
  const auto out = Scan::apply(s, spec, in);
  if (potential) return {out[0], out[1], out[3]};
  return {out[0], out[1]};
}

}  // namespace las
