// Text and lists out of the C++ library's headers alone: nothing of it is linked, so a compiler that would first have to
// build that library (zig) need not. The traits and the allocator are ours because the library holds code for its own.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

template <typename T>
struct Allocator {
  using value_type = T;
  Allocator() = default;
  template <typename U>
  Allocator(const Allocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(std::malloc(n * sizeof(T))); }
  void deallocate(T* p, size_t) { std::free(p); }
  bool operator==(const Allocator&) const { return true; }
};

struct Characters : std::char_traits<char> {};

using Text = std::basic_string<char, Characters, Allocator<char>>;
template <typename T>
using List = std::vector<T, Allocator<T>>;

/// In decimal.
Text number(int64_t value);
