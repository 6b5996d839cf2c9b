// y_t = act(bias + sum_j weight_j x_{t-K+1+j}), channel by channel; inputs before the first come from tail.
//
// x, y: (b, t, d); weight: (d, K), the oldest tap first; bias: (d); tail: (b, max(K - 1, 1), d), not read if K = 1.
// gx: (b, t, d); gtail as tail; gweight: (b, ceil(t / SPAN), K, d) and gbias: (b, ceil(t / SPAN), d), float32, are
// partial sums, one a thread: no atomics, the same bits every run.
//
// Templates: T the type of x, W of tail; K taps; SPAN steps a thread; SILU whether act is silu (else it is nothing).
// Inputs are float, half or bfloat; everything inside is float.
//
// forward     one lane a channel and a span of time, grid (d padded to 32, ceil(t / SPAN), b). 2 K + 8 registers.
// backward    the same, with K - 1 steps more: the gradient of an input waits for the K - 1 outputs after it.
//             4 K + 12 registers. No threadgroup memory in either, no barrier, any group.
//
// A line "// kernel: name (inputs) -> (outputs)" starts a kernel's body; the text above the first is their header.

inline float las_sigmoid(float x) {
  return 1.0f / (1.0f + metal::precise::exp(-x));
}

// kernel: forward (x, weight, bias, tail) -> (y)
const uint t = uint(x_shape[1]);
const uint d = uint(x_shape[2]);
const uint c = thread_position_in_grid.x;
const uint start = thread_position_in_grid.y * SPAN;
const uint row = thread_position_in_grid.z;
if (c >= d || start >= t) {
  return;
}
const float offset = float(bias[c]);
float taps[K];
float past[K];  // the K newest inputs, the oldest first
past[0] = 0.0f;
for (int j = 0; j < K; j++) {
  taps[j] = float(weight[size_t(c) * K + j]);
}
for (int j = 1; j < K; j++) {
  const uint i = start + uint(j);  // input i - K
  past[j] = i >= uint(K) ? float(x[(size_t(row) * t + (i - K)) * d + c])
                         : float(tail[(size_t(row) * (K - 1) + (i - 1)) * d + c]);
}
size_t at = (size_t(row) * t + start) * d + c;
const uint stop = metal::min(t, start + SPAN);
for (uint i = start; i < stop; i++) {
  for (int j = 0; j < K - 1; j++) {
    past[j] = past[j + 1];
  }
  past[K - 1] = float(x[at]);
  float sum = offset;
  for (int j = 0; j < K; j++) {
    sum += taps[j] * past[j];
  }
  if (SILU) {
    sum *= las_sigmoid(sum);
  }
  y[at] = T(sum);
  at += d;
}

// kernel: backward (x, weight, bias, tail, gy) -> (gx, gtail, gweight, gbias)
const uint t = uint(x_shape[1]);
const uint d = uint(x_shape[2]);
const uint c = thread_position_in_grid.x;
const uint span = thread_position_in_grid.y;
const uint start = span * SPAN;
const uint row = thread_position_in_grid.z;
if (c >= d || start >= t) {
  return;
}
const float offset = float(bias[c]);
float taps[K];
float past[K];      // the K newest inputs, the oldest first
float grads[K];     // the gradients of the K newest sums before act
float to_taps[K];
float to_bias = 0.0f;
past[0] = 0.0f;
for (int j = 0; j < K; j++) {
  taps[j] = float(weight[size_t(c) * K + j]);
  grads[j] = 0.0f;
  to_taps[j] = 0.0f;
}
for (int j = 1; j < K; j++) {
  const uint i = start + uint(j);  // input i - K
  past[j] = i >= uint(K) ? float(x[(size_t(row) * t + (i - K)) * d + c])
                         : float(tail[(size_t(row) * (K - 1) + (i - 1)) * d + c]);
}
const uint stop = metal::min(t, start + SPAN);
for (uint i = start; i < stop + K - 1; i++) {
  for (int j = 0; j < K - 1; j++) {
    past[j] = past[j + 1];
    grads[j] = grads[j + 1];
  }
  past[K - 1] = 0.0f;
  grads[K - 1] = 0.0f;
  if (i < t) {
    const size_t at = (size_t(row) * t + i) * d + c;
    float g = float(gy[at]);
    past[K - 1] = float(x[at]);
    if (SILU) {
      float sum = offset;
      for (int j = 0; j < K; j++) {
        sum += taps[j] * past[j];
      }
      const float open = las_sigmoid(sum);
      g *= open * (1.0f + sum * (1.0f - open));
    }
    grads[K - 1] = g;
  }
  if (i < stop) {
    to_bias += grads[K - 1];
    for (int j = 0; j < K; j++) {
      to_taps[j] += grads[K - 1] * past[j];
    }
  }
  float sum = 0.0f;  // the gradient of input i - K + 1
  for (int j = 0; j < K; j++) {
    sum += taps[j] * grads[K - 1 - j];
  }
  if (i + 1 >= start + K) {
    gx[(size_t(row) * t + (i + 1 - K)) * d + c] = T(sum);
  } else if (span == 0) {
    gtail[(size_t(row) * (K - 1) + i) * d + c] = W(sum);
  }
}
if (K == 1 && span == 0) {
  gtail[size_t(row) * d + c] = W(0.0f);
}
const size_t part = size_t(row) * ((t + SPAN - 1) / SPAN) + span;
gbias[part * d + c] = to_bias;
for (int j = 0; j < K; j++) {
  gweight[(part * K + j) * d + c] = to_taps[j];
}
