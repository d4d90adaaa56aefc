#include "openmp.h"

#if defined(__linux__)
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#endif

namespace stepahead {

#if defined(__linux__)
namespace {

// torch brings GNU OpenMP, whose threads spin for a while after each of its loops: its team is ours too, or two pools
// would fight for the same processors.
using Parallel = void (*)(void (*body)(void*), void* shared, unsigned threads, unsigned flags);
std::atomic<Parallel> parallel_{nullptr};
std::atomic<bool> forked_{false};  // the team does not survive a fork, and would be waited for without end

Parallel find_parallel() {
    if (forked_.load(std::memory_order_relaxed)) return nullptr;
    Parallel found = parallel_.load(std::memory_order_relaxed);
    if (found != nullptr) return found;
    static const int registered = pthread_atfork(nullptr, nullptr, [] { forked_.store(true); });
    (void)registered;
    found = reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));  // at each call: torch may come later
    parallel_.store(found, std::memory_order_relaxed);
    return found;
}

struct Round {
    std::atomic<long> taken{0};
    long count;
    Task task;
    void* context;
};

void take_tasks(void* shared) {
    Round& round = *static_cast<Round*>(shared);
    for (long i; (i = round.taken.fetch_add(1, std::memory_order_relaxed)) < round.count;) round.task(round.context, i);
}

}  // namespace

bool run_on_openmp(long count, int threads, Task task, void* context) {
    const Parallel parallel = find_parallel();
    if (parallel == nullptr) return false;
    Round round{{0}, count, task, context};
    parallel(take_tasks, &round, static_cast<unsigned>(threads), 0);
    return true;
}
#else
bool run_on_openmp(long, int, Task, void*) { return false; }
#endif

}  // namespace stepahead
