// Shadow memory. Kernels are compiled with -fsanitize=thread, which calls __tsan_* before every access; these are ours.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "machine.h"

Buffer* find(u64 address, u32 bytes) {
  auto holds = [&](const Buffer& b) {
    return address >= reinterpret_cast<u64>(b.begin) && address + bytes <= reinterpret_cast<u64>(b.end);
  };
  if (machine.recent && holds(*machine.recent)) return machine.recent;
  for (Buffer& buffer : machine.buffers)
    if (holds(buffer)) return machine.recent = &buffer;
  return nullptr;
}

namespace {

enum class Mode { read, write, atomic };
constexpr u32 merged = 3;  // an alignment below the width of the access, so the compiler made it of smaller ones

const char* verb(Mode mode) { return mode == Mode::read ? "read" : mode == Mode::write ? "write" : "atomic access"; }

Text element_name(const Buffer& buffer, u64 index) { return buffer.name + "[" + number(index) + "]"; }

/// Did `access` happen before the running thread's next step? Never across threadgroups: nothing orders those.
bool ordered(const Access& access, int memory) {
  const Fiber& fiber = *machine.current;
  if (access.thread == 0 || access.thread == self()) return true;
  if ((access.thread - 1) / machine.group_threads != machine.group) return false;
  if (access.group_epoch < fiber.group_epoch[memory]) return true;
  const bool same_simdgroup = (access.thread - 1) % machine.group_threads / simd_width == fiber.simdgroup;
  return same_simdgroup && access.simd_epoch < fiber.simd_epoch[memory];
}

Access now(int memory, u64 pc) {
  const Fiber& fiber = *machine.current;
  return {self(), fiber.group_epoch[memory], fiber.simd_epoch[memory], static_cast<u32>(pc - machine.code_begin)};
}

/// Names the buffer nearest to an address outside all of them, then stops the launch.
void out_of_bounds(u64 address, u32 bytes, Mode mode, u64 pc) {
  if (address >= machine.code_begin && address < machine.code_end) {
    if (mode != Mode::read) fault("write to a constant", at(pc), "by " + name_thread(self()), true);
    return;
  }
  for (const Fiber& fiber : machine.fibers)
    if (address - reinterpret_cast<u64>(fiber.stack) < stack_bytes)
      fault("private memory", at(pc), "access to another thread's variable by " + name_thread(self()), true);
  const Buffer* nearest = nullptr;
  int64_t distance = int64_t{1} << 34;
  for (const Buffer& b : machine.buffers) {
    const auto begin = reinterpret_cast<int64_t>(b.begin), end = reinterpret_cast<int64_t>(b.end);
    const auto a = static_cast<int64_t>(address);
    const int64_t d = a < begin ? begin - a : a - end;
    if (d < distance) distance = d, nearest = &b;
  }
  Text what = Text(verb(mode)) + " of " + number(bytes) + " bytes at ";
  if (nearest) {
    const int64_t offset = static_cast<int64_t>(address) - reinterpret_cast<int64_t>(nearest->begin);
    const int64_t size = nearest->end - nearest->begin, element = nearest->element;
    const int64_t index = offset < 0 ? -((-offset + element - 1) / element) : offset / element;
    what += nearest->name + "[" + number(index) + "] (valid 0.." + number(size / element - 1) + ")";
  } else {
    what += "an address near no buffer";
  }
  fault("out of bounds", at(pc), what + " by " + name_thread(self()), true);
}

void race(Mode mode, const Access& other, const char* other_verb, const Text& where, u64 pc) {
  const Text what = Text(verb(mode)) + " of " + where + " by " + name_thread(self());
  fault("race", at(pc),
        what + " is unordered with a " + other_verb + " (" + at(machine.code_begin + other.pc) + ") by " +
            name_thread(other.thread),
        false);
}

void touch_element(Buffer& buffer, u64 index, Mode mode, u64 pc) {
  Shadow& shadow = buffer.shadow[index];
  const int memory = buffer.space == Space::threadgroup ? 1 : 0;
  if (mode != Mode::write && !shadow.initialised) {
    fault("uninitialised", at(pc), "read of unwritten " + element_name(buffer, index) + " by " + name_thread(self()),
          false);
    shadow.initialised = true;
  }
  const bool both_atomic = mode == Mode::atomic && shadow.atomic_write;
  if (!both_atomic && !ordered(shadow.write, memory))
    race(mode, shadow.write, "write", element_name(buffer, index), pc);
  if (mode == Mode::read) {
    if (shadow.read.thread != self()) shadow.older_read = shadow.read;
    shadow.read = now(memory, pc);
    return;
  }
  for (const Access& read : {shadow.read, shadow.older_read})
    if (!ordered(read, memory)) {
      race(mode, read, "read", element_name(buffer, index), pc);
      break;
    }
  shadow.write = now(memory, pc);
  shadow.initialised = true;
  shadow.atomic_write = mode == Mode::atomic;
}

/// `alignment`: what the access needs, 0 for nothing. An access of two merged elements needs no more than one does.
void touch(const void* pointer, u32 bytes, Mode mode, u64 pc, u32 alignment = 0) {
  if (!machine.options.checked || !machine.current) return;
  const u64 address = reinterpret_cast<u64>(pointer);
  if (++machine.accesses > machine.options.max_accesses)
    fault("endless loop", at(pc), "the limit of memory accesses is reached by " + name_thread(self()), true);
  if (address - reinterpret_cast<u64>(machine.current->stack) < stack_bytes) return;
  Buffer* buffer = find(address, bytes);
  if (!buffer) return out_of_bounds(address, bytes, mode, pc);
  const u32 needed = alignment == merged ? std::min(4u, buffer->element & -buffer->element) : alignment;
  if (needed && address & (needed - 1))
    fault("misaligned", at(pc),
          number(bytes) + "-byte access to " + buffer->name + " by " + name_thread(self()), true);
  if (mode != Mode::read && buffer->read_only)
    fault("write to an input", at(pc), buffer->name + " by " + name_thread(self()), true);
  if (buffer->read_only) return;
  const u64 offset = address - reinterpret_cast<u64>(buffer->begin);
  for (u64 i = offset / buffer->element; i <= (offset + bytes - 1) / buffer->element; i++)
    touch_element(*buffer, i, mode, pc);
}

}  // namespace

#define PC (reinterpret_cast<u64>(__builtin_return_address(0)) - 1)
#define READ_WRITE(prefix, n, alignment)                                                      \
  EXPORT void __tsan_##prefix##read##n(void* p) { touch(p, n, Mode::read, PC, alignment); }   \
  EXPORT void __tsan_##prefix##write##n(void* p) { touch(p, n, Mode::write, PC, alignment); } \
  EXPORT void __tsan_##prefix##read_write##n(void* p) {                                       \
    touch(p, n, Mode::read, PC, alignment);                                                   \
    touch(p, n, Mode::write, PC, alignment);                                                  \
  }
#define BOTH(n) READ_WRITE(, n, n) READ_WRITE(unaligned_, n, merged)
BOTH(1) BOTH(2) BOTH(4) BOTH(8) BOTH(16)

// Unused, but the names must exist.
EXPORT void __tsan_init() {}
EXPORT void __tsan_func_entry(void*) {}
EXPORT void __tsan_func_exit() {}
EXPORT void __tsan_read_range(void* p, u64 n) { touch(p, static_cast<u32>(n), Mode::read, PC); }
EXPORT void __tsan_write_range(void* p, u64 n) { touch(p, static_cast<u32>(n), Mode::write, PC); }
EXPORT void* __tsan_memcpy(void* to, const void* from, u64 n) {
  if (n) touch(from, static_cast<u32>(n), Mode::read, PC), touch(to, static_cast<u32>(n), Mode::write, PC);
  return std::memcpy(to, from, n);
}
EXPORT void* __tsan_memmove(void* to, const void* from, u64 n) {
  if (n) touch(from, static_cast<u32>(n), Mode::read, PC), touch(to, static_cast<u32>(n), Mode::write, PC);
  return std::memmove(to, from, n);
}
EXPORT void* __tsan_memset(void* to, int value, u64 n) {
  if (n) touch(to, static_cast<u32>(n), Mode::write, PC);
  return std::memset(to, value, n);
}
EXPORT void msl_atomic_touch(u64 address, u32 bytes) {
  touch(reinterpret_cast<void*>(address), bytes, Mode::atomic, PC);
}

/// A loop without memory accesses counts too: the compiler calls this once an edge.
EXPORT void __sanitizer_cov_trace_pc() {
  if (!machine.current || !machine.options.checked) return;
  if (++machine.accesses > machine.options.max_accesses)
    fault("endless loop", at(PC), "the limit of steps is reached by " + name_thread(self()), true);
}

/// The kernel's `threadgroup T name[..]`: the same array for every thread of the group, unwritten at the start.
EXPORT void* msl_group_array(u64 bytes, u64 element, const char* name, int line) {
  static char* arena = map_memory(4 << 20);
  const u32 index = machine.current->allocations++;
  const Text place = "line " + number(line);
  if (index == machine.group_arrays.size()) {
    machine.group_bytes += (bytes + 15) & ~15ull;
    if (machine.group_bytes > threadgroup_bytes)
      fault("threadgroup memory", place,
            Text(name) + " brings it to " + number(machine.group_bytes) + " bytes, Metal has 32768",
            true);
    char* begin = arena;
    if (!machine.group_arrays.empty()) begin = machine.buffers[machine.group_arrays.back()].end;
    begin = reinterpret_cast<char*>((reinterpret_cast<u64>(begin) + 15) & ~15ull) + threadgroup_red_zone;
    Buffer buffer;
    buffer.begin = begin;
    buffer.end = begin + bytes;
    buffer.name = Text("threadgroup ") + name;
    buffer.element = static_cast<u32>(element);
    buffer.space = Space::threadgroup;
    buffer.shadow.resize(bytes / element);
    std::memset(begin, poison, bytes);
    machine.group_arrays.push_back(machine.buffers.size());
    machine.buffers.push_back(buffer);
    machine.recent = nullptr;
  }
  Buffer& buffer = machine.buffers[machine.group_arrays[index]];
  if (static_cast<u64>(buffer.end - buffer.begin) != bytes)
    fault("threadgroup memory", place, Text("threads disagree about ") + name, true);
  return buffer.begin;
}
