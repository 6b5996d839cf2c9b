// Switching stacks by hand: about ten nanoseconds, no system call.
#pragma once
#include "machine.h"

/// Saves the running context in `from`, continues `to`.
extern "C" void switch_context(Context* from, Context* to);

/// Lays out a fresh stack so that the first switch to it enters `entry`.
void prepare_stack(Fiber& fiber, void (*entry)());

/// Subnormals are zero while a kernel runs, as on the GPU.
class FlushSubnormals {
 public:
  FlushSubnormals();
  ~FlushSubnormals();

 private:
  u64 saved_;
};
