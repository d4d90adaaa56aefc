"""PyTorch's own samples for RNN, LSTM and GRU, run through our classes: forward, gradients, pickling, moves, errors.

The samples come with torch (torch.testing._internal.common_modules); its test functions do not, so they are written
here anew, one for each of the tests that torch runs over its modules.
"""

import copy
import io
import pickle
from functools import partial

import pytest
import torch
from torch.testing._internal import common_modules
from torch.testing._internal.common_modules import ModuleErrorEnum, ModuleInfo, ModuleInput
from torch.testing._internal.common_utils import noncontiguous_like

import stepahead.nn

INFOS = [
    ModuleInfo(
        stepahead.nn.RNN,
        train_and_eval_differ=True,
        module_inputs_func=partial(common_modules.module_inputs_torch_nn_RNN_GRU, is_rnn=True),
        module_error_inputs_func=common_modules.module_error_inputs_torch_nn_RNN_GRU,
    ),
    ModuleInfo(
        stepahead.nn.GRU,
        train_and_eval_differ=True,
        module_inputs_func=partial(common_modules.module_inputs_torch_nn_RNN_GRU, is_rnn=False),
        module_error_inputs_func=common_modules.module_error_inputs_torch_nn_RNN_GRU,
    ),
    ModuleInfo(
        stepahead.nn.LSTM,
        train_and_eval_differ=True,
        module_inputs_func=common_modules.module_inputs_torch_nn_LSTM,
        module_error_inputs_func=common_modules.module_error_inputs_torch_nn_RNN_GRU,
    ),
]
every_module = pytest.mark.parametrize("info", INFOS, ids=lambda info: info.module_cls.__name__)
every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
every_mode = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def samples(info: ModuleInfo, dtype: torch.dtype, training: bool, *, requires_grad: bool = False) -> list[ModuleInput]:
    torch.manual_seed(0)
    return info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=requires_grad, training=training)


def build(info: ModuleInfo, sample: ModuleInput, dtype: torch.dtype, training: bool) -> torch.nn.Module:
    torch.manual_seed(1)
    module = info.module_cls(*sample.constructor_input.args, **sample.constructor_input.kwargs)
    return module.to(dtype).train(training)


def call(module: torch.nn.Module, sample: ModuleInput) -> list[torch.Tensor]:
    return flat(module(*sample.forward_input.args, **sample.forward_input.kwargs))


def flat(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in flat(part)]  # type: ignore[attr-defined]


@every_module
@every_dtype
@every_mode
def test_forward_equals_the_samples_reference(info: ModuleInfo, dtype: torch.dtype, training: bool) -> None:
    for sample in samples(info, dtype, training):
        module = build(info, sample, dtype, training)
        expected = sample.reference_fn(module, *sample.forward_input.args, **sample.forward_input.kwargs)
        torch.testing.assert_close(call(module, sample), flat(expected))


@every_module
@every_mode
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_pass_gradcheck(info: ModuleInfo, training: bool, order: int) -> None:
    check = torch.autograd.gradcheck if order == 1 else torch.autograd.gradgradcheck
    for sample in samples(info, torch.float64, training, requires_grad=True)[:: 1 if order == 1 else 4]:
        module = build(info, sample, torch.float64, training)
        sources = [*flat(sample.forward_input.args), *module.parameters()]

        def run(
            *_: torch.Tensor, module: torch.nn.Module = module, sample: ModuleInput = sample
        ) -> tuple[torch.Tensor, ...]:
            return tuple(call(module, sample))

        assert check(run, sources, fast_mode=True)


@every_module
@every_dtype
def test_pickled_and_copied_modules_give_the_same(info: ModuleInfo, dtype: torch.dtype) -> None:
    for sample in samples(info, dtype, True):
        module = build(info, sample, dtype, True)
        stored = io.BytesIO()
        torch.save(module, stored)
        stored.seek(0)
        twins = [torch.load(stored, weights_only=False), pickle.loads(pickle.dumps(module)), copy.deepcopy(module)]
        for twin in twins:
            torch.testing.assert_close(call(twin, sample), call(module, sample), rtol=0, atol=0)


@every_module
@every_dtype
def test_factory_arguments_reach_the_parameters(info: ModuleInfo, dtype: torch.dtype) -> None:
    for sample in samples(info, dtype, True):
        options = {**sample.constructor_input.kwargs, "dtype": dtype, "device": "meta"}
        module = info.module_cls(*sample.constructor_input.args, **options)
        assert {(p.dtype, p.device.type) for p in module.parameters()} == {(dtype, "meta")}


@every_module
def test_moving_to_another_device_and_back(info: ModuleInfo) -> None:
    for sample in samples(info, torch.float32, True):
        module = build(info, sample, torch.float32, True)
        expected, state = call(module, sample), copy.deepcopy(module.state_dict())
        away = module.to("meta")
        moved = [argument.to("meta") if isinstance(argument, torch.Tensor) else tuple(a.to("meta") for a in argument)
                 for argument in sample.forward_input.args]  # fmt: skip
        assert [part.shape for part in flat(away(*moved))] == [part.shape for part in expected]
        back = away.to_empty(device="cpu")
        back.load_state_dict(state)
        torch.testing.assert_close(call(back, sample), expected, rtol=0, atol=0)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
@every_module
def test_cuda_gives_what_the_cpu_gives(info: ModuleInfo) -> None:
    for sample in samples(info, torch.float32, True):
        module = build(info, sample, torch.float32, True)
        expected = call(module, sample)
        moved = [argument.cuda() if isinstance(argument, torch.Tensor) else tuple(a.cuda() for a in argument)
                 for argument in sample.forward_input.args]  # fmt: skip
        found = [part.cpu() for part in flat(module.cuda()(*moved))]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@every_module
@every_dtype
def test_non_contiguous_inputs_give_the_same(info: ModuleInfo, dtype: torch.dtype) -> None:
    for sample in samples(info, dtype, True, requires_grad=True):
        module = build(info, sample, dtype, True)
        given = sample.forward_input.args
        strided = [
            noncontiguous_like(a) if isinstance(a, torch.Tensor) else tuple(map(noncontiguous_like, a)) for a in given
        ]
        assert not any(part.is_contiguous() for part in flat(strided) if part.numel() > 1)
        expected, found = flat(module(*given)), flat(module(*strided))
        torch.testing.assert_close(found, expected)
        grads = [noncontiguous_like(torch.ones_like(part)) for part in expected]
        torch.testing.assert_close(
            torch.autograd.grad(found, [*flat(strided), *module.parameters()], grads),
            torch.autograd.grad(expected, [*flat(given), *module.parameters()], grads),
        )


@every_module
@every_dtype
@every_mode
def test_errors_are_torch_s(info: ModuleInfo, dtype: torch.dtype, training: bool) -> None:
    found = info.module_error_inputs_func(info, device="cpu", dtype=dtype, requires_grad=False, training=training)
    assert len(found) > 3
    for error in found:
        given = error.module_error_input
        if error.error_on is ModuleErrorEnum.CONSTRUCTION_ERROR:
            with pytest.raises(error.error_type, match=error.error_regex):
                info.module_cls(*given.constructor_input.args, **given.constructor_input.kwargs)
            continue
        module = info.module_cls(*given.constructor_input.args, **given.constructor_input.kwargs).train(training)
        with pytest.raises(error.error_type, match=error.error_regex):
            module(*given.forward_input.args, **given.forward_input.kwargs)


@every_module
def test_repr_is_torch_s(info: ModuleInfo) -> None:
    for sample in samples(info, torch.float32, True):
        options = sample.constructor_input.kwargs
        assert repr(info.module_cls(**options)) == repr(getattr(torch.nn, info.module_cls.__name__)(**options))
