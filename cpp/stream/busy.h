// Held by a call that works without Python's lock: a second thread is refused, not let into the same state.
#pragma once
#include <atomic>
#include <stdexcept>

namespace las::stream {

class Busy {
 public:
  template <class Session>
  explicit Busy(Session& session) : flag_(session.in_use) {
    if (flag_.test_and_set())
      throw std::runtime_error("Session: in use by another thread; give each thread its own session.");
  }
  ~Busy() { flag_.clear(); }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  std::atomic_flag& flag_;
};

}  // namespace las::stream
