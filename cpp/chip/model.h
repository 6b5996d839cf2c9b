// A chip, and its int8 form for this processor; sessions share both.
#pragma once
#include <functional>
#include <memory>

#include "chip/packed.h"
#include "simd/isa.h"

namespace las::chip {

struct Tensor {  // a caller's row-major int64 array
  const int64_t* data;
  std::vector<int64_t> shape;
};

using Tensors = std::map<std::string, Tensor>;

class Model {
 public:
  // Tensors carry the names of lasmlx/chip/chip_model.py, which has checked their values. Throws std::invalid_argument on a
  // missing one, a wrong shape or a shift out of range.
  Model(const Config& config, const Tensors& tensors, const std::string& isa);
  void add_crossbar(const std::string& matrix, Crossbar crossbar);

  Chip chip;
  Isa isa;
  int lanes;
  Packed packed{};
  Step step = nullptr, scan = nullptr;

  bool fast() const { return step && chip.crossbars.empty(); }

 private:
  void pack();
  std::unique_ptr<Arena> arena_;
};

}  // namespace las::chip
