#include "fiber.h"

#include <cstring>

#if defined(__x86_64__)

asm(R"(
.text
.globl switch_context
.type switch_context,@function
switch_context:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq (%rsi), %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

void prepare_stack(Fiber& fiber, void (*entry)()) {
  constexpr int saved_registers = 6;
  auto* top = reinterpret_cast<u64*>(fiber.stack + stack_bytes - 64);
  *--top = 0;  // keeps the stack 16-byte aligned at entry
  *--top = reinterpret_cast<u64>(entry);
  for (int i = 0; i < saved_registers; i++) *--top = 0;
  fiber.context.stack_pointer = top;
}

FlushSubnormals::FlushSubnormals() {
  u32 control;
  asm volatile("stmxcsr %0" : "=m"(control));
  saved_ = control;
  control |= 0x8040;  // flush to zero, denormals are zero
  asm volatile("ldmxcsr %0" ::"m"(control));
}

FlushSubnormals::~FlushSubnormals() {
  const u32 control = static_cast<u32>(saved_);
  asm volatile("ldmxcsr %0" ::"m"(control));
}

#elif defined(__aarch64__)

asm(R"(
.text
.globl switch_context
.type switch_context,%function
switch_context:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  ldr x9, [x1]
  mov sp, x9
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");

void prepare_stack(Fiber& fiber, void (*entry)()) {
  constexpr size_t frame = 160, link_register = 88;
  char* top = fiber.stack + stack_bytes - 64 - frame;
  std::memset(top, 0, frame);
  const u64 address = reinterpret_cast<u64>(entry);
  std::memcpy(top + link_register, &address, sizeof address);
  fiber.context.stack_pointer = top;
}

FlushSubnormals::FlushSubnormals() {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" ::"r"(saved_ | (1ull << 24)));
}

FlushSubnormals::~FlushSubnormals() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }

#else
#error "metal_check runs on x86-64 and arm64"
#endif
