#include "pool.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if !defined(_WIN32)
#include <pthread.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace stepahead {
namespace {

inline void relax() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// About 50 microseconds: longer than the gap between two calls of a training loop, shorter than anyone notices.
constexpr int spins = 1500;

thread_local bool inside_task = false;

class Pool {
public:
    void run(long count, int threads, Task task, void* context) {
        grow(threads - 1);
        task_ = task;
        context_ = context;
        count_ = count;
        next_.store(0, std::memory_order_relaxed);
        running_.store(threads - 1, std::memory_order_relaxed);
        {
            // The lock orders the new round against a worker that is about to sleep.
            std::lock_guard<std::mutex> lock(mutex_);
            const Round last = round_.load(std::memory_order_relaxed);
            round_.store(((last >> 16) + 1) << 16 | static_cast<Round>(threads - 1), std::memory_order_release);
        }
        if (sleeping_.load(std::memory_order_acquire) > 0) wake_.notify_all();
        work();
        for (int i = 0; running_.load(std::memory_order_acquire) != 0; ++i)
            if (i < spins * 20)
                relax();
            else
                std::this_thread::yield();
    }

    std::mutex busy;

private:
    // A counter, and below it how many workers take part: read in one piece, so that a worker that comes late to a
    // round without it cannot mistake itself for a helper of the next.
    using Round = std::uint64_t;

    void grow(int helpers) {
        while (workers_ < helpers) {
            // Detached: at exit, or after a fork, nobody is left to join them.
            std::thread(&Pool::loop, this, workers_, round_.load()).detach();
            ++workers_;
        }
    }

    void loop(int rank, Round seen) {
        inside_task = true;
        for (;;) {
            seen = wait(seen);
            if (rank >= static_cast<int>(seen & 0xFFFF)) continue;
            work();
            running_.fetch_sub(1, std::memory_order_release);
        }
    }

    Round wait(Round seen) {
        for (int i = 0; i < spins; ++i) {
            const Round now = round_.load(std::memory_order_acquire);
            if (now != seen) return now;
            relax();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        sleeping_.fetch_add(1, std::memory_order_release);
        wake_.wait(lock, [&] { return round_.load(std::memory_order_acquire) != seen; });
        sleeping_.fetch_sub(1, std::memory_order_release);
        return round_.load(std::memory_order_acquire);
    }

    void work() {
        for (long i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) task_(context_, i);
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<Round> round_{0};
    std::atomic<int> sleeping_{0}, running_{0};
    std::atomic<long> next_{0};
    Task task_ = nullptr;
    void* context_ = nullptr;
    long count_ = 0;
    int workers_ = 0;
};

std::atomic<Pool*> pool_{nullptr};
std::atomic<int> wanted_{0};

Pool& pool() {
    Pool* found = pool_.load(std::memory_order_acquire);
    if (found != nullptr) return *found;
    // Never freed: workers may outlive static destruction.
    Pool* made = new Pool;
    if (!pool_.compare_exchange_strong(found, made)) {
        delete made;
        return *found;
    }
#if !defined(_WIN32)
    // A forked child has no workers: it starts its own at need.
    static const int registered = pthread_atfork(nullptr, nullptr, [] { pool_.store(nullptr); });
    (void)registered;
#endif
    return *made;
}

int processors() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    const unsigned found = std::thread::hardware_concurrency();
    return found == 0 ? 1 : static_cast<int>(found);
}

struct Block {
    void* data = nullptr;
    std::size_t bytes = 0;
    ~Block() { ::operator delete(data, std::align_val_t(64)); }
};

}  // namespace

void run_tasks(long count, int threads, Task task, void* context) {
    if (threads <= 0) threads = default_threads();
    if (threads > count) threads = static_cast<int>(count);
    if (threads > 1 && !inside_task) {
        Pool& shared = pool();
        std::unique_lock<std::mutex> lock(shared.busy, std::try_to_lock);
        if (lock.owns_lock()) {
            inside_task = true;
            shared.run(count, threads, task, context);
            inside_task = false;
            return;
        }
    }
    for (long i = 0; i < count; ++i) task(context, i);
}

int default_threads() {
    const int wanted = wanted_.load(std::memory_order_relaxed);
    static const int found = processors();
    return wanted > 0 ? wanted : found;
}

void set_default_threads(int threads) { wanted_.store(threads < 0 ? 0 : threads, std::memory_order_relaxed); }

void* scratch(Slot slot, std::size_t bytes) {
    thread_local Block blocks[4];
    Block& block = blocks[static_cast<int>(slot)];
    if (block.bytes < bytes) {
        ::operator delete(block.data, std::align_val_t(64));
        block.data = nullptr;
        block.bytes = 0;
        block.data = ::operator new(bytes + bytes / 4, std::align_val_t(64));
        block.bytes = bytes + bytes / 4;
    }
    return block.data;
}

}  // namespace stepahead
