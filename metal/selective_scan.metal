// h_t = exp(dt A) h_{t-1} + dt phi(dt A) B_t x_t,  y_t = (C_t . h_t + D x_t) silu(z_t)
// phi(a) = r(a) / r(a / K) with r(a) = expm1(a) / a folds K sub-steps of dt / K into one: K = 1 gives 1, K = inf r(a).
//
// x, dt, z, y: (b, t, d); A: (d, N); B, C: (b, t, N); D: (d); h0, h_last: (b, d, N), h_last float32;
// inverse_K: (1), 1 / K; checkpoints: (b, ceil(t / SEGMENT), N, d), the state before each segment of time.
//
// Templates: T, U, V the types of x, dt, z; P of checkpoints, float32 or, for half types, bfloat16; N states (at most
// 64); SEGMENT steps a checkpoint; SUBSTEPS whether K > 1; GATED whether z is there (else it is not read).
// Inputs are float, half or bfloat; everything inside is float.
//
// forward            one lane a channel, grid (d padded to 32, CHUNKS, b), group (32, CHUNKS, 1). With CHUNKS > 1 a
//                    simdgroup has a chunk of time: it is scanned from zero, then again from its true start, the sum
//                    over the chunks before. About 2 N + 14 registers; 128 CHUNKS (N + 1) bytes of threadgroup memory,
//                    none for one chunk.
// backward           one lane a channel, one simdgroup every GROUPS-th state, grid (d padded to 32, GROUPS, b), group
//                    (32, GROUPS, 1). States are recomputed a segment at a time. About 4 SEGMENT + 3 N / GROUPS + 24
//                    registers, 128 (3 SEGMENT + 3 SLICE GROUPS) bytes of threadgroup memory. Sums over channels are
//                    partial, one a block of 32 channels and (for A, D) one a row: no atomics, the same bits every run.
//
// A line "// kernel: name (inputs) -> (outputs)" starts a kernel's body; the text above the first is their header.

inline float las_exp2(float x) {
  return metal::fast::exp2(x);
}
inline float las_sigmoid(float x) {
  return 1.0f / (1.0f + metal::precise::exp(-x));
}
// r(a) = expm1(a) / a, given e^a; its series where e^a - 1 would cancel.
inline float las_growth(float a, float exp_a) {
  float s = 1.0f / 3628800.0f;
  s = s * a + 1.0f / 362880.0f;
  s = s * a + 1.0f / 40320.0f;
  s = s * a + 1.0f / 5040.0f;
  s = s * a + 1.0f / 720.0f;
  s = s * a + 1.0f / 120.0f;
  s = s * a + 1.0f / 24.0f;
  s = s * a + 1.0f / 6.0f;
  s = s * a + 0.5f;
  s = s * a + 1.0f;
  return metal::abs(a) < 1.0f ? s : (exp_a - 1.0f) / a;
}
inline float las_phi(float a, float exp_a, float inverse) {
  const float part = a * inverse;
  return las_growth(a, exp_a) / las_growth(part, las_exp2(part * 1.44269504f));
}
// d log r / da = 1 / (1 - e^-a) - 1 / a, by its Bernoulli series where that cancels.
inline float las_log_slope(float a, float exp_a) {
  const float a2 = a * a;
  float s = -1.0f / 1209600.0f;
  s = s * a2 + 1.0f / 30240.0f;
  s = s * a2 - 1.0f / 720.0f;
  s = s * a2 + 1.0f / 12.0f;
  s = s * a + 0.5f;
  return a2 < 1.0f ? s : 1.0f / (1.0f - 1.0f / exp_a) - 1.0f / a;
}
inline float las_phi_slope(float a, float exp_a, float phi, float inverse) {
  const float part = a * inverse;
  return phi * (las_log_slope(a, exp_a) - inverse * las_log_slope(part, las_exp2(part * 1.44269504f)));
}

// kernel: forward (x, dt, A, B, C, D, h0, z, inverse_K) -> (y, h_last, checkpoints)
threadgroup float ends[CHUNKS > 1 ? CHUNKS * N * 32 : 1];  // the state that each chunk reaches from zero
threadgroup float spans[CHUNKS > 1 ? CHUNKS * 32 : 1];     // the sum of dt over each chunk
const uint t = uint(x_shape[1]);
const uint d = uint(x_shape[2]);
const uint lane = thread_index_in_simdgroup;
const uint chunk = simdgroup_index_in_threadgroup;
const uint row = threadgroup_position_in_grid.z;
const uint c = threadgroup_position_in_grid.x * 32 + lane;
const bool live = c < d;
const uint own = live ? c : d - 1;
const uint segments = (t + SEGMENT - 1) / SEGMENT;
const uint length = (segments + CHUNKS - 1) / CHUNKS * SEGMENT;
const uint start = metal::min(t, chunk * length);
const uint end = metal::min(t, start + length);
const size_t channel = (size_t(row) * d + own) * N;
const float skip = float(D[own]);
const float inverse = inverse_K[0];
float h[N];
float rate[N];  // A log2(e)
for (int j = 0; j < N; j++) {
  h[j] = CHUNKS > 1 ? 0.0f : float(h0[channel + j]);
  rate[j] = float(A[size_t(own) * N + j]) * 1.44269504f;
}
if (CHUNKS > 1) {
  float span = 0.0f;
  size_t at = (size_t(row) * t + start) * d + own;
  size_t in = (size_t(row) * t + start) * N;
  for (uint i = start; i < end; i++) {
    const float step = float(dt[at]);
    const float input = step * float(x[at]);
    span += step;
    for (int j = 0; j < N; j++) {
      const float decay = las_exp2(step * rate[j]);
      float gain = input * float(B[in + j]);
      if (SUBSTEPS) {
        gain *= las_phi(step * rate[j] * 0.693147181f, decay, inverse);
      }
      h[j] = decay * h[j] + gain;
    }
    at += d;
    in += N;
  }
  for (int j = 0; j < N; j++) {
    ends[(chunk * N + j) * 32 + lane] = h[j];
  }
  spans[chunk * 32 + lane] = span;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (int j = 0; j < N; j++) {
    h[j] = float(h0[channel + j]);
  }
  for (uint before = 0; before < chunk; before++) {
    for (int j = 0; j < N; j++) {
      h[j] = las_exp2(spans[before * 32 + lane] * rate[j]) * h[j] + ends[(before * N + j) * 32 + lane];
    }
  }
}
size_t at = (size_t(row) * t + start) * d + own;
size_t in = (size_t(row) * t + start) * N;
size_t out = (size_t(row) * segments + start / SEGMENT) * N * d + own;
for (uint first = start; first < end; first += SEGMENT) {
  for (int j = 0; j < N; j++) {
    if (live) {
      checkpoints[out] = P(h[j]);
    }
    out += d;
  }
  const uint stop = metal::min(end, first + SEGMENT);
  for (uint i = first; i < stop; i++) {
    const float step = float(dt[at]);
    const float x_i = float(x[at]);
    const float input = step * x_i;
    float sum = skip * x_i;
    for (int j = 0; j < N; j++) {
      const float decay = las_exp2(step * rate[j]);
      float gain = input * float(B[in + j]);
      if (SUBSTEPS) {
        gain *= las_phi(step * rate[j] * 0.693147181f, decay, inverse);
      }
      h[j] = decay * h[j] + gain;
      sum += h[j] * float(C[in + j]);
    }
    if (GATED) {
      const float gate = float(z[at]);
      sum *= gate * las_sigmoid(gate);
    }
    if (live) {
      y[at] = T(sum);
    }
    at += d;
    in += N;
  }
}
if (live && chunk == CHUNKS - 1) {
  for (int j = 0; j < N; j++) {
    h_last[channel + j] = h[j];
  }
}

// kernel: backward (x, dt, A, B, C, D, z, inverse_K, checkpoints, gy, gh_last) -> (gx, gdt, gz, gA, gB, gC, gD, gh0)
threadgroup float steps[SEGMENT * 32];  // dt, x and the gradient of y before its gate, for the segment at hand
threadgroup float inputs[SEGMENT * 32];
threadgroup float grads[SEGMENT * 32];
threadgroup float to_input[SLICE * GROUPS * 32];  // each simdgroup's share of the sums over states
threadgroup float to_rate[SLICE * GROUPS * 32];
threadgroup float to_y[SLICE * GROUPS * 32];
const int OWN = (N + GROUPS - 1) / GROUPS;  // states a simdgroup, at most
const uint b = uint(x_shape[0]);
const uint t = uint(x_shape[1]);
const uint d = uint(x_shape[2]);
const uint lane = thread_index_in_simdgroup;
const uint group = simdgroup_index_in_threadgroup;
const uint block = threadgroup_position_in_grid.x;
const uint row = threadgroup_position_in_grid.z;
const uint c = block * 32 + lane;
const bool live = c < d;
const size_t channel = (size_t(row) * d + c) * N;
const size_t column = size_t(row) * t * d + c;
const float skip = live ? float(D[c]) : 0.0f;
const float inverse = inverse_K[0];
float rate[OWN];  // A log2(e)
float gh[OWN];
float sum_A[OWN];
for (int p = 0; p < OWN; p++) {
  const uint j = uint(p) * GROUPS + group;
  const bool mine = live && j < uint(N);
  rate[p] = mine ? float(A[size_t(c) * N + j]) * 1.44269504f : 0.0f;
  gh[p] = mine ? float(gh_last[channel + j]) : 0.0f;
  sum_A[p] = 0.0f;
}
float sum_D = 0.0f;
const uint segments = (t + SEGMENT - 1) / SEGMENT;
for (uint s = segments; s-- > 0;) {
  const uint first = s * SEGMENT;
  const uint count = metal::min(uint(SEGMENT), t - first);
  for (uint k = group; k < count; k += GROUPS) {
    const size_t at = column + size_t(first + k) * d;
    float g = live ? float(gy[at]) : 0.0f;
    if (GATED) {
      const float gate = live ? float(z[at]) : 0.0f;
      g *= gate * las_sigmoid(gate);
    }
    steps[k * 32 + lane] = live ? float(dt[at]) : 0.0f;
    inputs[k * 32 + lane] = live ? float(x[at]) : 0.0f;
    grads[k * 32 + lane] = g;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  float sum_input[SEGMENT];  // d loss / d(dt x), d loss / d dt through the decay, y before D and the gate
  float sum_rate[SEGMENT];
  float sum_y[SEGMENT];
  for (int k = 0; k < SEGMENT; k++) {
    sum_input[k] = 0.0f;
    sum_rate[k] = 0.0f;
    sum_y[k] = 0.0f;
  }
  for (int p = 0; p < OWN; p++) {
    const uint j = uint(p) * GROUPS + group;
    if (j < uint(N)) {  // the same for the whole simdgroup
      const float a_j = rate[p] * 0.693147181f;
      const size_t in = (size_t(row) * t + first) * N + j;
      const size_t out = ((size_t(block) * b + row) * t + first) * N + j;
      float h[SEGMENT + 1];
      h[0] = live ? float(checkpoints[((size_t(row) * segments + s) * N + j) * d + c]) : 0.0f;
      for (int k = 0; k < SEGMENT; k++) {
        h[k + 1] = 0.0f;
        if (uint(k) < count) {
          const float step = steps[k * 32 + lane];
          const float decay = las_exp2(step * rate[p]);
          float gain = step * inputs[k * 32 + lane] * float(B[in + size_t(k) * N]);
          if (SUBSTEPS) {
            gain *= las_phi(step * a_j, decay, inverse);
          }
          h[k + 1] = decay * h[k] + gain;
        }
      }
      float g = gh[p];
      float ga = 0.0f;
      for (int k = SEGMENT - 1; k >= 0; k--) {
        if (uint(k) < count) {
          const float step = steps[k * 32 + lane];
          const float input = step * inputs[k * 32 + lane];
          const float g_y = grads[k * 32 + lane];
          const float B_k = float(B[in + size_t(k) * N]);
          const float C_k = float(C[in + size_t(k) * N]);
          const float decay = las_exp2(step * rate[p]);
          g += g_y * C_k;
          float into = g;
          float through = g * decay * h[k];  // d loss / d(dt A)
          if (SUBSTEPS) {
            const float phi = las_phi(step * a_j, decay, inverse);
            into = g * phi;
            through += g * input * B_k * las_phi_slope(step * a_j, decay, phi, inverse);
          }
          const float to_B = simd_sum(into * input);
          const float to_C = simd_sum(g_y * h[k + 1]);
          if (lane == 0) {
            gB[out + size_t(k) * N] = to_B;
            gC[out + size_t(k) * N] = to_C;
          }
          sum_input[k] += into * B_k;
          sum_rate[k] += through * a_j;
          sum_y[k] += h[k + 1] * C_k;
          ga += through * step;
          g *= decay;
        }
      }
      gh[p] = g;
      sum_A[p] += ga;
    }
  }
  for (int k0 = 0; k0 < SEGMENT; k0 += SLICE) {
    for (int e = 0; e < SLICE; e++) {
      const uint to = (uint(e) * GROUPS + group) * 32 + lane;
      to_input[to] = sum_input[k0 + e];
      to_rate[to] = sum_rate[k0 + e];
      if (GATED) {
        to_y[to] = sum_y[k0 + e];
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint e = group; e < uint(SLICE); e += GROUPS) {
      const uint k = uint(k0) + e;
      if (k < count && live) {
        const size_t at = column + size_t(first + k) * d;
        const float x_k = inputs[k * 32 + lane];
        const float g = grads[k * 32 + lane];
        float all_input = 0.0f;
        float all_rate = 0.0f;
        float all_y = skip * x_k;
        for (uint m = 0; m < uint(GROUPS); m++) {
          const uint from = (e * GROUPS + m) * 32 + lane;
          all_input += to_input[from];
          all_rate += to_rate[from];
          if (GATED) {
            all_y += to_y[from];
          }
        }
        gx[at] = T(all_input * steps[k * 32 + lane] + g * skip);
        gdt[at] = U(all_input * x_k + all_rate);
        if (GATED) {
          const float gate = float(z[at]);
          const float open = las_sigmoid(gate);
          gz[at] = V(float(gy[at]) * all_y * open * (1.0f + gate * (1.0f - open)));
        }
      }
    }
    if (group == 0) {
      for (uint k = uint(k0); k < metal::min(count, uint(k0 + SLICE)); k++) {
        sum_D += grads[k * 32 + lane] * inputs[k * 32 + lane];
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
}
if (live) {
  for (int p = 0; p < OWN; p++) {
    const uint j = uint(p) * GROUPS + group;
    if (j < uint(N)) {
      gA[channel + j] = sum_A[p];
      gh0[channel + j] = gh[p];
    }
  }
  if (group == 0) {
    gD[size_t(row) * d + c] = sum_D;
  }
}
if (!GATED && block == 0 && row == 0 && group == 0 && lane == 0) {
  gz[0] = V(0.0f);
}
