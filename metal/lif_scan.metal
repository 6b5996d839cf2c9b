// v_t = beta v_{t-1} + awake u_t - theta s_{t-1}, s_t = awake where v_t > theta + kappa a_t,
// a_t = rho a_{t-1} + s_{t-1}; a hard reset has beta (1 - s_{t-1}) v_{t-1} and subtracts nothing. A neuron rests
// REFRACTORY elements after its spike.
//
// u, spikes, potentials: (b, t, d); neurons: (4, d), beta, theta, kappa, rho, or (2, d) where none adapts; state,
// after: (b, 4, d), v, s, rest, a; checkpoints: (b, ceil(t / SEGMENT), 1 to 3, d), v, rest, a before each segment of
// time. gneurons: (b, 4 or 2, d), one partial sum a row: no atomics, the same bits every run.
//
// Templates: T the type of u; SEGMENT elements a checkpoint; HARD, ADAPTS, RESTS (whether a neuron may have to),
// POTENTIAL (whether the potentials are asked for; else one element stands in) flags; REFRACTORY elements; SURROGATE
// which slope stands for that of a step. u is float, half or bfloat; everything inside is float.
//
// forward     one lane a neuron and a row, grid (d padded to 32, b, 1), group (32, up to 8, 1). About 16 registers.
// backward    the same; potentials are computed again a segment at a time. About 4 SEGMENT + 30 registers, 6 SEGMENT
//             where neurons adapt. No threadgroup memory in either, no barrier, any group.
//
// A line "// kernel: name (inputs) -> (outputs)" starts a kernel's body; the text above the first is their header.

// A product that is rounded before it meets a sum, as in the definition: the same neurons fire.
inline float las_times(float x, float y) {
  return metal::fma(x, y, 0.0f);
}
template <bool HARD>
inline float las_potential(float beta, float theta, float v, float s, float current) {
  const float charged = las_times(beta, HARD ? (1.0f - s) * v : v) + current;
  return HARD ? charged : charged - theta * s;
}
template <int SURROGATE>
inline float las_slope(float x, float k) {
  if (SURROGATE == 0) {
    const float below = 1.0f + k * metal::abs(x);
    return 1.0f / (below * below);
  }
  if (SURROGATE == 1) {
    const float at = 1.57079633f * k * x;
    return 0.5f * k / (1.0f + at * at);
  }
  if (SURROGATE == 2) {
    return metal::max(0.0f, 1.0f - k * metal::abs(x));
  }
  return 1.0f;
}

// kernel: forward (u, neurons, state) -> (spikes, potentials, after, checkpoints)
const uint b = uint(u_shape[0]);
const uint t = uint(u_shape[1]);
const uint d = uint(u_shape[2]);
const uint c = thread_position_in_grid.x;
const uint row = thread_position_in_grid.y;
if (c >= d || row >= b) {
  return;
}
const float beta = float(neurons[c]);
const float theta = float(neurons[d + c]);
float kappa = 0.0f;
float rho = 0.0f;
if (ADAPTS) {
  kappa = float(neurons[2 * d + c]);
  rho = float(neurons[3 * d + c]);
}
const size_t own = size_t(row) * 4 * d + c;
float v = float(state[own]);
float s = float(state[own + d]);
float rest = float(state[own + 2 * d]);
float a = float(state[own + 3 * d]);
size_t at = size_t(row) * t * d + c;
size_t kept = size_t(row) * ((t + SEGMENT - 1) / SEGMENT) * (1 + RESTS + ADAPTS) * d + c;
for (uint i = 0; i < t; i++) {
  if (i % SEGMENT == 0) {
    checkpoints[kept] = v;
    kept += d;
    if (RESTS) {
      checkpoints[kept] = rest;
      kept += d;
    }
    if (ADAPTS) {
      checkpoints[kept] = a;
      kept += d;
    }
  }
  const float awake = RESTS && rest != 0.0f ? 0.0f : 1.0f;
  v = las_potential<HARD>(beta, theta, v, s, awake * float(u[at]));
  float over = v - theta;
  if (ADAPTS) {
    a = las_times(rho, a) + s;
    over -= las_times(kappa, a);
  }
  s = over > 0.0f ? awake : 0.0f;
  if (RESTS) {
    rest = s > 0.0f ? float(REFRACTORY) : metal::max(rest - 1.0f, 0.0f);
  }
  spikes[at] = T(s);
  if (POTENTIAL) {
    potentials[at] = T(v);
  }
  at += d;
}
after[own] = v;
after[own + d] = s;
after[own + 2 * d] = rest;
after[own + 3 * d] = a;
if (!POTENTIAL && c == 0 && row == 0) {
  potentials[0] = T(0.0f);
}

// kernel: backward (u, neurons, state, slope, spikes, checkpoints, gs, gv, gafter) -> (gu, gneurons, gstate)
const uint b = uint(u_shape[0]);
const uint t = uint(u_shape[1]);
const uint d = uint(u_shape[2]);
const uint c = thread_position_in_grid.x;
const uint row = thread_position_in_grid.y;
if (c >= d || row >= b) {
  return;
}
const float k = slope[0];
const float beta = float(neurons[c]);
const float theta = float(neurons[d + c]);
float kappa = 0.0f;
float rho = 0.0f;
if (ADAPTS) {
  kappa = float(neurons[2 * d + c]);
  rho = float(neurons[3 * d + c]);
}
const size_t own = size_t(row) * 4 * d + c;
float to_v = float(gafter[own]);  // gradients of the state before the element at hand
float to_s = float(gafter[own + d]);
float to_a = float(gafter[own + 3 * d]);
float to_beta = 0.0f;
float to_theta = 0.0f;
float to_kappa = 0.0f;
float to_rho = 0.0f;
const uint segments = (t + SEGMENT - 1) / SEGMENT;
for (uint segment = segments; segment-- > 0;) {
  const uint first = segment * SEGMENT;
  const uint count = metal::min(uint(SEGMENT), t - first);
  const size_t begin = (size_t(row) * t + first) * d + c;
  size_t kept = (size_t(row) * segments + segment) * (1 + RESTS + ADAPTS) * d + c;
  float v = checkpoints[kept];
  float s = first == 0 ? float(state[own + d]) : float(spikes[begin - d]);
  float rest = 0.0f;
  float a = 0.0f;
  if (RESTS) {
    kept += d;
    rest = checkpoints[kept];
  }
  if (ADAPTS) {
    kept += d;
    a = checkpoints[kept];
  }
  float potential[SEGMENT];  // before each element, as fired and trace
  float fired[SEGMENT];
  float trace[SEGMENT + 1];
  float open[SEGMENT];  // whether the neuron is awake
  float steep[SEGMENT];
  trace[0] = a;
  for (int e = 0; e < SEGMENT; e++) {
    if (uint(e) < count) {
      const size_t at = begin + size_t(e) * d;
      potential[e] = v;
      fired[e] = s;
      open[e] = RESTS && rest != 0.0f ? 0.0f : 1.0f;
      v = las_potential<HARD>(beta, theta, v, s, open[e] * float(u[at]));
      float over = v - theta;
      if (ADAPTS) {
        a = las_times(rho, a) + s;
        over -= las_times(kappa, a);
        trace[e + 1] = a;
      }
      steep[e] = open[e] * las_slope<SURROGATE>(over, k);
      s = float(spikes[at]);
      if (RESTS) {
        rest = s > 0.0f ? float(REFRACTORY) : metal::max(rest - 1.0f, 0.0f);
      }
    }
  }
  for (int e = SEGMENT - 1; e >= 0; e--) {
    if (uint(e) < count) {
      const size_t at = begin + size_t(e) * d;
      const float step = steep[e] * (float(gs[at]) + to_s);
      float total = to_v + step;
      if (POTENTIAL) {
        total += float(gv[at]);
      }
      const float left = HARD ? 1.0f - fired[e] : 1.0f;
      to_theta -= step;
      if (!HARD) {
        to_theta -= fired[e] * total;
      }
      to_beta += total * left * potential[e];
      to_v = beta * left * total;
      to_s = 0.0f;
      if (ADAPTS) {
        to_kappa -= step * trace[e + 1];
        to_a -= kappa * step;
        to_rho += to_a * trace[e];
        to_s = to_a;
        to_a *= rho;
      }
      gu[at] = T(open[e] * total);
    }
  }
}
const size_t sums = size_t(row) * (ADAPTS ? 4 : 2) * d + c;
gneurons[sums] = to_beta;
gneurons[sums + d] = to_theta;
if (ADAPTS) {
  gneurons[sums + 2 * d] = to_kappa;
  gneurons[sums + 3 * d] = to_rho;
}
gstate[own] = to_v;
gstate[own + d] = to_s;
gstate[own + 2 * d] = 0.0f;
gstate[own + 3 * d] = to_a;
