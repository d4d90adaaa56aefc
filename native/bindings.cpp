// The Python module stepahead._native; its functions are documented in _native.pyi.
#include "arrays.h"
#include "pool.h"

NB_MODULE(_native, module) {
    nanobind::set_leak_warnings(false);  // at exit a frozen garbage collector may still hold a Stepper: no leak
    module.attr("simd") = stepahead::kernel().name;
    module.def("get_threads", &stepahead::default_threads);
    module.def("set_threads", &stepahead::set_default_threads, nanobind::arg("threads"));
    module.def("use_own_pool", &stepahead::use_own_pool, nanobind::arg("on"));
    stepahead::bind_codes(module);
    stepahead::bind_push(module);
    stepahead::bind_scan(module);
    stepahead::bind_step(module);
    stepahead::bind_train(module);
}
