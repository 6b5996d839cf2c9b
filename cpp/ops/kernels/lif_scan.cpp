// v_t = beta v_{t-1} + awake (u_t + U s_{t-1}) - theta s_{t-1}, s_t = awake where v_t > theta + kappa a_t. Without U a strip of
// neurons walks through time a segment at a time; with U whole rows go element by element, and few neurons have fired.
// The backward pass computes a segment's potentials again from the one kept before it: which neurons fired is known.
#include "ops/kernels/liquid.h"
#include "ops/kernels/tile.h"

namespace LAS_ISA {
namespace {

using las::LifScan;
using las::LifScanGrad;
using las::LifSurrogate;
using las::SEGMENT;

constexpr int STRIP = 32;           // neurons: a multiple of every W
constexpr int P = STRIP / W > 1 ? 2 : 1;  // vectors at once: a step waits for the one before
enum { V, S, REST, A, STATE };      // rows of a state, and of the gradient of one
enum { BETA, THETA, KAPPA, RHO };   // rows of the neurons

thread_local Scratch scratch;

// x as a sum of its own: the compiler may not fuse it with the one it goes into, which the reference rounds apart.
inline vf rounded(vf x) {
#if defined(__x86_64__)
  asm("" : "+v"(x));
#elif defined(__aarch64__)
  asm("" : "+w"(x));
#endif
  return x;
}

struct Cell {  // W neurons
  vf beta, theta, kappa, rho;
  float hard;  // 1 where a reset leaves nothing, 0 where it subtracts theta
  vf reset;    // what is subtracted after a spike
};
inline Cell cell_at(const LifScan& a, const float* cells, int pitch, int c) {
  Cell x{load(cells + BETA * pitch + c), load(cells + THETA * pitch + c), load(cells + KAPPA * pitch + c),
         load(cells + RHO * pitch + c), a.hard ? 1.f : 0.f, {}};
  x.reset = (1.f - x.hard) * x.theta;
  return x;
}

struct Now {
  vf v, s, rest, a;
};
inline Now now_at(const float* state, int pitch, int c) {
  return {load(state + V * pitch + c), load(state + S * pitch + c), load(state + REST * pitch + c),
          load(state + A * pitch + c)};
}
inline void put(const Now& x, float* state, int pitch, int c) {
  store(state + V * pitch + c, x.v), store(state + S * pitch + c, x.s);
  store(state + REST * pitch + c, x.rest), store(state + A * pitch + c, x.a);
}

template <bool RESTS>
inline vf awake(const Now& x) {
  return RESTS ? (x.rest == 0.f ? splat(1.f) : splat(0.f)) : splat(1.f);
}

// The potential and a of the next element; s and rest are still those of the last. How far it is above the threshold.
template <bool ADAPTS, bool RESTS>
inline vf charge(const Cell& c, vf current, Now& x) {
  const vf kept = rounded(c.beta * ((1.f - c.hard * x.s) * x.v));
  x.v = rounded(kept + (RESTS ? awake<RESTS>(x) * current : current)) - c.reset * x.s;
  vf over = x.v - c.theta;
  if constexpr (ADAPTS) {
    x.a = rounded(c.rho * x.a) + x.s;
    over = over - rounded(c.kappa * x.a);
  }
  return over;
}

template <bool RESTS>
inline void fire(vf s, float refractory, Now& x) {
  x.s = s;
  if constexpr (RESTS) {
    const vf left = x.rest > 1.f ? x.rest - 1.f : splat(0.f);
    x.rest = s > 0.f ? splat(refractory) : left;
  }
}

struct Back {  // gradients of the state before an element, and of the neurons
  vf v, s, a;
  vf beta, theta, kappa, rho;
};
struct Past {  // of an element: what it began with, and what became of it
  vf v, s, a, a_next, awake, slope;
};

// From the gradients of s and v of an element to that of its current.
template <bool ADAPTS>
inline vf retreat(const Cell& c, const Past& x, vf gs, vf gv, Back& g) {
  const vf fired = x.slope * (gs + g.s), total = gv + g.v + fired, left = 1.f - c.hard * x.s;
  g.theta -= fired + (1.f - c.hard) * x.s * total;
  g.beta += total * left * x.v;
  g.v = c.beta * left * total;
  g.s = splat(0.f);
  if constexpr (ADAPTS) {
    g.kappa -= fired * x.a_next;
    const vf ga = g.a - c.kappa * fired;
    g.rho += ga * x.a;
    g.s = ga;
    g.a = c.rho * ga;
  }
  return x.awake * total;
}

template <class F>
void each_vector(float* x, int count, F f) {
  for (int i = 0; i < count; i += W) store(x + i, f(load(x + i)));
}
// How far above the threshold, to what stands for the derivative of a step there.
void to_slopes(LifSurrogate surrogate, float k, float* x, int count) {
  const auto size = [](vf v) { return v < 0.f ? -v : v; };
  switch (surrogate) {
    case LifSurrogate::fast_sigmoid:
      return each_vector(x, count, [=](vf v) {
        const vf below = 1.f + k * size(v);
        return 1.f / (below * below);
      });
    case LifSurrogate::arctan:
      return each_vector(x, count, [=](vf v) {
        const vf at = 1.57079632679f * k * v;
        return k / 2 / (1.f + at * at);
      });
    case LifSurrogate::triangular:
      return each_vector(x, count, [=](vf v) { return max(splat(0.f), 1.f - k * size(v)); });
    case LifSurrogate::straight_through: std::fill_n(x, count, 1.f);
  }
}

template <class F>  // f(adapts, rests)
void by_kind(const LifScan& a, F f) {
  if (a.adapts)
    a.rests ? f(std::true_type{}, std::true_type{}) : f(std::true_type{}, std::false_type{});
  else
    a.rests ? f(std::false_type{}, std::true_type{}) : f(std::false_type{}, std::false_type{});
}

void load_cells(const LifScan& a, int d0, int count, int pitch, float* cells) {
  std::fill_n(cells, 4 * pitch, 0.f);
  for (int i = 0; i < (a.adapts ? 4 : 2); i++) std::copy_n(a.neurons + static_cast<size_t>(i) * a.d + d0, count, cells + i * pitch);
}
void write_rows_of(const float* rows, int count, int pitch, int n, int d, float* to) {
  for (int i = 0; i < n; i++) std::copy_n(rows + static_cast<size_t>(i) * pitch, count, to + static_cast<size_t>(i) * d);
}

// What is kept before a segment: v, then rest and a where they change.
template <class F>
void over_kept(const LifScan& a, F f) {  // f(row of the state, which of the kept)
  int which = 0;
  f(int(V), which++);
  if (a.rests) f(int(REST), which++);
  if (a.adapts) f(int(A), which++);
}
float* checkpoint(const LifScan& a, int row, int t0, int which) {
  const int kept = 1 + a.rests + a.adapts, segments = (a.t - 1) / SEGMENT;
  return a.checkpoints + ((static_cast<size_t>(row) * segments + t0 / SEGMENT - 1) * kept + which) * a.d;
}
void keep(const LifScan& a, int row, int t0, int d0, int count, int pitch, const float* state) {
  over_kept(a, [&](int of, int which) { std::copy_n(state + of * pitch, count, checkpoint(a, row, t0, which) + d0); });
}
// The state before element t0.
void restore(const LifScan& a, int row, int t0, int d0, int count, int pitch, float* state) {
  load_tile(a.state, row, 0, STATE, d0, count, pitch, state);
  if (!t0) return;
  load_tile(a.s, row, t0 - 1, 1, d0, count, pitch, state + S * pitch);
  over_kept(a, [&](int of, int which) { std::copy_n(checkpoint(a, row, t0, which) + d0, count, state + of * pitch); });
}

template <bool ADAPTS, bool RESTS>
void forward_strip(const LifScan& a, int row, int d0, int count) {
  scratch.reserve((4 + STATE + 2 * SEGMENT) * STRIP);
  float *cells = scratch.take(4 * STRIP), *state = scratch.take(STATE * STRIP), *v = scratch.take(SEGMENT * STRIP),
        *s = scratch.take(SEGMENT * STRIP);
  load_cells(a, d0, count, STRIP, cells);
  load_tile(a.state, row, 0, STATE, d0, count, STRIP, state);
  for (int t0 = 0; t0 < a.t; t0 += SEGMENT) {
    const int n = std::min(SEGMENT, a.t - t0);
    if (t0) keep(a, row, t0, d0, count, STRIP, state);
    load_tile(a.u, row, t0, n, d0, count, STRIP, v);
    for (int c = 0; c < count; c += P * W) {
      Cell cell[P];
      Now x[P];
      for (int p = 0; p < P; p++) cell[p] = cell_at(a, cells, STRIP, c + p * W), x[p] = now_at(state, STRIP, c + p * W);
      for (int i = 0; i < n; i++)
        for (int p = 0; p < P; p++) {
          float* at = v + i * STRIP + c + p * W;
          const vf open = awake<RESTS>(x[p]), over = charge<ADAPTS, RESTS>(cell[p], load(at), x[p]);
          fire<RESTS>(over > 0.f ? open : splat(0.f), a.refractory, x[p]);
          store(at, x[p].v);
          store(s + i * STRIP + c + p * W, x[p].s);
        }
      for (int p = 0; p < P; p++) put(x[p], state, STRIP, c + p * W);
    }
    store_tile(a.s, row, t0, n, d0, count, STRIP, s);
    if (a.potential.data) store_tile(a.potential, row, t0, n, d0, count, STRIP, v);
  }
  write_rows_of(state, count, STRIP, STATE, a.d, a.after + static_cast<size_t>(row) * STATE * a.d + d0);
}

// A segment of a row as it went: potentials and a before each element and after the last, spikes likewise, who was awake,
// how far each was above its threshold, later the slope there.
struct Tape {
  Tape(Scratch& from, int pitch) : pitch(pitch) {
    const size_t rows = static_cast<size_t>(SEGMENT + 1) * pitch;
    v = from.take(rows), s = from.take(rows), a = from.take(rows), open = from.take(rows), slope = from.take(rows);
  }
  static size_t floats(int pitch) { return static_cast<size_t>(5) * (SEGMENT + 1) * pitch; }

  void begin(const float* state) {
    std::copy_n(state + V * pitch, pitch, v), std::copy_n(state + S * pitch, pitch, s);
    std::copy_n(state + A * pitch, pitch, a);
  }
  template <bool ADAPTS, bool RESTS>  // element i, whose current stands where its potential will
  void replay(const Cell& cell, float refractory, int i, int c, Now& x) {
    const size_t at = static_cast<size_t>(i) * pitch + c, next = at + pitch;
    if constexpr (RESTS) store(open + at, awake<RESTS>(x));
    store(slope + at, charge<ADAPTS, RESTS>(cell, load(v + next), x));
    fire<RESTS>(load(s + next), refractory, x);
    store(v + next, x.v);
    if constexpr (ADAPTS) store(a + next, x.a);
  }
  template <bool ADAPTS, bool RESTS>
  Past past(int i, int c) const {
    const size_t at = static_cast<size_t>(i) * pitch + c;
    Past x{load(v + at), load(s + at), {}, {}, splat(1.f), load(slope + at)};
    if constexpr (ADAPTS) x.a = load(a + at), x.a_next = load(a + at + pitch);
    if constexpr (RESTS) x.awake = load(open + at), x.slope *= x.awake;
    return x;
  }

  const int pitch;
  float *v, *s, *a, *open, *slope;
};

inline Back back_at(const float* state, const float* cells, int pitch, int c) {
  return {load(state + V * pitch + c),    load(state + S * pitch + c),     load(state + A * pitch + c),
          load(cells + BETA * pitch + c), load(cells + THETA * pitch + c), load(cells + KAPPA * pitch + c),
          load(cells + RHO * pitch + c)};
}
inline void put(const Back& g, float* state, float* cells, int pitch, int c) {
  store(state + V * pitch + c, g.v), store(state + S * pitch + c, g.s), store(state + A * pitch + c, g.a);
  store(cells + BETA * pitch + c, g.beta), store(cells + THETA * pitch + c, g.theta);
  store(cells + KAPPA * pitch + c, g.kappa), store(cells + RHO * pitch + c, g.rho);
}
void write_gradients(const LifScanGrad& a, int row, int d0, int count, int pitch, float* state, const float* cells) {
  std::fill_n(state + REST * pitch, pitch, 0.f);
  const size_t d = a.f.d, kinds = a.f.adapts ? 4 : 2;
  write_rows_of(state, count, pitch, STATE, a.f.d, a.gstate + row * STATE * d + d0);
  write_rows_of(cells, count, pitch, kinds, a.f.d, a.gneurons + row * kinds * d + d0);
}

template <bool ADAPTS, bool RESTS>
void backward_strip(const LifScanGrad& a, int row, int d0, int count) {
  const LifScan& f = a.f;
  scratch.reserve((8 + 2 * STATE + 2 * SEGMENT) * STRIP + Tape::floats(STRIP));
  float *cells = scratch.take(4 * STRIP), *gcells = scratch.take(4 * STRIP), *state = scratch.take(STATE * STRIP),
        *gstate = scratch.take(STATE * STRIP), *g = scratch.take(SEGMENT * STRIP), *gv = scratch.take(SEGMENT * STRIP);
  Tape tape(scratch, STRIP);
  load_cells(f, d0, count, STRIP, cells);
  std::fill_n(gcells, 4 * STRIP, 0.f);
  std::fill_n(gv, SEGMENT * STRIP, 0.f);
  load_tile(a.gafter, row, 0, STATE, d0, count, STRIP, gstate);
  for (int t0 = (f.t - 1) / SEGMENT * SEGMENT; t0 >= 0; t0 -= SEGMENT) {
    const int n = std::min(SEGMENT, f.t - t0);
    restore(f, row, t0, d0, count, STRIP, state);
    tape.begin(state);
    load_tile(f.u, row, t0, n, d0, count, STRIP, tape.v + STRIP);
    load_tile(f.s, row, t0, n, d0, count, STRIP, tape.s + STRIP);
    load_tile(a.gs, row, t0, n, d0, count, STRIP, g);
    if (a.gpotential.data) load_tile(a.gpotential, row, t0, n, d0, count, STRIP, gv);
    for (int c = 0; c < count; c += P * W) {
      Cell cell[P];
      Now x[P];
      for (int p = 0; p < P; p++) cell[p] = cell_at(f, cells, STRIP, c + p * W), x[p] = now_at(state, STRIP, c + p * W);
      for (int i = 0; i < n; i++)
        for (int p = 0; p < P; p++) tape.replay<ADAPTS, RESTS>(cell[p], f.refractory, i, c + p * W, x[p]);
    }
    to_slopes(a.surrogate, a.slope, tape.slope, n * STRIP);
    for (int c = 0; c < count; c += P * W) {
      Cell cell[P];
      Back back[P];
      for (int p = 0; p < P; p++)
        cell[p] = cell_at(f, cells, STRIP, c + p * W), back[p] = back_at(gstate, gcells, STRIP, c + p * W);
      for (int i = n - 1; i >= 0; i--)
        for (int p = 0; p < P; p++) {
          const int at = i * STRIP + c + p * W;
          const Past past = tape.past<ADAPTS, RESTS>(i, c + p * W);
          store(g + at, retreat<ADAPTS>(cell[p], past, load(g + at), load(gv + at), back[p]));
        }
      for (int p = 0; p < P; p++) put(back[p], gstate, gcells, STRIP, c + p * W);
    }
    store_tile(a.gu, row, t0, n, d0, count, STRIP, g);
  }
  write_gradients(a, row, d0, count, STRIP, gstate, gcells);
}

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
      for (int q = 0; q < Q; q++) sums[q] += s[j] * load(columns.row(j) + c + q * W);
    for (int q = 0; q < Q; q++) store(to + c + q * W, load(to + c + q * W) + sums[q]);
  }
  for (; c < columns.pitch; c += W) {
    vf sum = splat(0.f);
    for (int j : fired) sum += s[j] * load(columns.row(j) + c);
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
  const size_t a_row = (8 + STATE) * static_cast<size_t>(pitch);
  scratch.reserve(R * (a_row + Tape::floats(pitch)) + (4 + 1) * static_cast<size_t>(pitch));
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
        hear(tape.s + i * pitch, columns, fired, tape.v + (i + 1) * pitch);
        for (int c = 0; c < pitch; c += W) {
          Now x = now_at(state, pitch, c);
          tape.replay<ADAPTS, RESTS>(cell_at(f, cells, pitch, c), f.refractory, i, c, x);
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
          store(g.row(r) + c, retreat<ADAPTS>(cell_at(f, cells, pitch, c), past, load(gs.row(r) + c), load(gv + c), back));
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

void lif_forward(const LifScan& a, int row, int begin, int end) {
  by_kind(a, [&](auto adapts, auto rests) {
    for (int d0 = begin; d0 < end; d0 += STRIP) forward_strip<adapts(), rests()>(a, row, d0, std::min(STRIP, end - d0));
  });
}

void lif_backward(const LifScanGrad& a, int row, int begin, int end) {
  by_kind(a.f, [&](auto adapts, auto rests) {
    for (int d0 = begin; d0 < end; d0 += STRIP) backward_strip<adapts(), rests()>(a, row, d0, std::min(STRIP, end - d0));
  });
}

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
