// cm_i dh_i/dt = g_i (v_i - h_i) + sum_j G_ji (erev_ji - h_i), G = w sigmoid(sigma (pre - mu)), over inputs and neurons
// j, for dt seconds at each element of the sequence, in K sub-steps d = dt / K; its gradient.
//
// x: (b, t, inputs); sensory: (inputs, 4, H), w, mu, sigma and erev; recurrent: (H, 4, H), likewise; leak: (3, H), g, v
// and cm; h0: (b, H); dt: (b, t, 1); h: (b, t, H); sensory_t, recurrent_t: (H, 4, pre), transposed. All float32.
//
// Templates: H neurons; K sub-steps; SOLVER 0 euler, 1 midpoint, 2 fused; ROWS batch rows and UNITS threads a
// threadgroup, these a multiple of 32: thread i owns the neurons i, i + UNITS, ... of the rows, and inputs likewise. A
// stage is one evaluation of the equation: K of them an element, 2 K for midpoint.
//
// forward            grid (UNITS ceil(b / ROWS), 1, 1), group (UNITS, 1, 1); a thread sums over what its neurons hear.
//                    States lie in two buffers of threadgroup memory, [neuron][row], that a stage reads and writes in
//                    turn; what inputs and leak contribute is summed once an element and kept there too: 16 ROWS H
//                    bytes. 35 registers at ROWS 1, 56 at 4 (as NVIDIA's compiler counts for sm_90).
// backward           the same grid; 4 ROWS (2 H + UNITS / 32) bytes: the buffers hold states, then gradients. Of the
//                    forward h after each element is kept; the stages of an element are computed again into tape
//                    (tiles, (3 stages + 6) H ROWS), of which a thread touches what it owns. On the way back a thread
//                    sums over those who hear its neurons, so it owns whole synapses. gsensory, grecurrent
//                    (tiles, H, 4, pre) and gleak (tiles, 3, H) are partial sums, one a tile of ROWS rows: no atomics,
//                    the same bits every run. 86 registers at ROWS 1, 105 at 4.
//
// Every stage streams 4 H^2 weights from memory, coalesced, each value for ROWS rows, and takes ROWS H^2 exponentials;
// the backward does so twice and reads and writes the tile's partial sums. Where caches do not hold these, memory
// bandwidth bounds the speed.
//
// A line "// kernel: name (inputs) -> (outputs)" starts a kernel's body; the text above the first is their header.

inline float las_sigmoid(float x) {
  return 1.0f / (1.0f + metal::precise::exp(-x));
}
// The state that follows `from` after d seconds of the rate at h.
inline float las_step(int solver, float d, float from, float h, float drive, float decay) {
  return solver == 2 ? (from + d * drive) / (1.0f + d * decay) : from + d * (drive - decay * h);
}
struct las_gradients {
  float drive;
  float decay;
  float h;  // through the rate alone; where fused, all but through drive and decay
  float d;
};
// Of g times what las_step adds, share being the part of d that it went.
inline las_gradients las_pull(int solver, float share, float d, float h, float drive, float decay, float g) {
  las_gradients to;
  const float scale = solver == 2 ? 1.0f / (1.0f + d * decay) : share;
  const float at = solver == 2 ? (h + d * drive) * scale : h;
  to.drive = d * g * scale;
  to.decay = -to.drive * at;
  to.h = solver == 2 ? g * scale : -to.drive * decay;
  to.d = g * scale * (drive - decay * at);
  return to;
}
template <typename P>
inline void las_add(P to, float x, bool fresh) {
  *to = fresh ? x : *to + x;
}
// values = one column of the tile's rows, 0 past the last row
template <int ROWS, typename X>
inline void las_load(X column, size_t pitch, uint rows, thread float* values) {
  for (uint r = 0; r < uint(ROWS); r++) {
    values[r] = r < rows ? column[r * pitch] : 0.0f;
  }
}
// current += sum_j G_j erev_j, conductance += sum_j G_j: what one neuron of H hears; pre_j of row r is pre[j * step +
// r * pitch], and rows past the last one hear it again.
template <int ROWS, typename W, typename X>
inline void las_hear(
    W synapses, uint count, uint H, X pre, uint step, size_t pitch, uint last, thread float* current,
    thread float* conductance) {
  for (uint j = 0; j < count; j++) {
    auto of = synapses + size_t(j) * 4 * H;
    const float w = of[0];
    const float mu = of[H];
    const float sigma = of[2 * H];
    const float erev = of[3 * H];
    for (uint r = 0; r < uint(ROWS); r++) {
      const float G = w * las_sigmoid(sigma * (pre[j * step + metal::min(r, last) * pitch] - mu));
      current[r] += G * erev;
      conductance[r] += G;
    }
  }
}
// The gradients that to_current and to_conductance [H][ROWS] of those who hear `pre` [ROWS], one of count, give to it
// and to its synapses.
template <int ROWS, typename W, typename S, typename P>
inline void las_pull_hear(
    W synapses, uint count, uint H, const thread float* pre, S to_current, S to_conductance, thread float* to_pre,
    P to_synapses, bool fresh) {
  for (uint i = 0; i < H; i++) {
    const size_t at = size_t(i) * 4 * count;
    auto of = synapses + at;
    auto to = to_synapses + at;
    const float w = of[0];
    const float mu = of[count];
    const float sigma = of[2 * count];
    const float erev = of[3 * count];
    float to_w = 0.0f;
    float to_mu = 0.0f;
    float to_sigma = 0.0f;
    float to_erev = 0.0f;
    for (uint r = 0; r < uint(ROWS); r++) {
      const float away = pre[r] - mu;
      const float open = las_sigmoid(sigma * away);
      const float G = w * open;
      const float g = to_current[i * ROWS + r];
      const float to_G = g * erev + to_conductance[i * ROWS + r];
      const float to_z = to_G * G * (1.0f - open);
      to_w += to_G * open;
      to_erev += g * G;
      to_sigma += to_z * away;
      to_mu -= to_z * sigma;
      to_pre[r] += to_z * sigma;
    }
    las_add(to, to_w, fresh);
    las_add(to + count, to_mu, fresh);
    las_add(to + 2 * count, to_sigma, fresh);
    las_add(to + 3 * count, to_erev, fresh);
  }
}

// kernel: forward (x, sensory, recurrent, leak, h0, dt) -> (h)
threadgroup float states[2 * H * ROWS];
threadgroup float heard[2 * H * ROWS];  // currents, then conductances, of inputs and leak: a neuron's owner only
const uint b = uint(x_shape[0]);
const uint t = uint(x_shape[1]);
const uint inputs = uint(x_shape[2]);
const uint unit = thread_index_in_threadgroup;
const uint first = threadgroup_position_in_grid.x * ROWS;
const uint rows = metal::min(uint(ROWS), b - first);
const uint STAGES = SOLVER == 1 ? 2 * K : K;
const uint HALF = H * ROWS;
for (uint i = unit; i < uint(H); i += UNITS) {
  for (uint r = 0; r < uint(ROWS); r++) {
    states[i * ROWS + r] = r < rows ? h0[size_t(first + r) * H + i] : 0.0f;
  }
}
uint now = 0;
for (uint e = 0; e < t; e++) {
  const size_t at = size_t(first) * t + e;
  float d[ROWS];
  las_load<ROWS>(dt + at, t, rows, d);
  for (uint i = unit; i < uint(H); i += UNITS) {
    float current[ROWS];
    float conductance[ROWS];
    for (uint r = 0; r < uint(ROWS); r++) {
      current[r] = leak[i] * leak[H + i];
      conductance[r] = leak[i];
    }
    las_hear<ROWS>(sensory + i, inputs, H, x + at * inputs, 1, size_t(t) * inputs, rows - 1, current, conductance);
    for (uint r = 0; r < uint(ROWS); r++) {
      heard[i * ROWS + r] = current[r];
      heard[HALF + i * ROWS + r] = conductance[r];
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint s = 0; s < STAGES; s++) {
    const uint next = HALF - now;
    const bool halfway = SOLVER == 1 && s % 2 == 0;
    for (uint i = unit; i < uint(H); i += UNITS) {
      float current[ROWS];
      float conductance[ROWS];
      for (uint r = 0; r < uint(ROWS); r++) {
        current[r] = heard[i * ROWS + r];
        conductance[r] = heard[HALF + i * ROWS + r];
      }
      las_hear<ROWS>(recurrent + i, H, H, states + now, ROWS, 1, ROWS - 1, current, conductance);
      for (uint r = 0; r < uint(ROWS); r++) {
        const uint own = i * ROWS + r;
        const float h_now = states[now + own];
        const float from = SOLVER == 1 && !halfway ? states[next + own] : h_now;
        const float step = (halfway ? 0.5f : 1.0f) * (d[r] / float(K));
        const float cm = leak[2 * H + i];
        states[next + own] = las_step(SOLVER, step, from, h_now, current[r] / cm, conductance[r] / cm);
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    now = next;
  }
  for (uint i = unit; i < uint(H); i += UNITS) {
    for (uint r = 0; r < rows; r++) {
      h[(at + size_t(r) * t) * H + i] = states[now + i * ROWS + r];
    }
  }
}

// kernel: backward (x, sensory, recurrent, sensory_t, recurrent_t, leak, h0, dt, h, gh) -> (gx, gsensory, grecurrent, gleak, gh0, gdt, tape)
threadgroup float pair[2 * H * ROWS];         // states now and next; then the gradients of currents and of conductances
threadgroup float shares[UNITS / 32 * ROWS];  // each simdgroup's share of the gradient of d
const uint b = uint(x_shape[0]);
const uint t = uint(x_shape[1]);
const uint inputs = uint(x_shape[2]);
const uint unit = thread_index_in_threadgroup;
const uint tile = threadgroup_position_in_grid.x;
const uint first = tile * ROWS;
const uint rows = metal::min(uint(ROWS), b - first);
const uint STAGES = SOLVER == 1 ? 2 * K : K;
const uint HALF = H * ROWS;
const uint SIZE = 3 * HALF;  // a stage on the tape: h, drive, decay
auto stages = tape + size_t(tile) * (STAGES * SIZE + 6 * HALF);
auto carry = stages + STAGES * SIZE;  // the gradient of h between two sub-steps
auto middle = carry + HALF;           // and halfway through one
auto heard = middle + HALF;           // the currents, then the conductances, of inputs and leak
auto to_heard = heard + 2 * HALF;     // their gradients, summed over an element
auto to_sensory = gsensory + size_t(tile) * H * 4 * inputs;
auto to_recurrent = grecurrent + size_t(tile) * H * 4 * H;
auto to_leak = gleak + size_t(tile) * 3 * H;
bool fresh = true;
for (uint i = unit; i < uint(H); i += UNITS) {
  for (uint r = 0; r < uint(ROWS); r++) {
    carry[i * ROWS + r] = 0.0f;
    middle[i * ROWS + r] = 0.0f;
  }
}
for (uint e = t; e-- > 0;) {
  const size_t at = size_t(first) * t + e;
  const bool newest = e == t - 1;
  float d[ROWS];
  float to_d[ROWS];
  las_load<ROWS>(dt + at, t, rows, d);
  for (uint r = 0; r < uint(ROWS); r++) {
    d[r] /= float(K);
    to_d[r] = 0.0f;
  }
  for (uint i = unit; i < uint(H); i += UNITS) {
    float g[ROWS];
    float start[ROWS];
    float current[ROWS];
    float conductance[ROWS];
    las_load<ROWS>(gh + at * H + i, size_t(t) * H, rows, g);
    if (e > 0) {
      las_load<ROWS>(h + (at - 1) * H + i, size_t(t) * H, rows, start);
    } else {
      las_load<ROWS>(h0 + size_t(first) * H + i, H, rows, start);
    }
    for (uint r = 0; r < uint(ROWS); r++) {
      pair[i * ROWS + r] = start[r];
      carry[i * ROWS + r] += g[r];
      current[r] = leak[i] * leak[H + i];
      conductance[r] = leak[i];
    }
    las_hear<ROWS>(sensory + i, inputs, H, x + at * inputs, 1, size_t(t) * inputs, rows - 1, current, conductance);
    for (uint r = 0; r < uint(ROWS); r++) {
      heard[i * ROWS + r] = current[r];
      heard[HALF + i * ROWS + r] = conductance[r];
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  uint now = 0;
  for (uint s = 0; s < STAGES; s++) {
    const uint next = HALF - now;
    const bool halfway = SOLVER == 1 && s % 2 == 0;
    auto stage = stages + s * SIZE;
    for (uint i = unit; i < uint(H); i += UNITS) {
      float current[ROWS];
      float conductance[ROWS];
      for (uint r = 0; r < uint(ROWS); r++) {
        current[r] = heard[i * ROWS + r];
        conductance[r] = heard[HALF + i * ROWS + r];
      }
      las_hear<ROWS>(recurrent + i, H, H, pair + now, ROWS, 1, ROWS - 1, current, conductance);
      for (uint r = 0; r < uint(ROWS); r++) {
        const uint own = i * ROWS + r;
        const float cm = leak[2 * H + i];
        const float drive = current[r] / cm;
        const float decay = conductance[r] / cm;
        const float h_now = pair[now + own];
        const float from = SOLVER == 1 && !halfway ? pair[next + own] : h_now;
        stage[own] = h_now;
        stage[HALF + own] = drive;
        stage[2 * HALF + own] = decay;
        pair[next + own] = las_step(SOLVER, (halfway ? 0.5f : 1.0f) * d[r], from, h_now, drive, decay);
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    now = next;
  }
  for (uint s = STAGES; s-- > 0;) {
    const bool halfway = SOLVER == 1 && s % 2 == 0;
    const bool last = s == STAGES - 1;
    auto stage = stages + s * SIZE;
    for (uint i = unit; i < uint(H); i += UNITS) {
      const float cm = leak[2 * H + i];
      float to_cm = 0.0f;
      for (uint r = 0; r < uint(ROWS); r++) {
        const uint own = i * ROWS + r;
        const float drive = stage[HALF + own];
        const float decay = stage[2 * HALF + own];
        const float g = halfway ? middle[own] : carry[own];
        const las_gradients to = las_pull(SOLVER, halfway ? 0.5f : 1.0f, d[r], stage[own], drive, decay, g);
        pair[own] = to.drive / cm;
        pair[HALF + own] = to.decay / cm;
        las_add(to_heard + own, to.drive / cm, last);
        las_add(to_heard + HALF + own, to.decay / cm, last);
        to_cm -= (to.drive * drive + to.decay * decay) / cm;
        to_d[r] += to.d;
        if (SOLVER == 1 && !halfway) {
          middle[own] = to.h;
        } else {
          carry[own] = SOLVER == 2 ? to.h : carry[own] + to.h;
        }
      }
      las_add(to_leak + 2 * H + i, to_cm, fresh);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint j = unit; j < uint(H); j += UNITS) {
      float own[ROWS];
      float sums[ROWS];
      for (uint r = 0; r < uint(ROWS); r++) {
        own[r] = stage[j * ROWS + r];
        sums[r] = 0.0f;
      }
      las_pull_hear<ROWS>(recurrent_t + j, H, H, own, pair, pair + HALF, sums, to_recurrent + j, fresh);
      for (uint r = 0; r < uint(ROWS); r++) {
        const uint at_own = j * ROWS + r;
        if (SOLVER == 1 && !halfway) {
          sums[r] += middle[at_own];
          middle[at_own] = sums[r];
        }
        carry[at_own] += sums[r];
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    fresh = false;
  }
  for (uint i = unit; i < uint(H); i += UNITS) {
    float to_g = 0.0f;
    float to_v = 0.0f;
    for (uint r = 0; r < uint(ROWS); r++) {
      const uint own = i * ROWS + r;
      pair[own] = to_heard[own];
      pair[HALF + own] = to_heard[HALF + own];
      to_g += pair[own] * leak[H + i] + pair[HALF + own];
      to_v += pair[own] * leak[i];
    }
    las_add(to_leak + i, to_g, newest);
    las_add(to_leak + H + i, to_v, newest);
  }
  for (uint r = 0; r < uint(ROWS); r++) {
    const float share = simd_sum(to_d[r]);
    if (thread_index_in_simdgroup == 0) {
      shares[simdgroup_index_in_threadgroup * ROWS + r] = share;
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (unit < rows) {
    float sum = 0.0f;
    for (uint k = 0; k < uint(UNITS / 32); k++) {
      sum += shares[k * ROWS + unit];
    }
    gdt[at + size_t(unit) * t] = sum / float(K);
  }
  for (uint j = unit; j < inputs; j += UNITS) {
    float own[ROWS];
    float sums[ROWS];
    las_load<ROWS>(x + at * inputs + j, size_t(t) * inputs, rows, own);
    for (uint r = 0; r < uint(ROWS); r++) {
      sums[r] = 0.0f;
    }
    las_pull_hear<ROWS>(sensory_t + j, inputs, H, own, pair, pair + HALF, sums, to_sensory + j, newest);
    for (uint r = 0; r < uint(ROWS) && r < rows; r++) {  // a constant bound, so that sums stays in registers
      gx[(at + size_t(r) * t) * inputs + j] = sums[r];
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
}
for (uint i = unit; i < uint(H); i += UNITS) {
  for (uint r = 0; r < rows; r++) {
    gh0[size_t(first + r) * H + i] = carry[i * ROWS + r];
  }
}
