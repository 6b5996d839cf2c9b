// Barriers and simd operations: a thread deposits its value, sleeps until its group has arrived, then reads.
#include <cmath>
#include <cstring>
#include <type_traits>

#include "machine.h"

namespace {

void wait(State state, int op, int line) {
  Fiber& fiber = *machine.current;
  fiber.state = state;
  fiber.op = op;
  fiber.line = line;
  sleep_until_scheduled();
}

void pass(u32 (&epoch)[2], int flags) {  // flags as in metal::mem_flags: 1 device, 2 threadgroup
  if (flags & 1) epoch[0]++;
  if (flags & 2) epoch[1]++;
}

Simdgroup& simdgroup() { return machine.simdgroups[machine.current->simdgroup]; }
int table() { return static_cast<int>((machine.current->exchanges - 1) & 1); }

// Mirrored in shim/metal_simdgroup.
enum Reduction {
  sum = 20,
  product,
  minimum,
  maximum,
  inclusive_sum,
  exclusive_sum,
  inclusive_product,
  exclusive_product,
  bit_and,
  bit_or,
  bit_xor
};

template <typename T>
T combine(T a, T b, int op) {
  switch (op) {
    case sum:
    case inclusive_sum:
    case exclusive_sum:
      return a + b;
    case product:
    case inclusive_product:
    case exclusive_product:
      return a * b;
    case minimum:
      return b < a ? b : a;
    case maximum:
      return a < b ? b : a;
  }
  if constexpr (std::is_integral_v<T>) {
    if (op == bit_and) return a & b;
    if (op == bit_or) return a | b;
    if (op == bit_xor) return a ^ b;
  }
  return a;
}

}  // namespace

EXPORT void msl_threadgroup_barrier(int flags, int line) {
  wait(State::threadgroup_barrier, 100, line);
  pass(machine.current->group_epoch, flags);
}

EXPORT void msl_simdgroup_barrier(int flags, int line) {
  wait(State::simdgroup_barrier, 101, line);
  pass(machine.current->simd_epoch, flags);
}

EXPORT u32 msl_lane() { return machine.current->lane; }

/// Shows `value` to the other lanes; returns the mask of lanes that take part.
EXPORT u64 msl_show(const void* value, u32 bytes, int op, int line) {
  Fiber& fiber = *machine.current;
  std::memcpy(simdgroup().table[fiber.exchanges++ & 1][fiber.lane].bytes, value, bytes);
  wait(State::simd_op, op, line);
  return simdgroup().active[table()];
}

/// Reads what `lane` showed.
EXPORT void msl_look(void* value, u32 bytes, u32 lane, int line) {
  if (lane >= simd_width || !(simdgroup().active[table()] >> lane & 1)) {
    const Text what =
        "read from lane " + number(static_cast<int>(lane)) + ", which is out of range or inactive, by ";
    fault("lane", "line " + number(line), what + name_thread(self()), false);
    std::memset(value, poison, bytes);
    return;
  }
  std::memcpy(value, simdgroup().table[table()][lane].bytes, bytes);
}

template <typename T>
static T reduce(T value, int op, int line) {
  const u64 active = msl_show(&value, sizeof value, op, line);
  const bool exclusive = op == exclusive_sum || op == exclusive_product;
  const bool prefix = op >= inclusive_sum && op <= exclusive_product;
  const u32 end = prefix ? machine.current->lane + (exclusive ? 0 : 1) : simd_width;
  T result = op == exclusive_product ? T(1) : T(0);
  bool first = true;
  for (u32 lane = 0; lane < end; lane++) {
    if (!(active >> lane & 1)) continue;
    T other;
    std::memcpy(&other, simdgroup().table[table()][lane].bytes, sizeof other);
    result = first ? other : combine(result, other, op);
    first = false;
  }
  return result;
}

EXPORT float msl_reduce_float(float value, int op, int line) { return reduce(value, op, line); }
EXPORT int msl_reduce_int(int value, int op, int line) { return reduce(value, op, line); }
EXPORT u32 msl_reduce_uint(u32 value, int op, int line) { return reduce(value, op, line); }

/// A fast:: function may be this many units in the last place off: move it there, at random, when fuzzing.
EXPORT float msl_fuzz(float x, float ulps) {
  if (machine.options.fuzz == 0 || !std::isfinite(x)) return x;
  const auto unit = static_cast<float>(static_cast<double>(random_number() >> 11) / 4503599627370496.0 - 1.0);
  return x + x * unit * machine.options.fuzz * ulps * 0x1p-23f;
}
