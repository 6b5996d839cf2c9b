#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "chip/session.h"
#include "simd/pool.h"
#include "stream/python.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace las::chip;
using las::stream::Busy, las::stream::check_byte, las::stream::copy_of, las::stream::data_of, las::stream::need_logits,
    las::stream::new_array, las::stream::run;

namespace {

using Input = nb::ndarray<const int64_t, nb::c_contig, nb::device::cpu>;

Input array_of(nb::handle value, const std::string& name) {
  Input array;
  if (!nb::try_cast<Input>(value, array, false))
    throw std::invalid_argument("chip: " + name + " must be a contiguous int64 array.");
  return array;
}

Tensors tensors_of(nb::dict arrays) {
  Tensors tensors;
  for (auto [key, value] : arrays) {
    const std::string name = nb::cast<std::string>(key);
    const Input array = array_of(value, name);
    Tensor tensor{array.data(), {}};
    for (size_t i = 0; i < array.ndim(); i++) tensor.shape.push_back(int64_t(array.shape(i)));
    tensors[name] = tensor;
  }
  return tensors;
}

Config config_of(nb::dict d) {
  Config c;
  const auto get = [&](const char* name, auto& field) { field = nb::cast<std::decay_t<decltype(field)>>(d[name]); };
  get("wide", c.wide), get("euler", c.euler), get("stochastic", c.stochastic);
  get("d", c.d), get("layers", c.layers), get("e", c.e), get("n", c.n), get("k", c.k), get("rank", c.rank);
  get("substeps", c.substeps), get("state_bits", c.state_bits), get("dt_min", c.dt_min), get("dt_range", c.dt_range);
  get("decay_shift", c.decay_shift), get("embedding_shift", c.embedding_shift), get("eps", c.eps), get("seed", c.seed);
  get("activation", c.activation), get("lane", c.lane), get("fraction", c.fraction), get("mix", c.mix);
  get("drive", c.drive), get("state", c.state), get("drive_left", c.drive_left), get("drive_right", c.drive_right);
  get("read_right", c.read_right), get("norm_right", c.norm_right), get("norm_fraction", c.norm_fraction);
  return c;
}

void add_crossbar(Model& model, const std::string& matrix, nb::object cell, int dac_drop, int adc_bits, nb::object adc_step,
                  int64_t read_noise) {
  const Input cells = array_of(cell, matrix), steps = array_of(adc_step, matrix);
  const Linear* m = matrix == "head" ? &model.chip.head : nullptr;
  for (size_t l = 0; l < model.chip.layers.size(); l++) {
    const std::string at = "layers." + std::to_string(l) + ".";
    const Layer& layer = model.chip.layers[l];
    if (matrix == at + "in_proj") m = &layer.in_proj;
    if (matrix == at + "x_proj") m = &layer.x_proj;
    if (matrix == at + "dt_proj") m = &layer.dt_proj;
    if (matrix == at + "out_proj") m = &layer.out_proj;
  }
  if (!m) throw std::invalid_argument("crossbar: the chip has no matrix '" + matrix + "'.");
  if (cells.size() != m->weight.size() || steps.size() != size_t(m->out))
    throw std::invalid_argument("crossbar: " + matrix + " has cells or ADC steps of another shape than its weights.");
  if (dac_drop < 0 || dac_drop > 7 || adc_bits < 1 || adc_bits > 40 || read_noise < 0 || read_noise > 1 << 30)
    throw std::invalid_argument("crossbar: " + matrix + " has converters or noise out of range.");
  Crossbar bar{{cells.data(), cells.data() + cells.size()}, dac_drop, adc_bits, {steps.data(), steps.data() + steps.size()},
               read_noise};
  for (size_t i = 0; i < cells.size(); i++)
    if (std::abs(cells.data()[i]) > int64_t(1) << 30) throw std::invalid_argument("crossbar: a cell is out of range.");
  for (int64_t step : bar.adc_step)
    if (step < 1 || step > int64_t(1) << 40) throw std::invalid_argument("crossbar: an ADC step is out of range.");
  model.add_crossbar(matrix, std::move(bar));
}

nb::ndarray<nb::numpy, int32_t> logits(Session& session) {
  need_logits(session);
  return copy_of(session.logits(), VOCABULARY);
}

nb::ndarray<nb::numpy, int32_t> step(Session& session, int byte) {
  check_byte(byte);
  Busy busy(session);
  session.step(byte);
  return logits(session);
}

void feed(Session& session, nb::bytes bytes) {
  const uint8_t* data = data_of(bytes);
  run(session, bytes.size(), [&](size_t i) { session.step(data[i]); });
}

nb::ndarray<nb::numpy, int32_t> trace(Session& session, nb::bytes bytes) {
  const uint8_t* data = data_of(bytes);
  auto [out, array] = new_array<int32_t>(bytes.size(), VOCABULARY);
  run(session, bytes.size(), [&, out = out](size_t i) {
    session.step(data[i]);
    std::copy_n(session.logits(), VOCABULARY, out + i * VOCABULARY);
  });
  return array;
}

// Each session through its own bytes, the sessions spread over the cores.
void feed_many(std::vector<Session*> sessions, std::vector<nb::bytes> data) {
  if (sessions.size() != data.size())
    throw std::invalid_argument("feed_many: got " + std::to_string(sessions.size()) + " sessions and " +
                                std::to_string(data.size()) + " byte strings, expected one each.");
  std::vector<std::unique_ptr<Busy>> busy;
  for (Session* session : sessions) busy.push_back(std::make_unique<Busy>(*session));
  nb::gil_scoped_release unlocked;
  las::Pool::get().parallel_for(int(sessions.size()), [&](int i) {
    const uint8_t* bytes = data_of(data[i]);
    for (size_t j = 0; j < data[i].size(); j++) sessions[i]->step(bytes[j]);
  });
}

nb::tuple state(Session& session) {
  const Config& c = session.model().chip.config;
  Busy busy(session);
  const State s = session.state();
  auto [tail, tail_array] = new_array<int64_t>(c.layers, c.k - 1, c.e);
  auto [h, h_array] = new_array<int64_t>(c.layers, c.e, c.n);
  auto [random, random_array] = new_array<uint32_t>(c.layers, c.e);
  std::copy(s.tail.begin(), s.tail.end(), tail);
  std::copy(s.h.begin(), s.h.end(), h);
  std::copy(s.random.begin(), s.random.end(), random);
  return nb::make_tuple(tail_array, h_array, random_array);
}

void set_state(Session& session, nb::tuple parts) {  // lasmlx/chip/emulator.py has checked shapes and values
  const Config& c = session.model().chip.config;
  Busy busy(session);
  State s(c);
  const Input tail = array_of(parts[0], "tail"), h = array_of(parts[1], "h"), random = array_of(parts[2], "random");
  if (tail.size() != s.tail.size() || h.size() != s.h.size() || random.size() != s.random.size())
    throw std::invalid_argument("state: its arrays have other sizes than the chip.");
  std::copy_n(tail.data(), s.tail.size(), s.tail.begin());
  std::copy_n(h.data(), s.h.size(), s.h.begin());
  std::copy_n(random.data(), s.random.size(), s.random.begin());
  session.set_state(s);
}

double scan_seconds(Session& session, int count) {
  if (!session.fast()) throw std::invalid_argument("scan_seconds: the session does not take the fast step.");
  need_logits(session);
  const auto start = std::chrono::steady_clock::now();
  run(session, size_t(count), [&](size_t) { session.scan(0); });
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / std::max(1, count);
}

nb::dict ranges(Session& session) {
  if (!session.ranges()) throw std::invalid_argument("Session: it does not count; make it with counting=True.");
  nb::dict out;
  const auto put = [&](const std::string& name, const Range& r) {
    out[name.c_str()] = nb::make_tuple(r.count, r.saturated, r.low, r.high);
  };
  const Ranges& all = *session.ranges();
  for (size_t l = 0; l < all.layers.size(); l++)
    for (int t = 0; t < STAGES; t++) put("layers." + std::to_string(l) + "." + STAGE_NAMES[t], all.layers[l][t]);
  put("norm", all.norm);
  put("logits", all.logits);
  return out;
}

}  // namespace

NB_MODULE(_chip, module) {
  module.doc() = "The chip's arithmetic, one byte at a time: the fast step, the plain one that counts, the analog part.";
  module.def("supported_isas", [] {
    nb::list names;
    for (las::Isa isa : las::supported_isas()) names.append(las::isa_name(isa));
    return names;
  });

  nb::class_<Model>(module, "Model")
      .def("__init__",
           [](Model* self, nb::dict config, nb::dict arrays, std::string isa) {
             new (self) Model(config_of(config), tensors_of(arrays), isa);
           },
           "config"_a, "arrays"_a, "isa"_a = "")
      .def("add_crossbar", &add_crossbar, "matrix"_a, "cell"_a, "dac_drop"_a, "adc_bits"_a, "adc_step"_a, "read_noise"_a)
      .def_prop_ro("isa", [](const Model& m) { return las::isa_name(m.isa); });

  nb::class_<Session>(module, "Session")
      .def("__init__",
           [](Session* self, const Model& model, uint64_t seed, double unit, bool counting, bool scalar) {
             (new (self) Session(model, seed, counting, scalar))->unit = unit;
           },
           "model"_a, "seed"_a, "unit"_a, "counting"_a, "scalar"_a, nb::keep_alive<1, 2>())
      .def("step", &step, "byte"_a)
      .def("feed", &feed, "data"_a)
      .def("trace", &trace, "data"_a)
      .def("log_loss", &las::stream::log_loss<Session>, "data"_a)
      .def("generate", &las::stream::generate<Session>, "count"_a, "temperature"_a = 0.8, "top_k"_a = 0)
      .def("reset", [](Session& s) { Busy busy(s); s.reset(); })
      .def("seed", [](Session& s, uint64_t seed) { Busy busy(s); s.seed(seed); }, "seed"_a)
      .def("state", &state)
      .def("set_state", &set_state, "parts"_a)
      .def("ranges", &ranges)
      .def("scan_seconds", &scan_seconds, "count"_a)
      .def_prop_ro("fast", &Session::fast)
      .def_prop_ro("logits", &logits, nb::rv_policy::move);
  module.def("feed_many", &feed_many, "sessions"_a, "data"_a);
}
