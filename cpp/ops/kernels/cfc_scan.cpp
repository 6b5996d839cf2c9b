// z = 1.7159 tanh(0.666 (u_i + V h)), (f, g, a, c) = W z + b, s = sigmoid(a dt_i + c) at each element i, then
// h' = (1 - s) tanh(f) + s tanh(g). Without W (f, g, a, c) = u_i + V h; without the gate h' = tanh(f) + s tanh(g).
//
// Up to four batch rows walk through time together. Of the forward pass h after each element is kept. All of a segment
// of elements is computed again from it at once, so only the way back through h goes step by step; the gradients of the
// weights are one product a segment.
#include "ops/kernels/liquid.h"

namespace LAS_ISA {

using las::CfcScan;
using las::CfcScanGrad;

constexpr int SEGMENT_ROWS = 64;  // elements of a segment times batch rows
constexpr float HEIGHT = 1.7159f, SLOPE = 0.666f;

inline int padded(int n) { return (n + W - 1) / W * W; }

class Parts : public Block {  // a matrix of so many parts of rows, each padded with rows of zeros to whole vectors
 public:
  Parts(int parts, int size, int columns) : Block(parts * padded(size), columns), parts_(parts), size_(size) {}
  Parts(const float* from, int parts, int size, int columns) : Parts(parts, size, columns) {
    for (int i = 0; i < parts * size; i++)
      std::copy_n(from + static_cast<size_t>(i) * columns, columns, row(at_row(i)));
  }
  void write(float* to) const {
    for (int i = 0; i < parts_ * size_; i++)
      std::copy_n(row(at_row(i)), columns, to + static_cast<size_t>(i) * columns);
  }

 private:
  int at_row(int i) const { return i / size_ * padded(size_) + i % size_; }
  int parts_, size_;
};

template <int R, int P>  // in: element (r, j) at r * row_step + j * step
void multiply_tile(const float* in, int row_step, int step, int count, const float* with, int pitch, float* out,
                   int out_pitch) {
  vf sums[R][P];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) sums[r][p] = load(out + r * out_pitch + p * W);
  for (int j = 0; j < count; j++) {
    const float* w = with + static_cast<size_t>(j) * pitch;
#pragma GCC unroll 8
    for (int r = 0; r < R; r++)
#pragma GCC unroll 8
      for (int p = 0; p < P; p++) sums[r][p] += in[r * row_step + j * step] * load(w + p * W);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) store(out + r * out_pitch + p * W, sums[r][p]);
}

// out (R, pitch) += in (R, count) with (count, pitch)
template <int R>
void multiply_rows(const float* in, int row_step, int step, int count, const float* with, int pitch, float* out,
                   int out_pitch) {
  constexpr int P = std::min(8, (W == 16 ? 16 : 8) / R);
  int c = 0;
  for (; c + P * W <= pitch; c += P * W)
    multiply_tile<R, P>(in, row_step, step, count, with + c, pitch, out + c, out_pitch);
  for (; c < pitch; c += W) multiply_tile<R, 1>(in, row_step, step, count, with + c, pitch, out + c, out_pitch);
}

// out (rows, pitch) += in (rows, count) with (count, pitch)
inline void multiply_all(int rows, const float* in, int row_step, int step, int count, const Block& with, float* out,
                         int out_pitch) {
  int r = 0;
  for (; r + 4 <= rows; r += 4)
    multiply_rows<4>(in + r * row_step, row_step, step, count, with.at, with.pitch, out + r * out_pitch, out_pitch);
  for (; r < rows; r++)
    multiply_rows<1>(in + r * row_step, row_step, step, count, with.at, with.pitch, out + r * out_pitch, out_pitch);
}

class Cfc {
 public:
  Cfc(const CfcScan& a, int rows)
      : a_(a), H_(padded(a.hidden)), V_(a.V, a.W ? 1 : 4, a.W ? a.inner : a.hidden, a.hidden),
        W_(a.W, a.W ? 4 : 0, a.hidden, a.inner), bias_(a.bias, a.W ? 4 : 0, a.hidden, 1), V_t_(V_, Transposed{}),
        W_t_(W_, Transposed{}), bias_t_(bias_, Transposed{}), h_(rows, a.hidden), z_(a.W ? rows : 0, a.inner),
        heads_(rows, 4 * H_), dt_(1, a.hidden) {}

  template <int R>
  void forward(int row) {
    for (int r = 0; r < R; r++) std::copy_n(before(row + r, 0), a_.hidden, h_.row(r));
    for (int i = 0; i < a_.t; i++) {
      for (int r = 0; r < R; r++) read(row + r, i, r);
      evaluate<R>(0);
      for (int r = 0; r < R; r++) {
        if (live(row + r, i)) mix(row + r, i, r);
        std::copy_n(h_.row(r), a_.hidden, a_.h + index(row + r, i) * a_.hidden);
      }
    }
  }

 protected:
  struct Mixed {
    vf f, g, s;
  };

  size_t index(int row, int i) const { return static_cast<size_t>(row) * a_.t + i; }
  bool live(int row, int i) const { return !a_.mask || a_.mask[index(row, i)]; }
  const float* before(int row, int i) const {  // the state before element i
    return i ? a_.h + index(row, i - 1) * a_.hidden : a_.h0 + static_cast<size_t>(row) * a_.hidden;
  }

  void read(int row, int i, int k) {  // what element i contributes, into the k-th row of the blocks
    if (a_.W) {
      std::copy_n(a_.u + index(row, i) * a_.inner, a_.inner, z_.row(k));
      std::copy_n(bias_t_.at, 4 * H_, heads_.row(k));
    } else {
      const float* from = a_.u + index(row, i) * 4 * a_.hidden;
      for (int p = 0; p < 4; p++) std::copy_n(from + p * a_.hidden, a_.hidden, heads_.row(k) + p * H_);
    }
  }

  template <int R>  // R rows from the k-th on: the heads of h_
  void evaluate(int k) {
    float* z = a_.W ? z_.row(k) : heads_.row(k);
    multiply_rows<R>(h_.row(k), h_.pitch, 1, a_.hidden, V_t_.at, V_t_.pitch, z, a_.W ? z_.pitch : heads_.pitch);
    if (!a_.W) return;
    for (int o = 0; o < R * z_.pitch; o += W) store(z + o, HEIGHT * tanh(SLOPE * load(z + o)));
    multiply_rows<R>(z, z_.pitch, 1, a_.inner, W_t_.at, W_t_.pitch, heads_.row(k), heads_.pitch);
  }

  const float* durations(int row, int i) {  // of every unit
    if (a_.per_unit)
      std::copy_n(a_.dt + index(row, i) * a_.hidden, a_.hidden, dt_.at);
    else
      std::fill_n(dt_.at, a_.hidden, a_.dt[index(row, i)]);
    return dt_.at;
  }

  Mixed mixed(const float* heads, int o, vf dt) const {
    const vf a = load(heads + 2 * H_ + o), c = load(heads + 3 * H_ + o);
    return {tanh(load(heads + o)), tanh(load(heads + H_ + o)), sigmoid(a * dt + c)};
  }

  void mix(int row, int i, int k) {
    const float* heads = heads_.row(k);
    const float* dt = durations(row, i);
    for (int o = 0; o < H_; o += W) {
      const Mixed x = mixed(heads, o, load(dt + o));
      store(h_.row(k) + o, (a_.gate ? x.f * (1.f - x.s) : x.f) + x.s * x.g);
    }
  }

  const CfcScan& a_;
  const int H_;
  const Parts V_, W_, bias_;
  const Block V_t_, W_t_, bias_t_;
  Block h_, z_, heads_, dt_;
};

class CfcGrad : public Cfc {
 public:
  explicit CfcGrad(const CfcScanGrad& a)
      : Cfc(a.f, SEGMENT_ROWS), g_(a), gh_(TILE, a.f.hidden), past_(TILE, a.f.hidden),
        gz_(a.f.W ? SEGMENT_ROWS : 0, a.f.inner), gV_(a.f.W ? 1 : 4, a.f.W ? a.f.inner : a.f.hidden, a.f.hidden),
        gW_(a.f.W ? 4 : 0, a.f.hidden, a.f.inner), gbias_(a.f.W ? 1 : 0, 4 * H_) {}

  template <int R>
  void backward(int row) {
    gh_.clear();
    const int length = SEGMENT_ROWS / R;
    for (int end = a_.t; end > 0; end -= length) {
      const int start = std::max(0, end - length);
      recompute<R>(row, start, end);
      for (int i = end - 1; i >= start; i--) back<R>(row, i, (i - start) * R);
      add_to_weights((end - start) * R);
    }
    for (int r = 0; r < R; r++)
      std::copy_n(gh_.row(r), a_.hidden, g_.gh0 + static_cast<size_t>(row + r) * a_.hidden);
  }

  void write(int part) const {
    gV_.write(g_.gV + static_cast<size_t>(part) * (a_.W ? a_.inner : 4 * a_.hidden) * a_.hidden);
    if (!a_.W) return;
    gW_.write(g_.gW + static_cast<size_t>(part) * 4 * a_.hidden * a_.inner);
    for (int p = 0; p < 4; p++)
      std::copy_n(gbias_.at + p * H_, a_.hidden, g_.gbias + (static_cast<size_t>(part) * 4 + p) * a_.hidden);
  }

 private:
  template <int R>
  void recompute(int row, int start, int end) {
    for (int i = start; i < end; i++)
      for (int r = 0; r < R; r++) {
        const int k = (i - start) * R + r;
        std::copy_n(before(row + r, i), a_.hidden, h_.row(k));
        read(row + r, i, k);
      }
    int k = 0;
    for (; k + 4 <= (end - start) * R; k += 4) evaluate<4>(k);
    for (; k < (end - start) * R; k++) evaluate<1>(k);
  }

  template <int R>  // element i, whose rows are the k-th and those after it
  void back(int row, int i, int k) {
    for (int r = 0; r < R; r++) {
      const float* g = g_.gh + (row + r) * g_.gh_stride[0] + i * g_.gh_stride[1];
      for (int j = 0; j < a_.hidden; j++) gh_.row(r)[j] += g[j * g_.gh_stride[2]];
      if (live(row + r, i)) {
        unmix(row + r, i, k + r, gh_.row(r));
        std::fill_n(past_.row(r), past_.pitch, 0.f);
      } else {
        std::fill_n(heads_.row(k + r), 4 * H_, 0.f);
        const int clocks = a_.per_unit ? a_.hidden : 1;
        std::fill_n(g_.gdt + index(row + r, i) * clocks, clocks, 0.f);
        std::copy_n(gh_.row(r), gh_.pitch, past_.row(r));
      }
    }
    if (a_.W) {
      float *gz = gz_.row(k), *z = z_.row(k);
      std::fill_n(gz, R * gz_.pitch, 0.f);
      multiply_rows<R>(heads_.row(k), heads_.pitch, 1, 4 * H_, W_.at, W_.pitch, gz, gz_.pitch);
      for (int o = 0; o < R * gz_.pitch; o += W) {
        const vf slope = SLOPE * (HEIGHT - load(z + o) * load(z + o) * (1.f / HEIGHT));
        store(gz + o, load(gz + o) * slope);
      }
      for (int r = 0; r < R; r++) std::copy_n(gz_.row(k + r), a_.inner, g_.gu + index(row + r, i) * a_.inner);
      multiply_rows<R>(gz, gz_.pitch, 1, a_.inner, V_.at, V_.pitch, past_.at, past_.pitch);
    } else {
      for (int r = 0; r < R; r++)
        for (int p = 0; p < 4; p++)
          std::copy_n(heads_.row(k + r) + p * H_, a_.hidden, g_.gu + (index(row + r, i) * 4 + p) * a_.hidden);
      multiply_rows<R>(heads_.row(k), heads_.pitch, 1, 4 * H_, V_.at, V_.pitch, past_.at, past_.pitch);
    }
    std::copy_n(past_.at, R * past_.pitch, gh_.at);
  }

  void unmix(int row, int i, int k, const float* gh) {  // the heads of the k-th row become their gradients
    float* heads = heads_.row(k);
    const float* dt = durations(row, i);
    vf total = splat(0.f);
    for (int o = 0; o < H_; o += W) {
      const vf d = load(dt + o), a = load(heads + 2 * H_ + o), g = load(gh + o);
      const Mixed x = mixed(heads, o, d);
      const vf to_s = g * (a_.gate ? x.g - x.f : x.g) * x.s * (1.f - x.s);
      store(heads + o, (a_.gate ? g * (1.f - x.s) : g) * (1.f - x.f * x.f));
      store(heads + H_ + o, g * x.s * (1.f - x.g * x.g));
      store(heads + 2 * H_ + o, to_s * d);
      store(heads + 3 * H_ + o, to_s);
      store(dt_.at + o, to_s * a);
      total += to_s * a;
    }
    if (a_.per_unit)
      std::copy_n(dt_.at, a_.hidden, g_.gdt + index(row, i) * a_.hidden);
    else
      g_.gdt[index(row, i)] = sum(total);
  }

  void add_to_weights(int count) {
    if (a_.W) {
      multiply_all(gW_.rows, heads_.at, 1, heads_.pitch, count, z_, gW_.at, gW_.pitch);
      multiply_all(gV_.rows, gz_.at, 1, gz_.pitch, count, h_, gV_.at, gV_.pitch);
      for (int k = 0; k < count; k++)
        for (int o = 0; o < 4 * H_; o += W) store(gbias_.at + o, load(gbias_.at + o) + load(heads_.row(k) + o));
    } else {
      multiply_all(gV_.rows, heads_.at, 1, heads_.pitch, count, h_, gV_.at, gV_.pitch);
    }
  }

  const CfcScanGrad& g_;
  Block gh_, past_, gz_;
  Parts gV_, gW_;
  Block gbias_;
};

// f(std::integral_constant<int, R>, row) for tiles of 4, 2 and 1 rows that cover [row0, row1)
template <class F>
void over_cfc_tiles(int row0, int row1, F f) {
  int row = row0;
  for (; row + 4 <= row1; row += 4) f(std::integral_constant<int, 4>{}, row);
  for (; row + 2 <= row1; row += 2) f(std::integral_constant<int, 2>{}, row);
  for (; row < row1; row++) f(std::integral_constant<int, 1>{}, row);
}

void cfc_forward(const CfcScan& a, int row0, int row1) {
  Cfc rows(a, TILE);
  over_cfc_tiles(row0, row1, [&]<int R>(std::integral_constant<int, R>, int row) { rows.forward<R>(row); });
}

void cfc_backward(const CfcScanGrad& a, int part, int row0, int row1) {
  CfcGrad rows(a);
  over_cfc_tiles(row0, row1, [&]<int R>(std::integral_constant<int, R>, int row) { rows.backward<R>(row); });
  rows.write(part);
}

}  // namespace LAS_ISA
