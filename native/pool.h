// Threads and scratch memory.  Tasks are independent and numbered; who runs which is nobody's business.
#pragma once

#include <cstddef>

namespace stepahead {

using Task = void (*)(void* context, long index);

// Run task(context, 0 .. count-1) on up to `threads` threads (0: the default), the caller among them; returns when
// all are done. A call from inside a task, or while another thread holds the pool, runs on the caller alone.
void run_tasks(long count, int threads, Task task, void* context);

// Where torch has brought OpenMP, tasks go to its team, or two pools would fight for the same processors. But such a
// team is waited for to the last thread, which a busy machine does not let run for milliseconds; our own pool waits for
// tasks alone. Where torch computes nothing by the side, take that: true for this thread until told otherwise; returns
// what it was.
bool use_own_pool(bool on);

class OwnPool {
public:
    OwnPool() : before_(use_own_pool(true)) {}
    ~OwnPool() { use_own_pool(before_); }
    OwnPool(const OwnPool&) = delete;
    OwnPool& operator=(const OwnPool&) = delete;

private:
    bool before_;
};

int default_threads();
void set_default_threads(int threads);  // 0: the processors of this process

// Memory of this thread, 64-byte aligned, kept and grown between calls. Each slot is one block: asking again for a
// slot gives the same block up, so that nested users take different slots.
enum class Slot : int { shared = 0, task = 1, reduce = 2, step = 3 };
void* scratch(Slot slot, std::size_t bytes);

// run_tasks for a function object: parallel(count, threads, [&](long index) { ... }).
template <class Function>
inline void parallel(long count, int threads, Function&& function) {
    auto* pointer = &function;
    run_tasks(
        count, threads, [](void* context, long index) { (**static_cast<decltype(pointer)*>(context))(index); },
        &pointer);
}

}  // namespace stepahead
