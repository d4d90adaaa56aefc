#include "pool.h"

#include "openmp.h"

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

// Some 50 microseconds: longer than the gap between two calls of a training loop, shorter than anyone notices.
constexpr int spins = 1500;

thread_local bool inside_task = false, own_pool = false;

class Pool {
public:
    void run(std::uint32_t count, int threads, Task task, void* context) {
        grow(threads - 1);
        task_ = task;
        context_ = context;
        count_ = count;
        done_.store(0, std::memory_order_relaxed);
        const Word round = (word_.load(std::memory_order_relaxed) >> 48) + 1;
        {
            // The lock orders the new round against a worker that is about to sleep.
            std::lock_guard<std::mutex> lock(mutex_);
            word_.store(round << 48 | static_cast<Word>(threads - 1) << 32 | count, std::memory_order_release);
        }
        if (sleeping_.load(std::memory_order_acquire) > 0) wake_.notify_all();
        work();
        // Tasks are waited for, not workers: one that the system never let run holds nobody up.
        for (int i = 0; i < spins; ++i) {
            if (done_.load(std::memory_order_acquire) == count) return;
            relax();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        waiting_.store(true);
        finished_.wait(lock, [&] { return done_.load() == count; });
        waiting_.store(false);
    }

    std::mutex busy;

private:
    // The round (16 bits), its helpers (16) and the tasks left to take (32), in one piece: whoever takes a task has the
    // round that the task is of, and the round lasts until the task is done.
    using Word = std::uint64_t;

    void grow(int helpers) {
        for (; workers_ < helpers; ++workers_)
            // Detached: at exit, or after a fork, nobody is left to join them.
            std::thread(&Pool::loop, this, workers_, word_.load()).detach();
    }

    void loop(int rank, Word seen) {
        inside_task = true;
        for (;;) {
            seen = wait(seen);
            if (rank < static_cast<int>(seen >> 32 & 0xFFFF)) work();
        }
    }

    Word wait(Word seen) {
        const auto changed = [&] { return word_.load(std::memory_order_acquire) >> 48 != seen >> 48; };
        for (int i = 0; i < spins; ++i) {
            if (changed()) return word_.load(std::memory_order_acquire);
            relax();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        sleeping_.fetch_add(1, std::memory_order_release);
        wake_.wait(lock, changed);
        sleeping_.fetch_sub(1, std::memory_order_release);
        return word_.load(std::memory_order_acquire);
    }

    void work() {
        Word word = word_.load(std::memory_order_acquire);
        while ((word & 0xFFFFFFFF) != 0) {
            if (!word_.compare_exchange_weak(word, word - 1, std::memory_order_acq_rel)) continue;
            const std::uint32_t count = count_;
            task_(context_, static_cast<long>(count) - static_cast<long>(word & 0xFFFFFFFF));
            if (done_.fetch_add(1) + 1 == count && waiting_.load()) {
                std::lock_guard<std::mutex> lock(mutex_);
                finished_.notify_one();
            }
            word = word_.load(std::memory_order_acquire);
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, finished_;
    std::atomic<Word> word_{0};
    std::atomic<int> sleeping_{0};
    std::atomic<bool> waiting_{false};
    std::atomic<std::uint32_t> done_{0};
    Task task_ = nullptr;
    void* context_ = nullptr;
    std::uint32_t count_ = 0;
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

struct Outer {
    Task task;
    void* context;
};

// A task that calls us again runs that call by itself.
void run_inside(void* outer, long i) {
    const Outer& own = *static_cast<const Outer*>(outer);
    const bool before = inside_task;
    inside_task = true;
    own.task(own.context, i);
    inside_task = before;
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
    if (threads > 1024) threads = 1024;
    if (threads > 1 && count < (1L << 31) && !inside_task) {
        Outer outer{task, context};
        if (!own_pool && run_on_openmp(count, threads, run_inside, &outer)) return;
        Pool& shared = pool();
        std::unique_lock<std::mutex> lock(shared.busy, std::try_to_lock);
        if (lock.owns_lock()) {
            inside_task = true;
            shared.run(static_cast<std::uint32_t>(count), threads, task, context);
            inside_task = false;
            return;
        }
    }
    for (long i = 0; i < count; ++i) task(context, i);
}

bool use_own_pool(bool on) {
    const bool before = own_pool;
    own_pool = on;
    return before;
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
