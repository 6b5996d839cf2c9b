// What both modules of sessions need of Python: arrays, bytes, long loops without its lock, generation.
#pragma once
#include <Python.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <string>
#include <utility>

#include "stream/busy.h"
#include "stream/sampler.h"

namespace las::stream {

namespace nb = nanobind;

template <class T, class... Sizes>
std::pair<T*, nb::ndarray<nb::numpy, T>> new_array(Sizes... sizes) {
  T* data = new T[std::max<size_t>(1, (size_t(1) * ... * size_t(sizes)))]{};
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return {data, nb::ndarray<nb::numpy, T>(data, {size_t(sizes)...}, owner)};
}

template <class T>
nb::ndarray<nb::numpy, T> copy_of(const T* source, size_t count) {
  auto [data, array] = new_array<T>(count);
  std::copy_n(source, count, data);
  return array;
}

inline const uint8_t* data_of(const nb::bytes& bytes) { return reinterpret_cast<const uint8_t*>(bytes.c_str()); }

// Runs body(i) for i < count without Python's lock, which it takes now and then to see whether Ctrl-C was pressed.
template <class Session, class Body>
void run(Session& session, size_t count, Body body) {
  constexpr size_t LOOK_UP = 1024;
  Busy busy(session);
  for (size_t first = 0; first < count; first += LOOK_UP) {
    {
      nb::gil_scoped_release unlocked;
      for (size_t i = first; i < std::min(count, first + LOOK_UP); i++) body(i);
    }
    if (count > LOOK_UP && PyErr_CheckSignals()) throw nb::python_error();
  }
}

template <class Session>
void need_logits(const Session& session) {
  if (!session.started())
    throw std::invalid_argument("Session: there is no prediction to continue from; feed at least one byte first.");
}

inline void check_byte(int byte) {
  if (byte < 0 || byte >= VOCABULARY)
    throw std::invalid_argument("step: byte is " + std::to_string(byte) + ", expected 0 to 255.");
}

template <class Session>
double log_loss(Session& session, nb::bytes bytes) {
  const uint8_t* data = data_of(bytes);
  double nats = 0;
  run(session, bytes.size(), [&](size_t i) {
    if (session.started()) nats += session.loss(data[i]);
    session.step(data[i]);
  });
  return nats;
}

template <class Session>
nb::tuple generate(Session& session, int64_t count, double temperature, int top_k) {
  if (count < 0) throw std::invalid_argument("generate: count is " + std::to_string(count) + ", expected 0 or more.");
  if (!(temperature >= 0 && temperature <= 100))
    throw std::invalid_argument("generate: temperature is " + std::to_string(temperature) + ", expected 0 to 100.");
  if (top_k < 0 || top_k > VOCABULARY)
    throw std::invalid_argument("generate: top_k is " + std::to_string(top_k) + ", expected 0 (all) to 256.");
  need_logits(session);
  Sampler sampler;
  sampler.temperature = temperature;
  sampler.top_k = top_k;
  nb::object out = nb::steal(PyBytes_FromStringAndSize(nullptr, count));
  if (!out.is_valid()) throw nb::python_error();
  char* bytes = PyBytes_AS_STRING(out.ptr());
  auto [nanoseconds, times] = new_array<uint32_t>(count);
  run(session, size_t(count), [&, nanoseconds = nanoseconds](size_t i) {
    bytes[i] = char(session.next(sampler, nanoseconds[i]));
  });
  return nb::make_tuple(out, times);
}

}  // namespace las::stream
