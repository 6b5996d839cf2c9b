// What the primitives with plastic synapses share.
#pragma once
#include "ops/liquid.h"

namespace las {

inline Rule find_rule(const std::string& name) {
  if (name == "hebb") return Rule::hebb;
  if (name == "oja") return Rule::oja;
  if (name == "delta") return Rule::delta;
  throw std::invalid_argument("rule: got '" + name + "', expected hebb, oja or delta.");
}

// Traces (b, g, m, n) before every segment but the first, whose trace is an input.
inline mx::Shape checkpoints_shape(const mx::array& trace, int t, int segment) {
  return {trace.shape(0), (t - 1) / segment, trace.shape(1), trace.shape(2), trace.shape(3)};
}

}  // namespace las
