// What the per-instruction-set kernels take and the table through which they are called. No MLX here.
#pragma once
#include <cstdint>

namespace las {

enum class Scalar { f32, f16, bf16 };

struct View {  // a strided (b, t, d) array of any of the three element types; strides in elements
  void* data = nullptr;
  Scalar type = Scalar::f32;
  int64_t stride[3] = {0, 0, 0};
};

constexpr int SEGMENT = 32;  // time steps between two kept states: the backward pass recomputes those in between

struct ScanForward {
  int b, t, d, n;
  float inverse_substeps;  // 1/K; 0 is exact zero-order hold
  View x, dt, B, C, z;     // z.data == nullptr: no gate
  const float *A, *D, *h0;
  View y;
  float *h_last, *checkpoints;  // checkpoints: (b, segments, blocks, n, lanes)
};

struct ScanBackward {
  ScanForward f;  // y and h_last unused
  View gy;
  const float* gh_last;
  View gx, gdt, gz;
  float *gA, *gD, *gh0;  // (b, d, n), (b, d), (b, d, n): one partial sum a batch row
  float *gB, *gC;        // (parts, b, t, n): one partial sum a group of channel blocks
};

struct ConvForward {
  int b, t, d, k;
  bool silu;
  View x, tail;                // (b, t, d), (b, k - 1, d)
  const float *weight, *bias;  // (d, k), (d,)
  View y, new_tail;
};

struct ConvBackward {
  ConvForward f;
  View gy, gnew_tail, gx, gtail;
  float *gweight, *gbias;  // (b, d, k), (b, d): one partial sum a batch row
};

struct Bspline {  // dense float32
  int d, out, K, degree;
  const float *x, *C, *W, *knots;  // (rows, d), (d, K, out), (d, out) or null, (d, K + degree + 1)
  float* y;                        // (rows, out)
};

struct BsplineGrad {
  Bspline f;  // y unused
  const float* gy;
  float *gx, *gC, *gW;  // as x, C and W: of the rows and features of a call, gC and gW sums over its rows
};

enum class LifSurrogate { fast_sigmoid, arctan, triangular, straight_through };

struct LifScan {
  int b, t, d;
  bool hard, adapts, rests;  // rests: whether a neuron may have to
  float refractory;          // elements
  View u, state;             // (b, t, d); (b, 4, d): v, s, rest, a
  const float *neurons, *U;  // (4 or, where none adapts, 2, d): beta, theta, kappa, rho; (d, d) or null
  View s, potential;         // as u; potential.data == nullptr: not asked for
  float *after, *checkpoints;  // as state; (b, (t - 1) / SEGMENT, 1 to 3, d): v, rest, a before every SEGMENT-th element
};
struct LifScanGrad {
  LifScan f;  // s as it was returned
  LifSurrogate surrogate;
  float slope;
  View gs, gpotential, gafter, gu;
  float *gneurons, *gstate;  // (b, 4 or 2, d): one partial sum a batch row; as state
};

struct CfcScan {  // dense float32 arrays
  int b, t, hidden, inner;       // inner: m, the units of z; 4 hidden where W is null and there is no z
  bool gate, per_unit;           // per_unit: dt is (b, t, hidden), else (b, t)
  const float *u, *V, *h0, *dt;  // (b, t, m), (m, hidden), (b, hidden), seconds
  const float *W, *bias;         // (4 hidden, m), (4 hidden,), or null
  const bool* mask;              // (b, t), or null
  float* h;                      // (b, t, hidden), after each element
};
struct CfcScanGrad {
  CfcScan f;
  const float* gh;  // (b, t, hidden), by strides: often a broadcast
  int64_t gh_stride[3];
  float *gu, *gh0, *gdt;
  float *gV, *gW, *gbias;  // (parts, ...): one partial sum a part of the batch
};

enum class Solver { euler, midpoint, fused };

struct Liquid {  // what both liquid scans take: dense float32 arrays
  int b, t, hidden;
  Solver solver;
  int substeps;
  const float *h0, *dt;  // (b, hidden); (b, t), seconds
  float* h;              // (b, t, hidden), after each element
};
struct LiquidGrad {
  const float* gh;    // (b, t, hidden), by strides: often a broadcast
  int64_t gh_stride[3];
  float *gh0, *gdt;   // as h0 and dt
};

struct LiquidScan : Liquid {
  int inner;             // m, the size of v and of tau's hidden layer; where V2 is null there is none and it is hidden
  float low, range;      // seconds; range unused with V2
  const float *u, *U;    // (b, t, hidden), (hidden, hidden)
  const float *v, *V;    // (b, t, m), (m, hidden)
  const float *V2, *b2;  // (hidden, m), (hidden,), or null
};
struct LiquidScanGrad : LiquidGrad {
  LiquidScan f;
  float *gu, *gv;                // as u and v
  float *gU, *gV, *gV2, *gb2;    // (parts, ...): one partial sum a part of the batch
};

struct SynapseArrays {
  const float *w, *mu, *sigma, *erev;  // (pre, hidden)
};
struct SynapseSums {
  float *w, *mu, *sigma, *erev;  // (parts, pre, hidden)
};
struct LtcScan : Liquid {
  int inputs;
  const float* x;  // (b, t, inputs)
  SynapseArrays sensory, recurrent;
  const float *g, *v, *cm;  // (hidden,)
};
struct LtcScanGrad : LiquidGrad {
  LtcScan f;
  float* gx;
  SynapseSums gsensory, grecurrent;
  float *gg, *gv, *gcm;  // (parts, hidden)
};

enum class Rule { hebb, oja, delta };

struct PlasticScan {  // dense float32 arrays
  int b, t, g, m, n;
  Rule rule;
  const float *u, *x, *alpha, *H0;  // (b, t, g, m), (b, t, g, n), (g, m, n), (b, g, m, n)
  const float *rate, *keep;         // (b, t, g)
  const float *key, *target;        // as x and u, or null: x and tanh(y)
  float *y, *H, *checkpoints;       // as u and H0; (b, (t - 1) / SEGMENT, g, m, n): before every SEGMENT-th element
};
struct PlasticScanGrad {
  PlasticScan f;  // y as it was returned
  const float *gy, *gH;
  float *gu, *gH0, *gtarget;
  float *gx, *gkey, *grate, *gkeep;  // (unit parts, ...): one partial sum a part of the units
  float* galpha;                     // (batch parts, g, m, n): one partial sum a part of the batch
};
struct PlasticPart {  // batch rows [row0, row1) and units [unit0, unit1) of all heads together
  int row0, row1, unit0, unit1;
  int of_batch, of_units;  // which part it is
};

constexpr int LIQUID_SEGMENT = 16;  // elements between two kept traces of a liquid layer, all of whose rows are needed at once

struct PlasticLiquid : LiquidScan {
  int inputs, g;
  Rule rule;
  int lag;                           // h is written with the key so many elements before it
  const float *x, *alpha, *H0, *k0;  // (b, t, inputs), (g, m, n), (b, g, m, n), (b, g, n)
  const float *rate, *keep;          // (b, t)
  float *drive, *H, *checkpoints;    // u and what the traces add; as H0; (b, (t - 1) / LIQUID_SEGMENT, g, m, n)
  int m() const { return hidden / g; }
  int n() const { return (inputs + hidden) / g; }
};
struct PlasticLiquidGrad : LiquidScanGrad {
  PlasticLiquid p;                                 // f with what belongs to the traces; its drive stands in f.u
  const float* gH;
  float *gx, *gH0, *gk0, *grate, *gkeep, *galpha;  // galpha: (parts, g, m, n)
};

struct Rows {  // row-wise kernels run over rows [r0, r1) of contiguous float32 arrays with d columns
  int64_t r0, r1;
  int d;
};

struct AdamW {
  const float *p, *g, *m, *v;
  float *p_out, *m_out, *v_out;
  float lr, b1, b2, eps, weight_decay, scale, bias_correction;
};

struct Kernels {
  int lanes;
  void (*scan_forward)(const ScanForward&, int row, int block0, int block1);
  void (*scan_backward)(const ScanBackward&, int row, int part, int block0, int block1);
  void (*conv_forward)(const ConvForward&, int row, int d0, int d1);
  void (*conv_backward)(const ConvBackward&, int row, int d0, int d1);
  void (*cfc_forward)(const CfcScan&, int row0, int row1);
  void (*cfc_backward)(const CfcScanGrad&, int part, int row0, int row1);
  void (*rms_norm)(const Rows&, const float* x, const float* w, float eps, float* y);
  void (*rms_norm_grad)(const Rows&, const float* x, const float* w, float eps, const float* gy, float* gx, float* gw);
  void (*bounded)(const Rows&, const float* x, const float* bias, float lo, float hi, float* y);
  void (*bounded_grad)(const Rows&, const float* x, const float* bias, float lo, float hi, const float* gy, float* gx,
                       float* gbias);
  void (*softplus)(const Rows&, const float* x, const float* bias, float* y);
  void (*softplus_grad)(const Rows&, const float* x, const float* bias, const float* gy, float* gx, float* gbias);
  void (*cross_entropy)(const Rows&, const float* logits, const int32_t* target, float* loss, float* lse);
  void (*cross_entropy_grad)(const Rows&, const float* logits, const int32_t* target, const float* lse, const float* gloss,
                             float* glogits);
  void (*adamw)(const AdamW&, int64_t i0, int64_t i1);
  void (*lif_forward)(const LifScan&, int row, int d0, int d1);
  void (*lif_backward)(const LifScanGrad&, int row, int d0, int d1);
  void (*lif_recurrent_forward)(const LifScan&, int row0, int row1);
  void (*lif_recurrent_backward)(const LifScanGrad&, int row0, int row1);
  void (*liquid_forward)(const LiquidScan&, int row0, int row1);
  void (*liquid_backward)(const LiquidScanGrad&, int part, int row0, int row1);
  void (*ltc_forward)(const LtcScan&, int row0, int row1);
  void (*ltc_backward)(const LtcScanGrad&, int part, int row0, int row1);
  void (*plastic_forward)(const PlasticScan&, const PlasticPart&);
  void (*plastic_backward)(const PlasticScanGrad&, const PlasticPart&);
  void (*plastic_liquid_forward)(const PlasticLiquid&, int row0, int row1);
  void (*plastic_liquid_backward)(const PlasticLiquidGrad&, int part, int row0, int row1);
  void (*bspline_forward)(const Bspline&, int64_t r0, int64_t r1);
  void (*bspline_backward)(const BsplineGrad&, int64_t r0, int64_t r1, int i0, int i1);
  float (*exponentials)(int64_t vectors);  // computes so many vectors of exp and nothing else: the bound of the scan
};

const Kernels& kernels();  // of the instruction set in use

}  // namespace las

#define LAS_DECLARE_KERNELS(isa)                                                                                          \
  namespace isa {                                                                                                         \
  void scan_forward(const las::ScanForward&, int, int, int);                                                              \
  void scan_backward(const las::ScanBackward&, int, int, int, int);                                                       \
  void conv_forward(const las::ConvForward&, int, int, int);                                                              \
  void conv_backward(const las::ConvBackward&, int, int, int);                                                            \
  void cfc_forward(const las::CfcScan&, int, int);                                                                        \
  void cfc_backward(const las::CfcScanGrad&, int, int, int);                                                              \
  void rms_norm(const las::Rows&, const float*, const float*, float, float*);                                             \
  void rms_norm_grad(const las::Rows&, const float*, const float*, float, const float*, float*, float*);                  \
  void bounded(const las::Rows&, const float*, const float*, float, float, float*);                                       \
  void bounded_grad(const las::Rows&, const float*, const float*, float, float, const float*, float*, float*);            \
  void softplus(const las::Rows&, const float*, const float*, float*);                                                    \
  void softplus_grad(const las::Rows&, const float*, const float*, const float*, float*, float*);                         \
  void cross_entropy(const las::Rows&, const float*, const int32_t*, float*, float*);                                     \
  void cross_entropy_grad(const las::Rows&, const float*, const int32_t*, const float*, const float*, float*);            \
  void adamw(const las::AdamW&, int64_t, int64_t);                                                                        \
  void lif_forward(const las::LifScan&, int, int, int);                                                                   \
  void lif_backward(const las::LifScanGrad&, int, int, int);                                                              \
  void lif_recurrent_forward(const las::LifScan&, int, int);                                                              \
  void lif_recurrent_backward(const las::LifScanGrad&, int, int);                                                         \
  void liquid_forward(const las::LiquidScan&, int, int);                                                                  \
  void liquid_backward(const las::LiquidScanGrad&, int, int, int);                                                        \
  void ltc_forward(const las::LtcScan&, int, int);                                                                        \
  void ltc_backward(const las::LtcScanGrad&, int, int, int);                                                              \
  void plastic_forward(const las::PlasticScan&, const las::PlasticPart&);                                                 \
  void plastic_backward(const las::PlasticScanGrad&, const las::PlasticPart&);                                            \
  void plastic_liquid_forward(const las::PlasticLiquid&, int, int);                                                       \
  void plastic_liquid_backward(const las::PlasticLiquidGrad&, int, int, int);                                             \
  void bspline_forward(const las::Bspline&, int64_t, int64_t);                                                            \
  void bspline_backward(const las::BsplineGrad&, int64_t, int64_t, int, int);                                             \
  float exponentials(int64_t);                                                                                            \
  }
LAS_DECLARE_KERNELS(baseline)
LAS_DECLARE_KERNELS(avx2)
LAS_DECLARE_KERNELS(avx512)
