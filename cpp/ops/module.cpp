#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "mlx/compile.h"
#include "ops/ops.h"

namespace nb = nanobind;
using namespace nb::literals;

#define LAS_STRING_OF(x) #x
#define LAS_STRING(x) LAS_STRING_OF(x)

namespace {

std::string compiled_for() {
  return LAS_STRING(MLX_VERSION_MAJOR) "." LAS_STRING(MLX_VERSION_MINOR) "." LAS_STRING(MLX_VERSION_PATCH);
}

// glibc gives big blocks back to the kernel at every free; a training step then pays for the page faults anew.
bool keep_freed_memory() {
#if defined(__GLIBC__)
  return mallopt(M_MMAP_THRESHOLD, 1 << 30) && mallopt(M_TRIM_THRESHOLD, 1 << 30) && mallopt(M_TOP_PAD, 64 << 20);
#else
  return false;
#endif
}

}  // namespace

NB_MODULE(_ops, m) {
  nb::module_::import_("mlx.core");  // registers mx.array before a signature mentions it

  m.def("mlx_versions", [] { return std::make_pair(compiled_for(), std::string(mx::version())); });
  m.def("threads", [] { return las::Pool::get().size(); });
  m.def("isa", [] { return std::string(las::isa_name(las::isa())); });
  m.def("set_isa", [](const std::string& name) { las::set_isa(las::find_isa(name)); }, "name"_a);
  m.def("isas", [] {
    std::vector<std::string> names;
    for (auto isa : las::supported_isas()) names.push_back(las::isa_name(isa));
    return names;
  });
  m.def("exponentials_per_second", &las::exponentials_per_second);
  m.def("keep_freed_memory", &keep_freed_memory);
  m.def("set_compile_fusion", [](bool on) {
    mx::set_compile_mode(on ? mx::CompileMode::enabled : mx::CompileMode::no_fuse);
  }, "on"_a);

  m.def("selective_scan", &las::selective_scan, "x"_a, "dt"_a, "A"_a, "B"_a, "C"_a, "D"_a.none(), "z"_a.none(),
        "h0"_a.none(), "substeps"_a, "stream"_a = nb::none());
  m.def("causal_conv1d", &las::causal_conv1d, "x"_a, "weight"_a, "bias"_a.none(), "tail"_a.none(), "silu"_a,
        "stream"_a = nb::none());
  m.def("cfc_scan", &las::cfc_scan, "u"_a, "V"_a, "W"_a.none(), "b"_a.none(), "h0"_a.none(), "dt"_a, "mask"_a.none(),
        "gate"_a, "stream"_a = nb::none());
  m.def("rms_norm", &las::rms_norm, "x"_a, "weight"_a, "eps"_a, "stream"_a = nb::none());
  m.def("bounded_time_step", &las::bounded_time_step, "x"_a, "bias"_a, "dt_min"_a, "dt_max"_a, "stream"_a = nb::none());
  m.def("softplus_time_step", &las::softplus_time_step, "x"_a, "bias"_a, "stream"_a = nb::none());
  m.def("cross_entropy", &las::cross_entropy, "logits"_a, "targets"_a, "stream"_a = nb::none());
  m.def("lif_scan", &las::lif_scan, "u"_a, "neurons"_a, "state"_a.none(), "U"_a.none(), "hard"_a, "refractory"_a,
        "surrogate"_a, "slope"_a, "potential"_a, "stream"_a = nb::none());
  m.def("liquid_scan", &las::liquid_scan, "u"_a, "U"_a, "v"_a, "V"_a, "V2"_a.none(), "b2"_a.none(), "h0"_a.none(),
        "dt"_a, "low"_a, "high"_a, "solver"_a, "substeps"_a, "stream"_a = nb::none());
  m.def("ltc_scan", &las::ltc_scan, "x"_a, "sensory"_a, "recurrent"_a, "leak"_a, "h0"_a.none(), "dt"_a, "solver"_a,
        "substeps"_a, "stream"_a = nb::none());
  m.def("plastic_scan", &las::plastic_scan, "u"_a, "x"_a, "alpha"_a, "H0"_a.none(), "rate"_a, "keep"_a, "key"_a.none(),
        "target"_a.none(), "rule"_a, "stream"_a = nb::none());
  m.def("plastic_liquid_scan", &las::plastic_liquid_scan, "u"_a, "U"_a, "v"_a, "V"_a, "V2"_a.none(), "b2"_a.none(),
        "h0"_a.none(), "H0"_a.none(), "k0"_a.none(), "dt"_a, "x"_a, "alpha"_a, "rate"_a, "keep"_a, "low"_a, "high"_a,
        "solver"_a, "substeps"_a, "rule"_a, "lag"_a, "stream"_a = nb::none());
  m.def("bspline_linear", &las::bspline_linear, "x"_a, "C"_a, "W"_a.none(), "knots"_a, "degree"_a,
        "stream"_a = nb::none());
  m.def("adamw", &las::adamw, "p"_a, "g"_a, "m"_a, "v"_a, "scalars"_a, "b1"_a, "b2"_a, "eps"_a,
        "weight_decay"_a, "stream"_a = nb::none());
}
