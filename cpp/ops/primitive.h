// The base of every CPU primitive here: it allocates, registers with MLX's command encoder, runs the job on the stream's
// thread, and maps over a vmapped axis. A primitive says its output shapes and types, its job and, if it has one, its vjp.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "mlx/mlx.h"
#include "mlx/primitives.h"
#include "ops/kernels.h"
#include "simd/isa.h"
#include "simd/pool.h"

namespace mx = mlx::core;

namespace las {

using Arrays = std::vector<mx::array>;
using Job = std::function<void()>;

class CpuPrimitive : public mx::Primitive {
 public:
  using mx::Primitive::Primitive;

  virtual std::vector<mx::Dtype> output_types(const Arrays& in) const = 0;
  virtual Job job(const Arrays& in, const Arrays& out) const = 0;  // takes pointers now, works later
  virtual std::shared_ptr<CpuPrimitive> clone() = 0;

  void eval_cpu(const Arrays& in, Arrays& out) override;
  void eval_gpu(const Arrays& in, Arrays& out) final;
  std::pair<Arrays, std::vector<int>> vmap(const Arrays& in, const std::vector<int>& axes) final;
};

// Adds the parts every primitive writes alike: Self is the class, Spec its parameters.
template <class Self, class Spec>
class Op : public CpuPrimitive {
 public:
  Op(mx::Stream s, Spec spec) : CpuPrimitive(s), spec(spec) {}
  std::shared_ptr<CpuPrimitive> clone() override { return std::make_shared<Self>(stream(), spec); }

  static Arrays apply(mx::Stream s, Spec spec, Arrays in) {
    auto op = std::make_shared<Self>(s, spec);
    return mx::array::make_arrays(op->output_shapes(in), op->output_types(in), op, in);
  }

 protected:
  Spec spec;
};

struct None {};

mx::Stream cpu_stream(const std::optional<mx::Stream>& stream);
mx::array dense(const mx::array& a, mx::Stream s);                  // row-contiguous float32
mx::array dense(const mx::array& a, mx::Dtype type, mx::Stream s);  // row-contiguous
View view(const mx::array& a);                                      // of up to three axes, right-aligned

mx::array sum_first(const mx::array& partial, mx::Stream s);         // float32, over the first axis
Arrays pick(const Arrays& all, const std::vector<int>& argnums);
int parts_of_rows(int64_t rows);                                    // how many pieces row-wise work is cut into
void over_rows(int64_t rows, int parts, const std::function<void(int part, int64_t r0, int64_t r1)>& f);

template <class F>
Job over_channels(int b, int d, F f) {  // f(row, d0, d1) over rows and strips of channels
  const int threads = Pool::get().size();
  const int parts = b % threads == 0 || b >= 4 * threads ? 1 : std::min(threads, (d + 63) / 64);
  return [=] {
    Pool::get().parallel_for(b * parts, [&](int i) {
      const int strips = (d + 63) / 64, part = i % parts;
      f(i / parts, strips * part / parts * 64, std::min(d, strips * (part + 1) / parts * 64));
    });
  };
}

double exponentials_per_second();  // of all threads together: what bounds the scan

Isa isa();
void set_isa(Isa isa);

}  // namespace las
