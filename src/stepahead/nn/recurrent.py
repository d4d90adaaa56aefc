"""RNN, LSTM and GRU: torch.nn's classes and results on the native kernel.  (input, state) -> (outputs, state).

The kernel serves CPU tensors in float32 and float64. `super().forward` does the rest: other devices and dtypes,
autocast, projections, dropout inside packed sequences and those that would be mostly padding, TorchScript, ONNX,
functionalize, forward-mode derivatives, whatever is wrong (torch then says so in its own words), and the sizes where
torch is faster (served.py).
T steps, B rows, F features, D hidden, L layers times directions.
"""

import sys
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx import Proxy
from torch.nn.utils.rnn import PackedSequence

from stepahead.cell_names import KERNEL_GATES
from stepahead.nn.ops import Scan, scan
from stepahead.nn.served import SMALL, kernel_is_faster
from stepahead.nn.stack import Plan, Stack, _native, apply_single, forward

GATES = {cell.upper(): gates for cell, gates in KERNEL_GATES.items()}  # by torch's modes
DTYPES = (torch.float32, torch.float64)
STRIDED = torch.strided
MOST_PADDING = 4  # times the steps that a packed batch holds: beyond, one long row would cost as much as many
PLAIN = (torch.nn.Parameter, Tensor)  # subclasses have a mind of their own


class RNN(torch.nn.RNN):
    """torch.nn.RNN on the native kernel: same arguments, parameters, results and errors (Elman 1990; tanh or relu).

    Example:
        >>> outputs, status = RNN(5, 8, batch_first=True)(torch.zeros(1, 10, 5))
        >>> outputs.shape, status.shape
        (torch.Size([1, 10, 8]), torch.Size([1, 1, 8]))
    """

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """input [T, B, F] ([B, T, F] batch first, [T, F] unbatched, or packed), hx [L, B, D] -> outputs, h_n."""
        result = run(self, input, hx)
        return super().forward(input, hx) if result is None else result

    def __prepare_scriptable__(self) -> torch.nn.RNN:
        return plain(self, torch.nn.RNN, RNN.forward)


class LSTM(torch.nn.LSTM):
    """torch.nn.LSTM on the native kernel: same arguments, parameters, results and errors.

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers, Schmidhuber and Cummins 2000; no peepholes.

    Example:
        >>> outputs, (h, c) = LSTM(5, 8, num_layers=2)(torch.zeros(10, 1, 5))
        >>> outputs.shape, h.shape
        (torch.Size([10, 1, 8]), torch.Size([2, 1, 8]))
    """

    def forward(self, input: Any, hx: tuple[Tensor, Tensor] | None = None) -> Any:
        """input [T, B, F] ([B, T, F] batch first, [T, F] unbatched, or packed), (h, c) -> outputs, (h_n, c_n)."""
        result = run(self, input, hx)
        return super().forward(input, hx) if result is None else result

    def __prepare_scriptable__(self) -> torch.nn.LSTM:
        return plain(self, torch.nn.LSTM, LSTM.forward)


class GRU(torch.nn.GRU):
    """torch.nn.GRU on the native kernel: same arguments, parameters, results and errors.

    Cho et al. 2014; reset applied after the product, as torch.nn.

    Example:
        >>> outputs, h = GRU(5, 8, bidirectional=True)(torch.zeros(10, 1, 5))
        >>> outputs.shape, h.shape
        (torch.Size([10, 1, 16]), torch.Size([2, 1, 8]))
    """

    def forward(self, input: Any, hx: Tensor | None = None) -> Any:
        """input [T, B, F] ([B, T, F] batch first, [T, F] unbatched, or packed), hx [L, B, D] -> outputs, h_n."""
        result = run(self, input, hx)
        return super().forward(input, hx) if result is None else result

    def __prepare_scriptable__(self) -> torch.nn.GRU:
        return plain(self, torch.nn.GRU, GRU.forward)


def run(module: torch.nn.RNNBase, input: Any, hx: Any) -> Any:
    """What the module's forward returns, or None where torch's own forward is the one to take."""
    if not isinstance(input, Tensor) and isinstance(input, Proxy):
        return _leaf(module, input, hx)
    if _native is None or module.proj_size or torch._C._is_any_autocast_enabled():
        return None
    if forward_ad._current_level >= 0:  # torch.func's, too
        return None
    states = () if hx is None else _states(module, hx)
    if states is None:
        return None if _proxied(hx) is None else _leaf(module, input, hx)
    if _traced():
        torch_s = isinstance(input, PackedSequence) or _knows_torch_alone()
        return None if torch_s else _run_traced(module, input, states)
    if torch._C._get_tracing_state() is not None:
        return None
    if isinstance(input, PackedSequence):
        return _run_packed(module, input, hx)
    if input.dim() == 2 and all(state.dim() == 2 for state in states):
        return _run_unbatched(module, input, states)
    return _run_eager(module, input, states, None, module.batch_first)


def plain(module: Any, kind: type, forward: Any) -> Any:
    """What TorchScript compiles: torch's own module with this module's parameters, or a subclass's own forward."""
    if type(module).forward is not forward:
        return module
    twin: Any = object.__new__(kind)
    twin.__dict__.update(module.__dict__)
    return twin


def _leaf(module: Any, x: Any, hx: Any) -> Any:
    """The layer as one node of a graph of torch.fx, which takes torch's own layers so."""
    tracer: Any = (x if isinstance(x, Proxy) else _proxied(hx)).tracer
    if tracer.root is module:
        return None  # it has no name there: torch goes through its own layers, too, and says what it cannot trace
    hooked = module._forward_hooks or module._forward_pre_hooks
    if hooked or type(module).forward not in (RNN.forward, LSTM.forward, GRU.forward):
        return None  # hooks and what a subclass adds have left nodes of their own: the layer must not do them again
    return tracer.create_proxy("call_module", tracer.path_of_module(module), (x, hx), {})


def _proxied(hx: Any) -> Any:
    """What of a state torch.fx stands in for, None for nothing."""
    return next((part for part in (hx if isinstance(hx, tuple | list) else (hx,)) if isinstance(part, Proxy)), None)


def _run_eager(module: Any, x: Tensor, states: tuple[Tensor, ...], lengths: Tensor | None, batch_first: bool) -> Any:
    hidden, learns = module.hidden_size, torch.is_grad_enabled()
    if hidden >= SMALL and x.dim() == 3 and 0 not in x.shape:
        steps, rows = (x.shape[1], x.shape[0]) if batch_first else (x.shape[0], x.shape[1])
        double = x.dtype is torch.float64
        if not kernel_is_faster(module.mode.lower(), steps, rows, hidden, learns=learns, double=double):
            return None
    weights = _weights(module)
    if not _fits(module, x, states, weights, batch_first):
        return None
    plan = _plan(module, batch_first)
    h0, c0 = None, None
    if states:
        h0, c0 = (*map(_dense, states), None)[:2]
    weights = [w if w.is_contiguous() else w.contiguous() for w in weights]
    if learns and (weights[0].requires_grad or any(t.requires_grad for t in (*weights, x, *states))):
        if batch_first and x.is_inference():
            x = x.clone()  # autograd keeps no such tensor; torch's layers turn a batch-first one first, which copies it
        apply = apply_single if plan.layers == plan.directions == 1 else Stack.apply
        results = apply(plan, lengths, x, h0, c0, *weights)
    else:
        results = forward(plan, lengths, x, h0, c0, weights)
    return _shaped(results)


def _run_unbatched(module: Any, x: Tensor, states: tuple[Tensor, ...]) -> Any:
    """x [T, F], states [L, D]."""
    result = _run_eager(module, x.unsqueeze(1), tuple(state.unsqueeze(1) for state in states), None, False)
    if result is None:
        return None
    outputs, state = result
    return outputs.squeeze(1), tuple(s.squeeze(1) for s in state) if isinstance(state, tuple) else state.squeeze(1)


def _run_packed(module: Any, packed: PackedSequence, hx: Any) -> Any:
    """Rows of unequal lengths: padded, run with their lengths, packed again."""
    data, sizes, order, back = packed
    drops = module.dropout and module.training and module.num_layers > 1
    if drops or data.dim() != 2 or not len(sizes) or not data.is_cpu or int(sizes[0]) == 0:
        return None
    steps, rows = len(sizes), int(sizes[0])
    if steps * rows > MOST_PADDING * len(data):
        return None
    valid = torch.arange(rows, device="cpu") < sizes[:, None]  # [T, B]
    where = valid.flatten().nonzero().squeeze(1)
    if len(where) != len(data):  # batch sizes that do not decrease, or do not add up
        return None
    x, lengths = data, None
    if len(where) < steps * rows:
        x, lengths = data.new_zeros((steps * rows, data.shape[1])).index_copy(0, where, data), valid.sum(0)
    states = () if hx is None else module.permute_hidden(hx, order)
    states = states if isinstance(states, tuple) else (states,)
    result = _run_eager(module, x.unflatten(0, (steps, rows)), states, lengths, False)
    if result is None:
        return None
    outputs = result[0].flatten(0, 1)
    outputs = outputs if lengths is None else outputs.index_select(0, where)
    return PackedSequence(outputs, sizes, order, back), module.permute_hidden(result[1], back)


def _run_traced(module: Any, x: Tensor, states: tuple[Tensor, ...]) -> Any:
    """The same by operators that compile, export and vmap can see."""
    if x.dim() not in (2, 3) or x.device.type != "cpu" or x.dtype not in DTYPES or 0 in x.shape:
        return None
    if any(state.dim() != x.dim() for state in states):
        return None
    batched, batch_first = x.dim() == 3, module.batch_first and x.dim() == 3
    if not batched:
        x, states = x.unsqueeze(1), tuple(state.unsqueeze(1) for state in states)
    x = x.transpose(0, 1) if batch_first else x
    plan = _plan(module, False)
    if not states:
        zeros = x.new_zeros((plan.layers * plan.directions, x.shape[1], plan.hidden))
        states = (zeros, zeros) if plan.cell == "lstm" else (zeros,)
    _check(module, x, states)
    outputs, *finals = _traced_stack(plan, x, states, [getattr(module, name) for name in module._flat_weights_names])
    outputs = outputs.transpose(0, 1) if batch_first else outputs
    return _shaped([outputs, *finals] if batched else [part.squeeze(1) for part in (outputs, *finals)])


def _traced_stack(plan: Plan, x: Tensor, states: tuple[Tensor, ...], weights: list[Tensor]) -> list[Tensor]:
    apply = Scan.apply if torch._C._are_functorch_transforms_active() else scan
    train, x = torch.is_grad_enabled(), x.unsqueeze(0)  # one model: [1, T, B, F]
    finals: list[tuple[Tensor, ...]] = []
    for layer in range(plan.layers):
        parts = []
        for direction in range(plan.directions):
            k = len(finals)
            own = [w.unsqueeze(0) for w in weights[k * plan.per_pass : (k + 1) * plan.per_pass]]
            h0, c0 = (*(state[k].unsqueeze(0) for state in states), None)[:2]
            bias_ih, bias_hh = (*own[2:], None, None)[:2]
            reverse = direction == 1
            outputs, *final, _ = apply(x, h0, c0, *own[:2], bias_ih, bias_hh, None, plan.cell, reverse, train)
            parts.append(outputs)
            finals.append(tuple(final[: len(states)]))
        x = torch.cat(parts, dim=3) if len(parts) > 1 else parts[0]
        if plan.dropout and layer < plan.layers - 1:
            x = torch.dropout(x, plan.dropout, True)
    return [x.squeeze(0), *(torch.cat(part) for part in zip(*finals, strict=True))]


def _traced() -> bool:
    return bool(
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
    )


def _knows_torch_alone() -> bool:
    """Whether what looks on cannot take an operator that is not torch's: ONNX, torch.func.functionalize."""
    if torch.compiler.is_dynamo_compiling():  # neither is there, and dynamo could not look
        return False
    onnx = sys.modules.get("torch.onnx")  # not there before it is asked for, and slow to come
    if onnx is not None and onnx.is_in_onnx_export():
        return True
    if not torch._C._are_functorch_transforms_active():
        return False
    functorch = torch._C._functorch
    return any(i.key() == functorch.TransformType.Functionalize for i in functorch.get_interpreter_stack())


def _fits(module: Any, x: Tensor, states: tuple[Tensor, ...], weights: list[Tensor], batch_first: bool) -> bool:
    """Whether the kernel can read these where they lie; it checks nothing itself."""
    shape, dtype, hidden = x.shape, x.dtype, module.hidden_size
    if len(shape) != 3 or shape[2] != module.input_size or dtype not in DTYPES or 0 in shape:
        return False
    if states:
        state_shape = (module.num_layers * (2 if module.bidirectional else 1), shape[0 if batch_first else 1], hidden)
        if len(states) != (2 if module.mode == "LSTM" else 1) or any(state.shape != state_shape for state in states):
            return False
    if [w.shape for w in weights] != _weight_shapes(module):
        return False
    for t in (x, *weights, *states):  # no generator: this runs at every call
        if type(t) not in PLAIN or t.dtype is not dtype or not t.is_cpu or t.layout is not STRIDED:
            return False
        if t.is_neg() or t._is_zerotensor():  # memory that says something else, or is none
            return False
    return True


def _check(module: Any, x: Tensor, states: tuple[Tensor, ...]) -> None:
    """torch's own check of a time-major batch, with torch's own errors."""
    module.check_input(x.transpose(0, 1) if module.batch_first else x, None)
    shape = (module.num_layers * (2 if module.bidirectional else 1), x.shape[1], module.hidden_size)
    for number, state in enumerate(states):
        named = (
            f"Expected hidden[{number}] size {{}}, got {{}}" if len(states) == 2 else "Expected hidden size {}, got {}"
        )
        module.check_hidden_size(state, shape, named)


def _states(module: Any, hx: Any) -> tuple[Tensor, ...] | None:
    """The layer's one state, or the LSTM's two; None where it is something else."""
    if module.mode != "LSTM":
        return (hx,) if isinstance(hx, Tensor) else None
    pair = isinstance(hx, tuple | list) and len(hx) == 2 and isinstance(hx[0], Tensor) and isinstance(hx[1], Tensor)
    return tuple(hx) if pair else None


def _weights(module: Any) -> list[Tensor]:
    try:
        # functional_call swaps what lies in here, so a list made earlier will not do.
        return [module._parameters[name] for name in module._flat_weights_names]
    except KeyError:  # pruned or parametrized: torch computes the weight elsewhere
        return [getattr(module, name) for name in module._flat_weights_names]


def _weight_shapes(module: Any) -> list[tuple[int, ...]]:
    return _shapes(
        GATES[module.mode],
        module.input_size,
        module.hidden_size,
        module.num_layers,
        module.bidirectional,
        module.bias,
    )


@lru_cache(maxsize=256)
def _shapes(
    gates: int, inputs: int, hidden: int, layers: int, bidirectional: bool, bias: bool
) -> list[tuple[int, ...]]:
    directions = 2 if bidirectional else 1
    shapes: list[tuple[int, ...]] = []
    for layer in range(layers):
        own = [(gates * hidden, directions * hidden if layer else inputs), (gates * hidden, hidden)]
        shapes += (own + [(gates * hidden,)] * (2 if bias else 0)) * directions
    return shapes


def _plan(module: Any, batch_first: bool) -> Plan:
    dropout = module.dropout if module.training and module.num_layers > 1 else 0.0
    make = Plan if torch.compiler.is_compiling() else _cached_plan
    return make(
        module.mode.lower(), module.hidden_size, module.num_layers, 2 if module.bidirectional else 1,
        module.bias, batch_first, dropout,
    )  # fmt: skip


_cached_plan = lru_cache(maxsize=256)(Plan)  # making one takes 3 us


def _shaped(results: Any) -> tuple[Tensor, Any]:
    """As torch's layers return it: the LSTM's state as a pair."""
    return (results[0], results[1]) if len(results) == 2 else (results[0], (results[1], results[2]))


def _dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_contiguous() else tensor.contiguous()
