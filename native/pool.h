// Threads and scratch memory.  Tasks are independent and numbered; who runs which is nobody's business.
#pragma once

#include <cstddef>

namespace stepahead {

using Task = void (*)(void* context, long index);

// Run task(context, 0 .. count-1) on up to `threads` threads (0: the default), the caller among them; returns when
// all are done. A call from inside a task, or while another thread holds the pool, runs on the caller alone.
void run_tasks(long count, int threads, Task task, void* context);

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
