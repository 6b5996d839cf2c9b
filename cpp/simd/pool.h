// A small persistent thread pool: parallel_for(n, f) runs f(0) .. f(n - 1), the caller takes part, one job at a time.
#pragma once
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>

namespace las {

class Pool {
 public:
  static Pool& get() {
    static Pool* pool = new Pool();  // leaked: joining threads at exit can deadlock
    return *pool;
  }

  int size() const { return threads_; }

  void parallel_for(int n, const std::function<void(int)>& f) {
    if (n <= 1 || threads_ <= 1 || getpid() != owner_) {  // a forked child has no worker threads
      for (int i = 0; i < n; i++) f(i);
      return;
    }
    std::lock_guard<std::mutex> one_job(job_);
    {
      std::lock_guard<std::mutex> lock(state_);
      f_ = &f;
      n_ = n;
      next_ = 0;
      busy_ = threads_ - 1;
      generation_++;
    }
    start_.notify_all();
    for (int i; (i = next_.fetch_add(1)) < n;) f(i);
    std::unique_lock<std::mutex> lock(state_);
    done_.wait(lock, [&] { return busy_ == 0; });
  }

 private:
  Pool() : owner_(getpid()) {
    const char* wanted = std::getenv("LASMLX_THREADS");
    threads_ = wanted ? std::atoi(wanted) : static_cast<int>(std::thread::hardware_concurrency());
    if (threads_ < 1) threads_ = 1;
    for (int i = 1; i < threads_; i++) std::thread([this] { work(); }).detach();
  }

  void work() {
    for (long seen = 0;;) {
      std::unique_lock<std::mutex> lock(state_);
      start_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      const auto* f = f_;
      const int n = n_;
      lock.unlock();
      for (int i; (i = next_.fetch_add(1)) < n;) (*f)(i);
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  const pid_t owner_;
  int threads_ = 1, n_ = 0, busy_ = 0;
  long generation_ = 0;
  const std::function<void(int)>* f_ = nullptr;
  std::atomic<int> next_{0};
  std::mutex state_, job_;
  std::condition_variable start_, done_;
};

}  // namespace las
