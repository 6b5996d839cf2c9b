#include <nanobind/stl/string.h>

#include "stream/python.h"
#include "stream/session.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace las::stream;

namespace {

using Input = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<nb::numpy, float>;

Tensors tensors_of(nb::dict arrays) {
  Tensors tensors;
  for (auto [key, value] : arrays) {
    Input array;
    const std::string name = nb::cast<std::string>(key);
    if (!nb::try_cast<Input>(value, array, false))
      throw std::invalid_argument("stream: " + name + " must be a contiguous float32 array.");
    Tensor tensor{array.data(), {}};
    for (size_t i = 0; i < array.ndim(); i++) tensor.shape.push_back(int64_t(array.shape(i)));
    tensors[name] = tensor;
  }
  return tensors;
}

Output logits(Session& session) {
  need_logits(session);
  return copy_of(session.logits(), VOCABULARY);
}

Output step(Session& session, int byte) {
  check_byte(byte);
  Busy busy(session);
  session.step(byte);
  return copy_of(session.logits(), VOCABULARY);
}

Output feed(Session& session, nb::bytes bytes) {
  const uint8_t* data = data_of(bytes);
  run(session, bytes.size(), [&](size_t i) { session.step(data[i]); });
  return logits(session);
}

nb::list state(Session& session) {
  const Weights& m = session.model().weights;
  Busy busy(session);
  nb::list layers;
  for (int l = 0; l < m.layers; l++) {
    auto [tail, tail_array] = new_array<float>(1, m.k - 1, m.e);
    auto [h, h_array] = new_array<float>(1, m.e, m.n);
    for (int j = 0; j < m.k - 1; j++) std::copy_n(session.tail(l, j), m.e, tail + size_t(j) * m.e);
    for (int i = 0; i < m.e; i++)
      for (int j = 0; j < m.n; j++) h[size_t(i) * m.n + j] = session.h(l, i, j);
    layers.append(nb::make_tuple(tail_array, h_array));
  }
  return layers;
}

Input state_part(nb::handle part, const std::string& name, std::initializer_list<int64_t> shape) {
  Input array;
  std::string expected, got;
  bool same = nb::try_cast<Input>(part, array) && array.ndim() == shape.size();
  size_t axis = 0;
  for (int64_t size : shape) {
    expected += (axis ? ", " : "") + std::to_string(size);
    same = same && int64_t(array.shape(axis)) == size;
    axis++;
  }
  if (array.is_valid())
    for (size_t i = 0; i < array.ndim(); i++) got += (i ? ", " : "") + std::to_string(array.shape(i));
  if (!same)
    throw std::invalid_argument("state: " + name +
                                (array.is_valid() ? " has shape (" + got + ")" : " is no float32 array") +
                                ", expected float32 of shape (" + expected + ").");
  return array;
}

void set_state(Session& session, nb::sequence layers) {
  const Weights& m = session.model().weights;
  Busy busy(session);
  if (nb::len(layers) != size_t(m.layers))
    throw std::invalid_argument("state: got " + std::to_string(nb::len(layers)) + " layers, expected " +
                                std::to_string(m.layers) + ".");
  std::vector<std::pair<Input, Input>> parts;
  for (int l = 0; l < m.layers; l++) {
    nb::object pair = layers[l];
    const std::string where = "layer " + std::to_string(l) + "'s ";
    if (!nb::isinstance<nb::sequence>(pair) || nb::len(pair) != 2)
      throw std::invalid_argument("state: " + where + "entry must be a pair (tail, h).");
    parts.emplace_back(state_part(pair[0], where + "tail", {1, m.k - 1, m.e}),
                       state_part(pair[1], where + "h", {1, m.e, m.n}));
  }
  for (int l = 0; l < m.layers; l++) {
    const auto& [tail, h] = parts[l];
    for (int j = 0; j < m.k - 1; j++) std::copy_n(tail.data() + size_t(j) * m.e, m.e, session.tail(l, j));
    for (int i = 0; i < m.e; i++)
      for (int j = 0; j < m.n; j++) session.h(l, i, j) = h.data()[size_t(i) * m.n + j];
  }
  session.forget_logits();
}

Output dt(Session& session) {
  const Weights& m = session.model().weights;
  auto [data, array] = new_array<float>(m.layers, m.e);
  for (int l = 0; l < m.layers; l++) std::copy_n(session.dt(l), m.e, data + size_t(l) * m.e);
  return array;
}

}  // namespace

NB_MODULE(_stream, module) {
  module.doc() = "One byte at a time through a whole model: packed weights, sessions, sampling.";
  module.def("supported_isas", [] {
    nb::list names;
    for (las::Isa isa : las::supported_isas()) names.append(las::isa_name(isa));
    return names;
  });

  nb::class_<Model>(module, "Model")
      .def("__init__",
           [](Model* self, nb::dict arrays, bool int8, bool bounded, double dt_min, double dt_max, double substeps,
              std::string isa) {
             new (self) Model(tensors_of(arrays), Options{int8, bounded, dt_min, dt_max, substeps, isa});
           },
           "arrays"_a, nb::kw_only(), "int8"_a, "bounded"_a, "dt_min"_a, "dt_max"_a, "substeps"_a, "isa"_a = "")
      .def_prop_ro("layers", [](const Model& m) { return m.weights.layers; })
      .def_prop_ro("d", [](const Model& m) { return m.weights.d; })
      .def_prop_ro("e", [](const Model& m) { return m.weights.e; })
      .def_prop_ro("n", [](const Model& m) { return m.weights.n; })
      .def_prop_ro("k", [](const Model& m) { return m.weights.k; })
      .def_prop_ro("isa", [](const Model& m) { return las::isa_name(m.isa); })
      .def_prop_ro("nbytes", &Model::bytes);

  nb::class_<Session>(module, "Session")
      .def(nb::init<const Model&, uint64_t>(), "model"_a, "seed"_a = 0, nb::keep_alive<1, 2>())
      .def("step", &step, "byte"_a)
      .def("feed", &feed, "data"_a)
      .def("log_loss", &log_loss<Session>, "data"_a)
      .def("generate", &generate<Session>, "count"_a, "temperature"_a = 0.8, "top_k"_a = 0)
      .def("reset", [](Session& s) { Busy busy(s); s.reset(); })
      .def("seed", [](Session& s, uint64_t seed) { Busy busy(s); s.seed(seed); }, "seed"_a)
      .def_prop_ro("logits", &logits, nb::rv_policy::move)
      .def_prop_ro("dt", &dt, nb::rv_policy::move)
      .def_prop_rw("state", &state, &set_state);
}
