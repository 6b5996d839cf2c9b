// Undefined behaviour: kernels are compiled with -fsanitize=..., which calls __ubsan_handle_* with the place; these are
// ours. Alignment is checked here, as the text has it, and in memory.cpp, as the compiled code has it: clang checks no
// access to one component of a vector, and compiled code may read less than the vector.
#include "machine.h"

namespace {

struct SourceLocation {
  const char* file;
  u32 line, column;
};

struct TypeDescriptor {
  uint16_t kind, info;
  char name[1];  // "'float4'", cut off here, ends with 0
};

struct TypeMismatch {
  SourceLocation where;
  const TypeDescriptor* type;
  unsigned char log_alignment, use;
};

void undefined(const char* kind, const Text& what, const SourceLocation& where, bool fatal) {
  const Text place = (where.file ? Text(where.file) : "?") + ":" + number(where.line);
  fault(kind, place, what + " by " + (machine.current ? name_thread(self()) : "?"), fatal);
}

}  // namespace

#define UNDEFINED(name, what, fatal)                                   \
  EXPORT void __ubsan_handle_##name(SourceLocation* where, u64, u64) { \
    undefined("undefined behaviour", what, *where, fatal);             \
  }
UNDEFINED(out_of_bounds, "array index out of bounds", true)
UNDEFINED(add_overflow, "signed overflow in +", false)
UNDEFINED(sub_overflow, "signed overflow in -", false)
UNDEFINED(mul_overflow, "signed overflow in *", false)
UNDEFINED(negate_overflow, "signed overflow in negation", false)
UNDEFINED(divrem_overflow, "integer division by zero or overflow", true)
UNDEFINED(float_cast_overflow, "float outside the range of the integer", false)
UNDEFINED(missing_return, "function ends without a value", true)
UNDEFINED(builtin_unreachable, "unreachable code reached", true)

EXPORT void __ubsan_handle_type_mismatch_v1(TypeMismatch* mismatch, u64 address) {
  if (!machine.current || !machine.options.checked) return;
  const Buffer* buffer = find(address, 1);
  undefined("misaligned",
            Text(mismatch->type->name) + " needs " + number(1u << mismatch->log_alignment) +
                "-byte alignment, access to " + (buffer ? buffer->name : "memory"),
            mismatch->where, true);  // the processor may refuse it
}

/// Called before every shift by a variable (see compiler.py): `mask` is the width of the shifted value less 1.
EXPORT void msl_shift(u64 count, u64 mask) {
  if (!machine.current || !machine.options.checked || count <= mask) return;
  fault("undefined behaviour", at(reinterpret_cast<u64>(__builtin_return_address(0)) - 1),
        "shift by " + number(static_cast<int64_t>(count)) + ", the value has " + number(mask + 1) +
            " bits, by " + name_thread(self()),
        false);
}
