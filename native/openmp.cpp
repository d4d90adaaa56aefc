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

// Each thread begins with tasks of its own, the same from call to call: what it left in its second cache, such as what
// backward reads of a layer, it finds there again. Then it takes what others have left.
struct alignas(64) Share {
    std::atomic<long> next;
    long end;
};

constexpr int most_shares = 64;

struct Round {
    Share shares[most_shares];
    int count;
    Task task;
    void* context;
};

std::atomic<unsigned> helpers_{0};
thread_local int rank = -1;  // 0 for whoever calls

void take_tasks(void* shared) {
    Round& round = *static_cast<Round*>(shared);
    if (rank < 0) rank = static_cast<int>(helpers_.fetch_add(1, std::memory_order_relaxed) % (most_shares - 1)) + 1;
    const int own = round.count > 1 && rank > 0 ? 1 + (rank - 1) % (round.count - 1) : 0;
    for (int k = 0; k < round.count; ++k) {
        Share& share = round.shares[(own + k) % round.count];
        for (long i; (i = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;)
            round.task(round.context, i);
    }
}

}  // namespace

bool run_on_openmp(long count, int threads, Task task, void* context) {
    const Parallel parallel = find_parallel();
    if (parallel == nullptr) return false;
    Round round;
    round.count = threads < most_shares ? threads : most_shares;
    round.task = task;
    round.context = context;
    for (int k = 0; k < round.count; ++k) {
        round.shares[k].next.store(k * count / round.count, std::memory_order_relaxed);
        round.shares[k].end = (k + 1) * count / round.count;
    }
    rank = 0;
    parallel(take_tasks, &round, static_cast<unsigned>(threads), 0);
    return true;
}
#else
bool run_on_openmp(long, int, Task, void*) { return false; }
#endif

}  // namespace stepahead
