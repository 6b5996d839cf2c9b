// A model's weights, packed once for one instruction set and never changed; sessions share it.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "simd/arena.h"
#include "simd/isa.h"
#include "stream/weights.h"

namespace las::stream {

struct Tensor {  // a caller's row-major float32 array
  const float* data;
  std::vector<int64_t> shape;
};

using Tensors = std::map<std::string, Tensor>;

struct Options {
  bool int8 = false, bounded = true;
  double dt_min = 0, dt_max = 0;
  double substeps = 1;  // infinity is exact zero-order hold
  std::string isa;      // empty: the best this processor runs
};

class Model {
 public:
  // Tensors carry the names of the model's parameters. Throws std::invalid_argument on a shape or value it cannot use.
  Model(const Tensors& tensors, const Options& options);

  Weights weights;
  bool int8;
  Isa isa;
  Step step;
  int lanes;

  size_t bytes() const { return arena_.used(); }

 private:
  Arena arena_;
};

}  // namespace las::stream
