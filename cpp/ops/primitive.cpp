#include "ops/primitive.h"

#include <chrono>

#include "mlx/backend/cpu/encoder.h"

namespace las {

void CpuPrimitive::eval_cpu(const Arrays& in, Arrays& out) {
  for (auto& o : out) o.set_data(mx::allocator::malloc(o.nbytes()));
  auto& encoder = mx::cpu::get_command_encoder(stream());
  for (auto& i : in) encoder.set_input_array(i);
  for (auto& o : out) encoder.set_output_array(o);
  encoder.dispatch(job(in, out));
}

void CpuPrimitive::eval_gpu(const Arrays&, Arrays&) {
  throw std::runtime_error(std::string(name()) + " runs on the CPU only; on a GPU use impl=\"auto\".");
}

namespace {

mx::array along(const mx::array& a, int v, int axis, mx::Stream s) {  // mx::take refuses an empty array
  if (a.size()) return mx::contiguous(mx::take(a, v, axis, s), false, s);
  mx::Shape shape = a.shape();
  shape.erase(shape.begin() + axis);
  return mx::zeros(shape, a.dtype(), s);
}

}  // namespace

std::pair<Arrays, std::vector<int>> CpuPrimitive::vmap(const Arrays& in, const std::vector<int>& axes) {
  const auto s = stream();
  int size = 0;
  for (size_t i = 0; i < in.size(); i++)
    if (axes[i] >= 0) size = in[i].shape(axes[i]);
  std::vector<Arrays> columns;
  for (int v = 0; v < size; v++) {
    Arrays slice;
    for (size_t i = 0; i < in.size(); i++) {
      const bool mapped = axes[i] >= 0;
      slice.push_back(mapped ? along(in[i], v, axes[i], s) : in[i]);
    }
    auto op = clone();
    auto out = mx::array::make_arrays(op->output_shapes(slice), op->output_types(slice), op, slice);
    columns.resize(out.size());
    for (size_t j = 0; j < out.size(); j++) columns[j].push_back(out[j]);
  }
  Arrays stacked;
  for (auto& column : columns) stacked.push_back(mx::stack(column, 0, s));
  return {stacked, std::vector<int>(stacked.size(), 0)};
}

mx::Stream cpu_stream(const std::optional<mx::Stream>& stream) {
  if (!stream) return mx::default_stream(mx::Device::cpu);
  if (stream->device != mx::Device::cpu) throw std::invalid_argument("stream: got a GPU stream, expected a CPU one.");
  return *stream;
}

mx::array dense(const mx::array& a, mx::Dtype type, mx::Stream s) {
  return mx::contiguous(mx::astype(a, type, s), false, s);
}
mx::array dense(const mx::array& a, mx::Stream s) { return dense(a, mx::float32, s); }

View view(const mx::array& a) {
  View v;
  v.data = const_cast<char*>(a.data<char>());
  v.type = a.dtype() == mx::float16 ? Scalar::f16 : a.dtype() == mx::bfloat16 ? Scalar::bf16 : Scalar::f32;
  const int missing = 3 - static_cast<int>(a.ndim());
  for (int i = 0; i < static_cast<int>(a.ndim()); i++) v.stride[missing + i] = a.strides()[i];
  return v;
}

namespace {

// mx::sum over an axis of size 1 crashes in a shapeless mx.compile, and how many partial sums there are may change there.
class SumFirst : public Op<SumFirst, None> {
 public:
  using Op::Op;
  const char* name() const override { return "lasmlx::SumFirst"; }

  std::vector<mx::Shape> output_shapes(const Arrays& in) override {
    return {mx::Shape(in[0].shape().begin() + 1, in[0].shape().end())};
  }
  std::vector<mx::Dtype> output_types(const Arrays&) const override { return {mx::float32}; }
  void eval_cpu(const Arrays& in, Arrays& out) override {
    if (in[0].shape(0) == 1)
      out[0].copy_shared_buffer(in[0], out[0].strides(), in[0].flags(), in[0].data_size());
    else
      Op::eval_cpu(in, out);
  }
  Job job(const Arrays& in, const Arrays& out) const override {
    return [from = in[0].data<float>(), to = const_cast<float*>(out[0].data<float>()), parts = in[0].shape(0),
            size = out[0].size()] {
      std::copy_n(from, size, to);
      for (int p = 1; p < parts; p++)
        for (size_t i = 0; i < size; i++) to[i] += from[p * size + i];
    };
  }
};

}  // namespace

mx::array sum_first(const mx::array& partial, mx::Stream s) { return SumFirst::apply(s, {}, {partial})[0]; }

Arrays pick(const Arrays& all, const std::vector<int>& argnums) {
  Arrays picked;
  for (int i : argnums) picked.push_back(all[i]);
  return picked;
}

int parts_of_rows(int64_t rows) { return static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(rows / 16, 8))); }

void over_rows(int64_t rows, int parts, const std::function<void(int, int64_t, int64_t)>& f) {
  Pool::get().parallel_for(parts, [&](int i) { f(i, rows * i / parts, rows * (i + 1) / parts); });
}

namespace {

#define LAS_KERNELS(isa, lanes)                                                                                  \
  Kernels {                                                                                                      \
    lanes, isa::scan_forward, isa::scan_backward, isa::conv_forward, isa::conv_backward, isa::cfc_forward,       \
        isa::cfc_backward, isa::rms_norm,                                                                        \
        isa::rms_norm_grad, isa::bounded, isa::bounded_grad, isa::softplus, isa::softplus_grad,                  \
        isa::cross_entropy, isa::cross_entropy_grad, isa::adamw, isa::lif_forward, isa::lif_backward,             \
        isa::lif_recurrent_forward, isa::lif_recurrent_backward, isa::liquid_forward,                            \
        isa::liquid_backward, isa::ltc_forward, isa::ltc_backward, isa::plastic_forward, isa::plastic_backward,   \
        isa::plastic_liquid_forward, isa::plastic_liquid_backward, isa::bspline_forward, isa::bspline_backward,   \
        isa::exponentials                                                                                        \
  }

Kernels table(Isa isa) {
#if defined(__x86_64__) && !defined(LAS_BASELINE_ONLY)
  if (isa == Isa::avx512) return LAS_KERNELS(avx512, 16);
  if (isa == Isa::avx2) return LAS_KERNELS(avx2, 8);
#endif
  return LAS_KERNELS(baseline, 4);
}

struct Chosen {
  Isa isa = default_isa();
  Kernels kernels = table(isa);
};
Chosen& chosen() {
  static Chosen c;
  return c;
}

}  // namespace

double exponentials_per_second() {
  constexpr int64_t vectors = 1 << 20;
  const int threads = Pool::get().size();
  double best = 1e30;
  for (int round = 0; round < 5; round++) {
    volatile float sink = 0;
    const auto start = std::chrono::steady_clock::now();
    Pool::get().parallel_for(threads, [&](int) { sink = kernels().exponentials(vectors); });
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return static_cast<double>(vectors) * threads * kernels().lanes / best;
}

const Kernels& kernels() { return chosen().kernels; }
Isa isa() { return chosen().isa; }
void set_isa(Isa isa) {
  chosen().isa = isa;
  chosen().kernels = table(isa);
}

}  // namespace las
