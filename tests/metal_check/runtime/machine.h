// The machine the kernels run on: threads as fibers, simdgroups of 32 lanes, buffers with shadow memory.
// Everything is global because clang's instrumentation calls plain C functions; one launch runs at a time.
#pragma once
#include <cstddef>
#include <cstdint>

#include "library.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

using u32 = uint32_t;
using u64 = uint64_t;

constexpr u32 simd_width = 32;
constexpr size_t stack_bytes = 256 << 10;
constexpr size_t red_zone = 64 << 10;          // bytes around every buffer
constexpr size_t threadgroup_bytes = 32768;    // what Metal promises
constexpr size_t threadgroup_red_zone = 4096;  // bytes around every threadgroup array
constexpr unsigned char poison = 0xff;         // NaN as a float, -1 as an integer

enum class Space { device, threadgroup, constant };
enum class State { ready, simd_op, simdgroup_barrier, threadgroup_barrier, returned };

/// Where a fiber sleeps: its stack pointer.
struct Context {
  void* stack_pointer = nullptr;
};

/// One GPU thread.
struct Fiber {
  Context context;
  char* stack = nullptr;
  State state = State::ready;
  u32 index = 0, lane = 0, simdgroup = 0;  // in the threadgroup
  int op = 0, line = 0;                    // the collective it waits at
  u32 group_epoch[2] = {};                 // threadgroup barriers passed that order {device, threadgroup} memory
  u32 simd_epoch[2] = {};                  // the same for simdgroup barriers
  u64 exchanges = 0;                       // simd operations so far; parity picks the table
  u32 allocations = 0;                     // threadgroup arrays declared so far
};

/// What 32 lanes show each other. Two tables, so a fast lane may write the next before a slow one has read this.
struct Simdgroup {
  struct Value {
    alignas(16) char bytes[32];
  };
  u64 active[2] = {};
  Value table[2][simd_width];
};

/// Who touched an element last and at which barrier epochs: enough to decide happens-before.
struct Access {
  u32 thread = 0;  // global number + 1; 0 is nobody
  u32 group_epoch = 0, simd_epoch = 0;
  u32 pc = 0;
};

struct Shadow {
  Access write, read, older_read;
  bool initialised = false, atomic_write = false;
};

struct Buffer {
  char* begin = nullptr;
  char* end = nullptr;
  Text name;
  u32 element = 1;  // bytes
  Space space = Space::device;
  bool read_only = false;
  void* mapping = nullptr;
  size_t mapped = 0;
  List<Shadow> shadow;
};

/// What a kernel can ask about its place; mirrored in prepare.py.
struct Place {
  u32 thread_in_grid[3], thread_in_group[3], group_in_grid[3], groups[3], threads[3], group_size[3], dispatch_size[3],
      origin[3];
  u32 index, lane, simdgroup, simdgroups, dispatch_simdgroups;
};

struct Options {
  int checked, order;  // order: 0 forward, 1 reverse, 2 random
  float fuzz;
  u32 seed;
  u64 max_accesses;
};

struct Machine {
  Options options{};
  Context scheduler;
  List<Fiber> fibers;
  List<Simdgroup> simdgroups;
  List<Place> places;
  List<Buffer> buffers;
  List<size_t> group_arrays;  // indices into buffers
  List<u64> arguments;
  Fiber* current = nullptr;
  Buffer* recent = nullptr;  // the buffer found last, tried first
  u32 group = 0, group_threads = 1;
  u64 code_begin = 0, code_end = 0;  // where the kernel's library is mapped
  u64 accesses = 0, switches = 0, group_bytes = 0, random_state = 1;
  bool stopped = false;
  Text report;
};

extern Machine machine;

inline u32 self() { return machine.group * machine.group_threads + machine.current->index + 1; }
inline u64 random_number() {
  u64& x = machine.random_state;
  x ^= x << 13;
  x ^= x >> 7;
  return x ^= x << 17;
}

/// The buffer that holds all of these bytes, or null.
Buffer* find(u64 address, u32 bytes);
Text name_thread(u32 thread);
/// Adds one line "kind \t place \t message"; `place` is "@pc", "line N" or "file:line". Fatal faults end the launch.
void fault(const char* kind, const Text& place, const Text& message, bool fatal);
Text at(u64 pc);
void sleep_until_scheduled();
char* map_memory(size_t bytes);
