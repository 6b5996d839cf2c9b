// as_type, and the line a collective stands in.
#pragma once
#define MSL_LINE int line = __builtin_LINE()

template <typename T, typename U>
constexpr T __msl_bit_cast(U x) {
  static_assert(sizeof(T) == sizeof(U), "as_type: sizes differ");
  return __builtin_bit_cast(T, x);
}
template <typename T, typename U>
constexpr T as_type(U x) {
  return __msl_bit_cast<T>(x);
}
