// Neurons that do not hear each other: a strip of them walks through time a segment at a time.
#include "ops/kernels/lif.h"

namespace LAS_ISA {
namespace {

constexpr int STRIP = 64;  // neurons: a multiple of every P * W
constexpr int P = 2;       // vectors at once: an element waits for the one before

thread_local Scratch scratch;

struct Rows {  // a strip of an array, a row an element
  float* at;
  int64_t pitch;
  float* row(int i) const { return at + i * pitch; }
};
struct Strip {
  int row, d0, count;
  int pitch = (count + P * W - 1) / (P * W) * (P * W);

  // Where an array holds whole vectors of floats side by side they are read and written there, else in a tile.
  bool in_place(const las::View& v) const {
    return v.type == las::Scalar::f32 && v.stride[2] == 1 && count == pitch;
  }
  Rows rows(const las::View& v, int t0, float* tile) const {
    if (!in_place(v)) return {tile, pitch};
    return {static_cast<float*>(v.data) + row * v.stride[0] + t0 * v.stride[1] + d0, v.stride[1]};
  }
  Rows read(const las::View& v, int t0, int t, float* tile) const {
    if (!in_place(v)) copy(v, t0, t, tile);
    return rows(v, t0, tile);
  }
  void copy(const las::View& v, int t0, int t, float* tile) const { load_tile(v, row, t0, t, d0, count, pitch, tile); }
  void write(const las::View& v, int t0, int t, const float* tile) const {  // what went into rows()
    if (!in_place(v)) store_tile(v, row, t0, t, d0, count, pitch, tile);
  }
  template <class F>
  void each(F f) const {  // f(offset of P vectors)
    for (int c = 0; c < pitch; c += P * W) f(c);
  }
};

template <bool ADAPTS, bool RESTS>
void forward_strip(const LifScan& a, const Strip& strip) {
  const int pitch = strip.pitch, row = strip.row, d0 = strip.d0, count = strip.count;
  scratch.reserve(static_cast<size_t>(4 + STATE + 3 * SEGMENT) * pitch);
  float *cells = scratch.take(4 * pitch), *state = scratch.take(STATE * pitch), *u_tile = scratch.take(SEGMENT * pitch),
        *s_tile = scratch.take(SEGMENT * pitch), *v_tile = scratch.take(SEGMENT * pitch);
  load_cells(a, d0, count, pitch, cells);
  strip.copy(a.state, 0, STATE, state);
  for (int t0 = 0; t0 < a.t; t0 += SEGMENT) {
    const int n = std::min(SEGMENT, a.t - t0);
    if (t0) keep(a, row, t0, d0, count, pitch, state);
    const Rows u = strip.read(a.u, t0, n, u_tile), s = strip.rows(a.s, t0, s_tile);
    const Rows v = a.potential.data ? strip.rows(a.potential, t0, v_tile) : Rows{v_tile, 0};
    strip.each([&](int c) {
      Cell cell[P];
      Now x[P];
      for (int p = 0; p < P; p++) cell[p] = cell_at(a, cells, pitch, c + p * W), x[p] = now_at(state, pitch, c + p * W);
      for (int i = 0; i < n; i++)
        for (int p = 0; p < P; p++) {
          const int at = c + p * W;
          const vf open = awake<RESTS>(x[p]), over = charge<ADAPTS, RESTS>(cell[p], load(u.row(i) + at), x[p]);
          fire<RESTS>(over > 0.f ? open : splat(0.f), a.refractory, x[p]);
          store(v.row(i) + at, x[p].v);
          store(s.row(i) + at, x[p].s);
        }
      for (int p = 0; p < P; p++) put(x[p], state, pitch, c + p * W);
    });
    strip.write(a.s, t0, n, s_tile);
    if (a.potential.data) strip.write(a.potential, t0, n, v_tile);
  }
  write_rows_of(state, count, pitch, STATE, a.d, a.after + static_cast<size_t>(row) * STATE * a.d + d0);
}

template <bool ADAPTS, bool RESTS>
void backward_strip(const LifScanGrad& a, const Strip& strip) {
  const LifScan& f = a.f;
  const int pitch = strip.pitch, row = strip.row, d0 = strip.d0, count = strip.count;
  scratch.reserve(static_cast<size_t>(8 + 2 * STATE + 3 * SEGMENT) * pitch + Tape::floats(pitch));
  float *cells = scratch.take(4 * pitch), *gcells = scratch.take(4 * pitch), *state = scratch.take(STATE * pitch),
        *gstate = scratch.take(STATE * pitch), *u_tile = scratch.take(SEGMENT * pitch),
        *g_tile = scratch.take(SEGMENT * pitch), *gv_tile = scratch.take(SEGMENT * pitch);
  Tape tape(scratch, pitch);
  load_cells(f, d0, count, pitch, cells);
  std::fill_n(gcells, 4 * pitch, 0.f);
  std::fill_n(gv_tile, pitch, 0.f);
  strip.copy(a.gafter, 0, STATE, gstate);
  for (int t0 = (f.t - 1) / SEGMENT * SEGMENT; t0 >= 0; t0 -= SEGMENT) {
    const int n = std::min(SEGMENT, f.t - t0);
    restore(f, row, t0, d0, count, pitch, state);
    tape.begin(state);
    strip.copy(f.s, t0, n, tape.s + pitch);
    const Rows u = strip.read(f.u, t0, n, u_tile);
    strip.each([&](int c) {
      Cell cell[P];
      Now x[P];
      for (int p = 0; p < P; p++) cell[p] = cell_at(f, cells, pitch, c + p * W), x[p] = now_at(state, pitch, c + p * W);
      for (int i = 0; i < n; i++)
        for (int p = 0; p < P; p++) {
          const int at = c + p * W;
          tape.replay<ADAPTS, RESTS>(cell[p], f.refractory, i, at, load(u.row(i) + at), x[p]);
        }
    });
    to_slopes(a.surrogate, a.slope, tape.slope, n * pitch);
    const Rows gs = strip.read(a.gs, t0, n, g_tile), gu = strip.rows(a.gu, t0, g_tile);
    const Rows gv = a.gpotential.data ? strip.read(a.gpotential, t0, n, gv_tile) : Rows{gv_tile, 0};
    strip.each([&](int c) {
      Cell cell[P];
      Back back[P];
      for (int p = 0; p < P; p++)
        cell[p] = cell_at(f, cells, pitch, c + p * W), back[p] = back_at(gstate, gcells, pitch, c + p * W);
      for (int i = n - 1; i >= 0; i--)
        for (int p = 0; p < P; p++) {
          const int at = c + p * W;
          const Past past = tape.past<ADAPTS, RESTS>(i, at);
          store(gu.row(i) + at, retreat<ADAPTS>(cell[p], past, load(gs.row(i) + at), load(gv.row(i) + at), back[p]));
        }
      for (int p = 0; p < P; p++) put(back[p], gstate, gcells, pitch, c + p * W);
    });
    strip.write(a.gu, t0, n, g_tile);
  }
  write_gradients(a, row, d0, count, pitch, gstate, gcells);
}

template <class F>  // f(strip)
void over_strips(int row, int begin, int end, F f) {
  for (int d0 = begin; d0 < end; d0 += STRIP) f(Strip{row, d0, std::min(STRIP, end - d0)});
}

}  // namespace

void lif_forward(const LifScan& a, int row, int begin, int end) {
  by_kind(a, [&](auto adapts, auto rests) {
    over_strips(row, begin, end, [&](const Strip& strip) { forward_strip<adapts(), rests()>(a, strip); });
  });
}

void lif_backward(const LifScanGrad& a, int row, int begin, int end) {
  by_kind(a.f, [&](auto adapts, auto rests) {
    over_strips(row, begin, end, [&](const Strip& strip) { backward_strip<adapts(), rests()>(a, strip); });
  });
}

}  // namespace LAS_ISA
