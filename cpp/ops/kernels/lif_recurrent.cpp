// Neurons that hear each other: whole rows of them go element by element. Few fire, so what they hear is a sum of few
// columns of U; on the way back every neuron has a gradient to send, a few rows at a time.
#include "ops/kernels/lif.h"
#include "ops/kernels/liquid.h"

namespace LAS_ISA {
namespace {

thread_local Scratch scratch;

// to += the columns of U, rows here, of the neurons that fired.
void hear(const float* s, const Block& columns, std::vector<int>& fired, float* to) {
  fired.clear();
  for (int c = 0; c < columns.pitch; c += W) {
    uint64_t words[W / 2], any = 0;
    std::memcpy(words, s + c, sizeof words);
    for (uint64_t word : words) any |= word;
    for (int j = c; any && j < c + W; j++)
      if (s[j] != 0.f) fired.push_back(j);
  }
  constexpr int Q = 4;
  int c = 0;
  for (; c + Q * W <= columns.pitch; c += Q * W) {
    vf sums[Q] = {};
    for (int j : fired)
      for (int q = 0; q < Q; q++) sums[q] += load(columns.row(j) + c + q * W);
    for (int q = 0; q < Q; q++) store(to + c + q * W, load(to + c + q * W) + sums[q]);
  }
  for (; c < columns.pitch; c += W) {
    vf sum = splat(0.f);
    for (int j : fired) sum += load(columns.row(j) + c);
    store(to + c, load(to + c) + sum);
  }
}

template <bool ADAPTS, bool RESTS>
void forward_row(const LifScan& a, const Block& columns, std::vector<int>& fired, int row) {
  const int pitch = columns.pitch;
  scratch.reserve(static_cast<size_t>(4 + STATE + 1) * pitch);
  float *cells = scratch.take(4 * pitch), *state = scratch.take(STATE * pitch), *current = scratch.take(pitch);
  load_cells(a, 0, a.d, pitch, cells);
  load_tile(a.state, row, 0, STATE, 0, a.d, pitch, state);
  for (int i = 0; i < a.t; i++) {
    if (i && i % SEGMENT == 0) keep(a, row, i, 0, a.d, pitch, state);
    load_tile(a.u, row, i, 1, 0, a.d, pitch, current);
    hear(state + S * pitch, columns, fired, current);
    for (int c = 0; c < pitch; c += W) {
      Now x = now_at(state, pitch, c);
      const vf open = awake<RESTS>(x), over = charge<ADAPTS, RESTS>(cell_at(a, cells, pitch, c), load(current + c), x);
      fire<RESTS>(over > 0.f ? open : splat(0.f), a.refractory, x);
      put(x, state, pitch, c);
    }
    store_tile(a.s, row, i, 1, 0, a.d, pitch, state + S * pitch);
    if (a.potential.data) store_tile(a.potential, row, i, 1, 0, a.d, pitch, state + V * pitch);
  }
  write_rows_of(state, a.d, pitch, STATE, a.d, a.after + static_cast<size_t>(row) * STATE * a.d);
}

template <bool ADAPTS, bool RESTS, int R>
void backward_rows(const LifScanGrad& a, const Block& U, const Block& columns, std::vector<int>& fired, int row) {
  const LifScan& f = a.f;
  const int pitch = U.pitch;
  scratch.reserve(R * Tape::floats(pitch) + static_cast<size_t>((R + 1) * (4 + STATE) + 1) * pitch);
  float *cells = scratch.take(4 * pitch), *gv = scratch.take(pitch), *gcells[R], *gstate[R];
  std::vector<Tape> tapes;
  Block g(R, f.d), gs(R, f.d);
  load_cells(f, 0, f.d, pitch, cells);
  std::fill_n(gv, pitch, 0.f);
  for (int r = 0; r < R; r++) {
    gcells[r] = scratch.take(4 * pitch), gstate[r] = scratch.take(STATE * pitch);
    tapes.emplace_back(scratch, pitch);
    std::fill_n(gcells[r], 4 * pitch, 0.f);
    load_tile(a.gafter, row + r, 0, STATE, 0, f.d, pitch, gstate[r]);
  }
  float* state = scratch.take(STATE * pitch);
  for (int t0 = (f.t - 1) / SEGMENT * SEGMENT; t0 >= 0; t0 -= SEGMENT) {
    const int n = std::min(SEGMENT, f.t - t0);
    for (int r = 0; r < R; r++) {
      Tape& tape = tapes[r];
      restore(f, row + r, t0, 0, f.d, pitch, state);
      tape.begin(state);
      load_tile(f.u, row + r, t0, n, 0, f.d, pitch, tape.v + pitch);
      load_tile(f.s, row + r, t0, n, 0, f.d, pitch, tape.s + pitch);
      for (int i = 0; i < n; i++) {
        float* current = tape.v + (i + 1) * pitch;  // where the potential will stand
        hear(tape.s + i * pitch, columns, fired, current);
        for (int c = 0; c < pitch; c += W) {
          Now x = now_at(state, pitch, c);
          tape.replay<ADAPTS, RESTS>(cell_at(f, cells, pitch, c), f.refractory, i, c, load(current + c), x);
          put(x, state, pitch, c);
        }
      }
      to_slopes(a.surrogate, a.slope, tape.slope, n * pitch);
    }
    for (int i = n - 1; i >= 0; i--) {
      for (int r = 0; r < R; r++) {
        load_tile(a.gs, row + r, t0 + i, 1, 0, f.d, pitch, gs.row(r));
        if (a.gpotential.data) load_tile(a.gpotential, row + r, t0 + i, 1, 0, f.d, pitch, gv);
        for (int c = 0; c < pitch; c += W) {
          Back back = back_at(gstate[r], gcells[r], pitch, c);
          const Past past = tapes[r].past<ADAPTS, RESTS>(i, c);
          const vf gs_i = load(gs.row(r) + c), gv_i = load(gv + c);
          store(g.row(r) + c, retreat<ADAPTS>(cell_at(f, cells, pitch, c), past, gs_i, gv_i, back));
          put(back, gstate[r], gcells[r], pitch, c);
          store(gs.row(r) + c, back.s);
        }
        store_tile(a.gu, row + r, t0 + i, 1, 0, f.d, pitch, g.row(r));
      }
      multiply<R>(g, U, gs);
      for (int r = 0; r < R; r++) std::copy_n(gs.row(r), pitch, gstate[r] + S * pitch);
    }
  }
  for (int r = 0; r < R; r++) write_gradients(a, row + r, 0, f.d, pitch, gstate[r], gcells[r]);
}

}  // namespace

void lif_recurrent_forward(const LifScan& a, int row0, int row1) {
  const Block columns(Block(a.U, a.d, a.d), Transposed{});
  std::vector<int> fired;
  by_kind(a, [&](auto adapts, auto rests) {
    for (int row = row0; row < row1; row++) forward_row<adapts(), rests()>(a, columns, fired, row);
  });
}

void lif_recurrent_backward(const LifScanGrad& a, int row0, int row1) {
  const Block U(a.f.U, a.f.d, a.f.d), columns(U, Transposed{});
  std::vector<int> fired;
  by_kind(a.f, [&](auto adapts, auto rests) {
    over_tiles(row0, row1, [&]<int R>(std::integral_constant<int, R>, int row) {
      backward_rows<decltype(adapts)::value, decltype(rests)::value, R>(a, U, columns, fired, row);
    });
  });
}

}  // namespace LAS_ISA
