// What module.cpp offers to Python. Shapes and meanings: lasmlx/ops/<name>.py, which checks them first.
#pragma once
#include "ops/primitive.h"

namespace las {

using MaybeArray = std::optional<mx::array>;
using MaybeStream = std::optional<mx::Stream>;

Arrays selective_scan(mx::array x, mx::array dt, mx::array A, mx::array B, mx::array C, MaybeArray D, MaybeArray z,
                      MaybeArray h0, float substeps, MaybeStream stream);
Arrays causal_conv1d(mx::array x, mx::array weight, MaybeArray bias, MaybeArray tail, bool silu, MaybeStream stream);
mx::array cfc_scan(mx::array u, mx::array V, MaybeArray W, MaybeArray b, MaybeArray h0, mx::array dt, MaybeArray mask,
                   bool gate, MaybeStream stream);
mx::array rms_norm(mx::array x, mx::array weight, float eps, MaybeStream stream);
mx::array bounded_time_step(mx::array x, mx::array bias, float dt_min, float dt_max, MaybeStream stream);
mx::array softplus_time_step(mx::array x, mx::array bias, MaybeStream stream);
mx::array cross_entropy(mx::array logits, mx::array targets, MaybeStream stream);
Arrays lif_scan(mx::array u, mx::array neurons, MaybeArray state, MaybeArray U, bool hard, int refractory,
                const std::string& surrogate, float slope, bool potential, MaybeStream stream);
mx::array liquid_scan(mx::array u, mx::array U, mx::array v, mx::array V, MaybeArray V2, MaybeArray b2, MaybeArray h0,
                      mx::array dt, float low, float high, const std::string& solver, int substeps, MaybeStream stream);
mx::array ltc_scan(mx::array x, Arrays sensory, Arrays recurrent, Arrays leak, MaybeArray h0, mx::array dt,
                   const std::string& solver, int substeps, MaybeStream stream);
Arrays plastic_scan(mx::array u, mx::array x, mx::array alpha, MaybeArray H0, mx::array rate, mx::array keep,
                    MaybeArray key, MaybeArray target, const std::string& rule, MaybeStream stream);
Arrays plastic_liquid_scan(mx::array u, mx::array U, mx::array v, mx::array V, MaybeArray V2, MaybeArray b2,
                           MaybeArray h0, MaybeArray H0, MaybeArray k0, mx::array dt, mx::array x, mx::array alpha,
                           mx::array rate, mx::array keep, float low, float high, const std::string& solver,
                           int substeps, const std::string& rule, int lag, MaybeStream stream);
mx::array bspline_linear(mx::array x, mx::array C, MaybeArray W, mx::array knots, int degree, MaybeStream stream);
Arrays adamw(mx::array p, mx::array g, mx::array m, mx::array v, mx::array scalars, float b1, float b2, float eps,
             float weight_decay, MaybeStream stream);

}  // namespace las
