// One aligned, zeroed block of memory handed out front to back: what a step reads lies in the order it reads it.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace las {

class Arena {
 public:
  explicit Arena(size_t bytes) {
    const size_t page = bytes >= HUGE_PAGE / 2 ? HUGE_PAGE : LINE;
    size_ = (bytes + page - 1) / page * page;
    data_ = static_cast<std::byte*>(std::aligned_alloc(page, size_));
    if (!data_) throw std::bad_alloc();
#if defined(__linux__)
    if (page == HUGE_PAGE) madvise(data_, size_, MADV_HUGEPAGE);
#endif
    std::memset(data_, 0, size_);
  }
  ~Arena() { std::free(data_); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  static constexpr size_t padded(size_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }

  template <class T>
  T* take(size_t count) {
    T* taken = reinterpret_cast<T*>(data_ + used_);
    used_ += padded(count * sizeof(T));
    if (used_ > size_) throw std::logic_error("Arena: took more than was reserved.");
    return taken;
  }

  size_t used() const { return used_; }

 private:
  static constexpr size_t LINE = 64, HUGE_PAGE = size_t{1} << 21;
  std::byte* data_;
  size_t size_, used_ = 0;
};

}  // namespace las
