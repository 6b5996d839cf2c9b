// What the compiler, or headers of the C++ library, call behind one's back and older or absent libraries do not have.
#include "library.h"

#include <bit>
#include <cstdio>

#define EXPORT extern "C" __attribute__((visibility("default")))

Text number(int64_t value) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%lld", static_cast<long long>(value));
  return digits;
}

#ifdef _LIBCPP_VERSION
void std::__libcpp_verbose_abort(const char*, ...) noexcept { std::abort(); }
#endif

/// Float to bfloat, ties to even.
EXPORT __bf16 __truncsfbf2(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const bool nan = (bits & 0x7fffffff) > 0x7f800000;
  return std::bit_cast<__bf16>(
      static_cast<uint16_t>(nan ? (bits >> 16) | 64 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16));
}

#if defined(__x86_64__)
/// Float to half, ties to even; subnormal halves too.
EXPORT _Float16 __truncsfhf2(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  uint32_t half;
  if (size > 0x7f800000) {
    half = 0x7e00;
  } else if (size >= 0x477ff000) {  // 65520 and above
    half = 0x7c00;
  } else if (size >= 0x38800000) {  // 2^-14 and above
    half = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
  } else {
    const auto steps = std::bit_cast<float>(size) * 0x1p24f;  // of 2^-24, below 1024
    half = static_cast<uint32_t>(steps);
    const float rest = steps - static_cast<float>(half);
    half += rest > 0.5f || (rest == 0.5f && (half & 1));
  }
  return std::bit_cast<_Float16>(static_cast<uint16_t>(sign | half));
}

EXPORT float __extendhfsf2(_Float16 x) {
  const uint32_t bits = std::bit_cast<uint16_t>(x), sign = bits & 0x8000, size = bits & 0x7fff;
  if (size < 0x400) return std::bit_cast<float>(sign << 16 | std::bit_cast<uint32_t>(static_cast<float>(size) * 0x1p-24f));
  const uint32_t exponent = size >= 0x7c00 ? 0x70000000 : 0x38000000;
  return std::bit_cast<float>(sign << 16 | (exponent + (size << 13)));
}
#endif
