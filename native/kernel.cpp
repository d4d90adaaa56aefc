// The kernel for one instruction set: compiled once for each, with that set's flags (see CMakeLists.txt).
#include "kernel.h"

#include "generate.h"
#include "scan.h"
#include "softmax.h"
#include "step.h"
#include "train.h"

#define STEPAHEAD_NAME_OF(x) #x
#define STEPAHEAD_NAME(x) STEPAHEAD_NAME_OF(x)

namespace stepahead {
namespace STEPAHEAD_ISA {

const Kernel& table() {
    static const Kernel functions = {
        STEPAHEAD_NAME(STEPAHEAD_ISA),
        saved_size<float>,
        saved_size<double>,
        forward<float>,
        forward<double>,
        backward<float>,
        backward<double>,
        packed_step_size,
        pack_step,
        step,
        packed_head_size,
        pack_head,
        generate,
        softmax_loss,
        train,
    };
    return functions;
}

}  // namespace STEPAHEAD_ISA
}  // namespace stepahead
