// Runs a grid: one threadgroup after another, its threads as fibers, released together at every collective.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "fiber.h"
#include "machine.h"

Machine machine;

namespace {

using Kernel = void (*)(u64* arguments, const Place* place);
Kernel kernel;
constexpr int max_reports = 20;
List<Text> reported;

const char* name_of(State state) {
  switch (state) {
    case State::simd_op:
      return "a simd operation";
    case State::simdgroup_barrier:
      return "simdgroup_barrier";
    case State::threadgroup_barrier:
      return "threadgroup_barrier";
    case State::returned:
      return "the end";
    default:
      return "nothing";
  }
}

void fiber_main() {
  for (;;) {
    kernel(machine.arguments.data(), &machine.places[machine.current->index]);
    machine.current->state = State::returned;
    sleep_until_scheduled();
  }
}

List<u32> in_order(u32 n) {
  List<u32> order(n);
  std::iota(order.begin(), order.end(), 0u);
  if (machine.options.order == 1) std::reverse(order.begin(), order.end());
  if (machine.options.order == 2)
    for (u32 i = n; i > 1; i--) std::swap(order[i - 1], order[random_number() % i]);
  return order;
}

/// Lets every ready thread run to its next collective. False: the launch was stopped by a fault.
bool run_ready(u32 n) {
  for (u32 i : in_order(n)) {
    Fiber& fiber = machine.fibers[i];
    if (fiber.state != State::ready) continue;
    machine.current = &fiber;
    machine.switches++;
    switch_context(&machine.scheduler, &fiber.context);
    if (machine.stopped) return false;
  }
  return true;
}

/// A simdgroup goes on when all its living lanes wait at the same place.
bool release_simdgroup(u32 simdgroup, u32 n) {
  const u32 begin = simdgroup * simd_width, end = std::min(n, begin + simd_width);
  Fiber* first = nullptr;
  bool some_returned = false;
  u64 active = 0;
  for (u32 i = begin; i < end; i++) {
    Fiber& fiber = machine.fibers[i];
    if (fiber.state == State::returned) {
      some_returned = true;
      continue;
    }
    if (fiber.state != State::simd_op && fiber.state != State::simdgroup_barrier) return false;
    if (!first) first = &fiber;
    if (fiber.op != first->op || fiber.line != first->line) return false;
    active |= u64{1} << fiber.lane;
  }
  if (!first) return false;
  if (some_returned) {
    machine.current = first;
    fault(
        "divergence", "line " + number(first->line),
        Text(name_of(first->state)) + " after some lanes of its simdgroup have returned, " + name_thread(self()),
        false);
  }
  if (first->state == State::simd_op) machine.simdgroups[simdgroup].active[(first->exchanges - 1) & 1] = active;
  for (u32 i = begin; i < end; i++)
    if (machine.fibers[i].state != State::returned) machine.fibers[i].state = State::ready;
  return true;
}

bool release_threadgroup(u32 n) {
  for (u32 i = 0; i < n; i++) {
    const Fiber& fiber = machine.fibers[i];
    if (fiber.state != State::threadgroup_barrier || fiber.line != machine.fibers[0].line) return false;
  }
  for (u32 i = 0; i < n; i++) machine.fibers[i].state = State::ready;
  return true;
}

/// Nobody can go on: say who waits where, a few runs of threads.
void report_divergence(u32 n) {
  Text message, place;
  int runs = 0;
  for (u32 i = 0; i < n; i++) {
    const Fiber& fiber = machine.fibers[i];
    if (i && fiber.state == machine.fibers[i - 1].state && fiber.line == machine.fibers[i - 1].line) continue;
    if (place.empty() && fiber.state != State::returned) place = "line " + number(fiber.line);
    if (runs++ >= 6) continue;
    message += (message.empty() ? "" : ", ") + Text("from ") +
               name_thread(machine.group * machine.group_threads + i + 1) + " at " + name_of(fiber.state);
    if (fiber.state != State::returned) message += " in line " + number(fiber.line);
  }
  fault("divergence", place, "threads wait in different places: " + message, false);
}

bool run_threadgroup(u32 n) {
  for (;;) {
    if (!run_ready(n)) return false;
    const auto end = machine.fibers.begin() + n;
    if (std::all_of(machine.fibers.begin(), end, [](const Fiber& f) { return f.state == State::returned; }))
      return true;
    bool progress = false;
    for (u32 s = 0; s < machine.simdgroups.size(); s++) progress |= release_simdgroup(s, n);
    progress |= release_threadgroup(n);
    if (!progress) {
      report_divergence(n);
      return false;
    }
  }
}

/// Threads beyond the grid's edge do not exist: the last groups are smaller.
u32 set_places(u32 group, const u32 (&size)[3], const u32 (&groups)[3], const u32* grid) {
  const u32 g[3] = {group % groups[0], group / groups[0] % groups[1], group / groups[0] / groups[1]};
  u32 actual[3];
  for (int k = 0; k < 3; k++) actual[k] = std::min(size[k], grid[k] - g[k] * size[k]);
  const u32 n = actual[0] * actual[1] * actual[2], simdgroups = (n + simd_width - 1) / simd_width;
  machine.group = group;
  machine.simdgroups.assign(simdgroups, Simdgroup{});
  for (u32 i = 0; i < n; i++) {
    Place& place = machine.places[i];
    const u32 p[3] = {i % actual[0], i / actual[0] % actual[1], i / actual[0] / actual[1]};
    for (int k = 0; k < 3; k++) {
      place.thread_in_group[k] = p[k];
      place.thread_in_grid[k] = g[k] * size[k] + p[k];
      place.group_in_grid[k] = g[k];
      place.groups[k] = groups[k];
      place.threads[k] = grid[k];
      place.group_size[k] = actual[k];
      place.dispatch_size[k] = size[k];
      place.origin[k] = 0;
    }
    place.index = i;
    place.lane = i % simd_width;
    place.simdgroup = i / simd_width;
    place.simdgroups = simdgroups;
    place.dispatch_simdgroups = (machine.group_threads + simd_width - 1) / simd_width;
    Fiber& fiber = machine.fibers[i];
    char* stack = fiber.stack;
    fiber = Fiber{};
    fiber.stack = stack;
    fiber.index = i;
    fiber.lane = place.lane;
    fiber.simdgroup = place.simdgroup;
    prepare_stack(fiber, fiber_main);
  }
  return n;
}

void forget_threadgroup_memory() {
  for (size_t i : machine.group_arrays) {
    Buffer& buffer = machine.buffers[i];
    std::memset(buffer.begin, poison, buffer.end - buffer.begin);
    std::fill(buffer.shadow.begin(), buffer.shadow.end(), Shadow{});
  }
}

void report_unwritten() {
  for (const Buffer& buffer : machine.buffers) {
    if (buffer.read_only || buffer.space != Space::device) continue;
    auto unwritten = [](const Shadow& s) { return !s.initialised; };
    const auto missing = std::count_if(buffer.shadow.begin(), buffer.shadow.end(), unwritten);
    if (!missing) continue;
    const auto first = std::find_if(buffer.shadow.begin(), buffer.shadow.end(), unwritten) - buffer.shadow.begin();
    fault("unwritten output", "",
          number(missing) + " of " + number(buffer.shadow.size()) + " elements of " + buffer.name +
              " never written, first " + buffer.name + "[" + number(first) + "]",
          false);
  }
}

}  // namespace

char* map_memory(size_t bytes) {
  return static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

Text name_thread(u32 thread) {
  const u32 index = (thread - 1) % machine.group_threads, group = (thread - 1) / machine.group_threads;
  return "thread " + number(index) + " (lane " + number(index % simd_width) + " of simdgroup " +
         number(index / simd_width) + ", threadgroup " + number(group) + ")";
}

Text at(u64 pc) {
  char text[32];
  std::snprintf(text, sizeof text, "@%llx", static_cast<unsigned long long>(pc - machine.code_begin));
  return text;
}

void fault(const char* kind, const Text& place, const Text& message, bool fatal) {
  const Text key = kind + place;
  if (std::find(reported.begin(), reported.end(), key) == reported.end() && reported.size() < max_reports) {
    reported.push_back(key);
    machine.report += Text(kind) + "\t" + place + "\t" + message + "\n";
  }
  if (!fatal) return;
  machine.stopped = true;
  machine.current->state = State::returned;
  sleep_until_scheduled();
}

void sleep_until_scheduled() {
  machine.switches++;
  switch_context(&machine.current->context, &machine.scheduler);
}

EXPORT void msl_begin(const Options* options) {
  machine.options = *options;
  machine.buffers.clear();
  machine.group_arrays.clear();
  machine.arguments.clear();
  machine.report.clear();
  machine.recent = nullptr;
  machine.accesses = machine.switches = machine.group_bytes = 0;
  machine.random_state = 88172645463325252ull + options->seed * 2654435761ull;
  machine.stopped = false;
  reported.clear();
}

/// Binds the next argument: `bytes` of memory between red zones, `offset` bytes past a page.
EXPORT void* msl_buffer(const char* name, u64 bytes, u32 element, int read_only, int initialised, int constant,
                        u32 offset) {
  Buffer buffer;
  buffer.mapped = bytes + offset + 2 * red_zone;
  buffer.mapping = map_memory(buffer.mapped);
  std::memset(buffer.mapping, poison, buffer.mapped);
  buffer.begin = static_cast<char*>(buffer.mapping) + red_zone + offset;
  buffer.end = buffer.begin + bytes;
  buffer.name = name;
  buffer.element = element;
  buffer.space = constant ? Space::constant : Space::device;
  buffer.read_only = read_only;
  if (!read_only && machine.options.checked) {
    buffer.shadow.resize(bytes / element);
    for (Shadow& shadow : buffer.shadow) shadow.initialised = initialised;
  }
  machine.arguments.push_back(reinterpret_cast<u64>(buffer.begin));
  machine.buffers.push_back(std::move(buffer));
  return machine.buffers.back().begin;
}

/// Runs `grid` threads in groups of `group`; returns the report, empty when nothing is wrong.
EXPORT const char* msl_run(void* entry, const u32* grid, const u32* group, u64 code_begin, u64 code_end) {
  kernel = reinterpret_cast<Kernel>(entry);
  machine.code_begin = code_begin;
  machine.code_end = code_end;
  u32 size[3], groups[3];
  for (int k = 0; k < 3; k++) {
    size[k] = std::min(grid[k], group[k]);
    groups[k] = (grid[k] + size[k] - 1) / size[k];
  }
  machine.group_threads = size[0] * size[1] * size[2];
  while (machine.fibers.size() < machine.group_threads) {
    machine.fibers.emplace_back();
    machine.fibers.back().stack = map_memory(stack_bytes);
  }
  machine.places.resize(machine.fibers.size());
  bool finished = true;
  {
    FlushSubnormals flush;
    for (u32 g : in_order(groups[0] * groups[1] * groups[2])) {
      const u32 n = set_places(g, size, groups, grid);
      forget_threadgroup_memory();
      finished = run_threadgroup(n);
      if (!finished) break;
    }
  }
  if (finished && machine.options.checked) report_unwritten();
  machine.current = nullptr;
  return machine.report.c_str();
}

/// {fiber switches, instrumented accesses, threadgroup bytes}
EXPORT void msl_statistics(u64* out) {
  out[0] = machine.switches;
  out[1] = machine.accesses;
  out[2] = machine.group_bytes;
}

EXPORT void msl_end() {
  for (const Buffer& buffer : machine.buffers)
    if (buffer.mapping) munmap(buffer.mapping, buffer.mapped);
  machine.buffers.clear();
  machine.group_arrays.clear();
}
