// Tasks on the thread team of GNU OpenMP, where the process has one already.
#pragma once

#include "pool.h"

namespace stepahead {

// Runs task(context, 0 .. count - 1) on the team; false, and nothing done, where there is none.
bool run_on_openmp(long count, int threads, Task task, void* context);

}  // namespace stepahead
