// Which of the compiled instruction sets this processor runs: "avx512", "avx2" or "baseline" (SSE2 on x86-64, NEON on arm64).
// LASMLX_ISA names a lower one, for tests and comparisons.
#pragma once
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace las {

enum class Isa { baseline, avx2, avx512 };

inline const char* isa_name(Isa isa) {
  return isa == Isa::avx512 ? "avx512" : isa == Isa::avx2 ? "avx2" : "baseline";
}

inline std::vector<Isa> supported_isas() {
  std::vector<Isa> found{Isa::baseline};
#if defined(__x86_64__) && !defined(LAS_BASELINE_ONLY)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(Isa::avx2);
  if (found.size() == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
    found.push_back(Isa::avx512);
#endif
  return found;
}

inline Isa find_isa(const std::string& name) {
  std::string known;
  for (Isa isa : supported_isas()) {
    if (name == isa_name(isa)) return isa;
    known += (known.empty() ? "" : ", ") + std::string(isa_name(isa));
  }
  throw std::invalid_argument("isa: got '" + name + "', this processor runs " + known + ".");
}

inline Isa default_isa() {
  const char* wanted = std::getenv("LASMLX_ISA");
  return wanted && *wanted ? find_isa(wanted) : supported_isas().back();
}

}  // namespace las
