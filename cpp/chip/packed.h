// An int8 chip laid out for one instruction set: vectors padded to PAD lanes, matrices in panels, tables packed.
#pragma once
#include "chip/chip.h"
#include "simd/arena.h"
#include "simd/panel.h"

namespace las::chip {

// floor(v m / 2^s + 1/2) in doubles: v gain + half is exact, and never halfway between two integers.
struct Gain {
  const double *gain, *half;
};

struct PackedLinear {
  int in, out;  // padded
  const int8_t* weight;
  const int32_t* row_sum;  // (out,)
  const int32_t* bias;     // (out,)
  Gain scale;
};

struct PackedLayer {
  PackedLinear in_proj, x_proj, dt_proj, out_proj;
  const int32_t *conv, *conv_bias;  // (k, e), (e,)
  Gain norm, conv_scale, x, drive, read, skip, gate;
  const uint16_t* A;  // [e / W][n][W]
};

struct Packed {
  Config config;
  int d_pad, e_pad, low_pad;
  const int16_t* embedding;  // (256, d), shifted
  const PackedLayer* layers;
  Gain norm;
  PackedLinear head;
  const int32_t *sigmoid, *exp2;  // value 2^15 + difference to the next, one a piece
  const int32_t* rsqrt;           // as in the chip
};

struct Buffers {
  int32_t *u, *z, *s, *dt, *drive, *y;  // (d), (e) ...
  int8_t *q, *low;                      // activations of the next product; of dt_proj's
  int32_t* mixed;                       // (rank + 2 n): B and C behind low
  int32_t* tail;                        // (layers, k - 1, e)
  int32_t* h;                           // (layers, [e / W][n][W])
  uint32_t* random;                     // (layers, e)
  int32_t* logits;                      // (256,)
};

using Step = void (*)(const Packed&, const Buffers&, int byte);

}  // namespace las::chip

namespace baseline {
void chip_step(const las::chip::Packed&, const las::chip::Buffers&, int byte);
void chip_scan(const las::chip::Packed&, const las::chip::Buffers&, int layer);  // of a step, alone: to be timed
}
#if defined(__x86_64__)
namespace avx2 {
void chip_step(const las::chip::Packed&, const las::chip::Buffers&, int byte);
void chip_scan(const las::chip::Packed&, const las::chip::Buffers&, int layer);  // of a step, alone: to be timed
}
namespace avx512 {
void chip_step(const las::chip::Packed&, const las::chip::Buffers&, int byte);
void chip_scan(const las::chip::Packed&, const las::chip::Buffers&, int layer);  // of a step, alone: to be timed
}
#endif
