"""The recurrent cells without torch.  x [B, T, D], weights by torch's names -> outputs [B, T, H*directions], state.

Uses the native kernel; where it could not be built, NumPy does the same sums, more slowly, and one warning says so.
B rows, T steps, D inputs, H hidden, G gates, L layers times directions (layer 0 forward, layer 0 reverse, layer 1 ...).
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepahead.cell_names import GATES, KERNEL_NAMES
from stepahead.errors import ConfigError
from stepahead.kernel import native as _native

Array = NDArray[Any]
State = tuple[Array, ...]  # (h,) or, for the LSTM, (h, c); each [L, B, H]
Weights = Mapping[str, Array]


@dataclass(frozen=True)
class Pass:
    """One layer in one direction: weight_ih [G*H, D], weight_hh [G*H, H], biases [G*H] or None."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None
    bias_hh: Array | None
    reverse: bool

    def cast(self, dtype: type) -> "Pass":
        """The same weights, contiguous, as float32 or float64."""
        weights: list[Array] = [np.ascontiguousarray(w, dtype) for w in (self.weight_ih, self.weight_hh)]
        biases: list[Array | None] = [
            None if b is None else np.ascontiguousarray(b, dtype) for b in (self.bias_ih, self.bias_hh)
        ]
        return Pass(weights[0], weights[1], biases[0], biases[1], self.reverse)


def scan(
    cell: str, x: Array, weights: Weights, *, state: State | None = None, lengths: Array | None = None
) -> tuple[Array, State]:
    """Run a whole network of recurrent layers over sequences.

    Args:
        cell: "rnn" (tanh), "rnn_relu", "lstm" or "gru".
        x: [B, T, D], float32 or float64.
        weights: torch's names (weight_ih_l0, weight_hh_l0, bias_ih_l0, weight_ih_l0_reverse, weight_ih_l1, ...);
            layers and directions follow from the names.
        state: (h,) or (h, c), each [L, B, H]; None means zeros.
        lengths: [B] valid steps of each row, 0..T; outputs beyond are zero, the state stops there.

    Returns:
        Outputs [B, T, H*directions] of the last layer, and the state after the last step.

    Raises:
        ConfigError: an unknown cell, or shapes that do not fit one another.

    Example:
        >>> import numpy as np
        >>> ones = {"weight_ih_l0": np.ones((2, 1)), "weight_hh_l0": np.zeros((2, 2))}
        >>> outputs, (h,) = scan("rnn", np.zeros((1, 3, 1)), ones)
        >>> outputs.shape, h.shape
        ((1, 3, 2), (1, 1, 2))
    """
    layers = passes(cell, weights)
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    x = np.asarray(x, dtype)
    state = _checked_state(cell, x, layers, state)
    lengths = _checked_lengths(x, lengths)
    run = _scan_native if has_kernel() else _scan_numpy
    finals: list[State] = []
    for layer in layers:
        hidden = layer[0].weight_hh.shape[1]
        outputs = np.empty((*x.shape[:2], hidden * len(layer)), dtype)
        for i, direction in enumerate(layer):
            start = tuple(np.ascontiguousarray(part[len(finals)], dtype) for part in state)
            part = outputs[:, :, i * hidden : (i + 1) * hidden]
            finals.append(run(cell, x, direction.cast(dtype), start, lengths, part))
        x = outputs
    return x, tuple(np.stack(part) for part in zip(*finals, strict=True))


class Stepper:
    """One network, one step at a time: what a stream carries its state through.

    Args:
        cell, weights: as `scan`; forward in time only.

    Raises:
        ConfigError: as `scan`, and for weights that also run in reverse.

    Example:
        >>> import numpy as np
        >>> stepper = Stepper("rnn", {"weight_ih_l0": np.ones((2, 1)), "weight_hh_l0": np.zeros((2, 2))})
        >>> state = stepper.zero_state(1)
        >>> stepper.advance(np.ones((1, 1), np.float32), state)
        >>> state[0].shape, bool((state[0] > 0).all())
        ((1, 1, 2), True)
    """

    def __init__(self, cell: str, weights: Weights) -> None:
        layers = passes(cell, weights)
        if any(len(layer) != 1 for layer in layers):
            raise ConfigError("a bidirectional network needs the whole sequence: it cannot go step by step")
        self.cell = cell
        self.layers = [layer[0].cast(np.float32) for layer in layers]
        self._kernel = None
        if has_kernel():
            arrays = [(p.weight_ih, p.weight_hh, p.bias_ih, p.bias_hh) for p in self.layers]
            self._kernel = _native.Stepper(KERNEL_NAMES[cell], arrays)

    def zero_state(self, rows: int) -> State:
        """The state before anything was seen: (h,) or (h, c) of zeros, each [L, B, H]."""
        shape = (len(self.layers), rows, self.layers[0].weight_hh.shape[1])
        return tuple(np.zeros(shape, np.float32) for _ in range(2 if self.cell == "lstm" else 1))

    def generator(self, rows: Array, head: Array, bias: Array) -> Any:
        """What goes on by itself under a head: rows [V, D], head [K, H], bias [K]; None where there is no kernel."""
        if self._kernel is None or not hasattr(_native, "Generator"):
            return None
        arrays = [np.ascontiguousarray(array, np.float32) for array in (rows, head, bias)]
        return _native.Generator(self._kernel, *arrays)

    def advance(self, x: Array, state: State) -> None:
        """Take one observation in: the state itself moves on, to what `scan` gives, bit for bit.

        x: [B, D], state: as `zero_state`; float32 and contiguous.
        """
        if self._kernel is not None:
            self._kernel.step(x, state[0], state[1] if self.cell == "lstm" else None)
            return
        x = x[:, None]
        for i, layer in enumerate(self.layers):
            outputs = np.empty((len(x), 1, layer.weight_hh.shape[1]), np.float32)
            final = _scan_numpy(self.cell, x, layer, tuple(part[i] for part in state), None, outputs)
            for part, new in zip(state, final, strict=True):
                part[i] = new
            x = outputs


def passes(cell: str, weights: Weights) -> list[list[Pass]]:
    """Read layers and directions off the weights' names."""
    if cell not in GATES:
        raise ConfigError(f"cell={cell!r}: must be one of {', '.join(GATES)}")
    layers: list[list[Pass]] = []
    while f"weight_ih_l{len(layers)}" in weights:
        stem = f"l{len(layers)}"
        names = [stem, f"{stem}_reverse"] if f"weight_ih_{stem}_reverse" in weights else [stem]
        layers.append([_pass(cell, weights, name) for name in names])
    if not layers:
        raise ConfigError(f"weights: 'weight_ih_l0' is missing; found {', '.join(sorted(weights)) or 'nothing'}")
    return layers


def cell_shapes(cell: str, inputs: int, hidden: int, layers: int, *, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """The shape of each array of a stack that goes forward in time, with biases."""
    rows, wanted = GATES[cell] * hidden, dict[str, tuple[int, ...]]()
    for n in range(layers):
        wanted |= {f"weight_ih_l{n}": (rows, hidden if n else inputs), f"weight_hh_l{n}": (rows, hidden)}
        wanted |= {f"bias_ih_l{n}": (rows,), f"bias_hh_l{n}": (rows,)}
    return {prefix + name: shape for name, shape in wanted.items()}


def check_shapes(weights: Weights, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ConfigError for the first array that is absent or of another shape, which NumPy might broadcast."""
    for name, shape in wanted.items():
        found = list(weights[name].shape) if name in weights else "nothing"
        if found != list(shape):
            raise ConfigError(f"'{name}' must be {list(shape)}, found {found}")


def _pass(cell: str, weights: Weights, name: str) -> Pass:
    weight_ih, weight_hh = (np.ascontiguousarray(weights[f"weight_{part}_{name}"]) for part in ("ih", "hh"))
    hidden = weight_hh.shape[-1]
    if weight_hh.shape != (GATES[cell] * hidden, hidden) or weight_ih.shape[0] != weight_hh.shape[0]:
        raise ConfigError(
            f"weights of {name}: a {cell} needs weight_ih [{GATES[cell]}*H, D] and weight_hh [{GATES[cell]}*H, H];"
            f" found {list(weight_ih.shape)} and {list(weight_hh.shape)}"
        )
    biases = [weights.get(f"bias_{part}_{name}") for part in ("ih", "hh")]
    if any((bias is None) != (biases[0] is None) for bias in biases) or any(
        bias is not None and bias.shape != weight_ih.shape[:1] for bias in biases
    ):
        raise ConfigError(f"weights of {name}: biases are two of [{GATES[cell]}*H], or none")
    return Pass(weight_ih, weight_hh, biases[0], biases[1], reverse=name.endswith("_reverse"))


def _checked_state(cell: str, x: Array, layers: Sequence[Sequence[Pass]], state: State | None) -> State:
    first = layers[0][0]
    if x.ndim != 3 or x.shape[2] != first.weight_ih.shape[1]:
        raise ConfigError(f"x: expected [B, T, {first.weight_ih.shape[1]}], found {list(x.shape)}")
    shape = (sum(len(layer) for layer in layers), x.shape[0], first.weight_hh.shape[1])
    wanted = 2 if cell == "lstm" else 1
    if state is None:
        return tuple(np.zeros(shape, x.dtype) for _ in range(wanted))
    if len(state) != wanted or any(part.shape != shape for part in state):
        found = [list(part.shape) for part in state]
        raise ConfigError(f"state: a {cell} carries {wanted} of shape {list(shape)}; found {found}")
    return state


def _checked_lengths(x: Array, lengths: Array | None) -> Array | None:
    if lengths is None:
        return None
    lengths = np.ascontiguousarray(lengths, np.int64)
    if lengths.shape != x.shape[:1] or (len(lengths) and not 0 <= lengths.min() <= lengths.max() <= x.shape[1]):
        raise ConfigError(f"lengths: expected {x.shape[0]} numbers from 0 to {x.shape[1]}; found {lengths.tolist()}")
    return lengths


def _scan_native(cell: str, x: Array, direction: Pass, state: State, lengths: Array | None, outputs: Array) -> State:
    """One pass on the kernel: writes outputs [B, T, H], returns the final state."""
    final = tuple(np.empty_like(part) for part in state)
    _native.scan_forward(
        KERNEL_NAMES[cell],
        x.transpose(1, 0, 2),
        direction.weight_ih,
        direction.weight_hh,
        direction.bias_ih,
        direction.bias_hh,
        state[0],
        state[1] if cell == "lstm" else None,
        lengths,
        direction.reverse,
        outputs.transpose(1, 0, 2),
        final[0],
        final[1] if cell == "lstm" else None,
        None,
    )
    return final


def _scan_numpy(cell: str, x: Array, direction: Pass, state: State, lengths: Array | None, outputs: Array) -> State:
    """The same in NumPy."""
    steps = x.shape[1]
    projected = x @ direction.weight_ih.T
    if direction.bias_ih is not None:
        projected = projected + direction.bias_ih
    bias_hh = 0 if direction.bias_hh is None else direction.bias_hh
    for t in reversed(range(steps)) if direction.reverse else range(steps):
        recurrent = state[0] @ direction.weight_hh.T + bias_hh  # [B, G*H]
        ahead = STEPS[cell](projected[:, t], recurrent, state)
        if lengths is None:
            outputs[:, t], state = ahead[0], ahead
            continue
        on = (t < lengths)[:, None]
        outputs[:, t] = np.where(on, ahead[0], 0)
        state = tuple(np.where(on, new, old) for new, old in zip(ahead, state, strict=True))
    return state


def _step_rnn(x: Array, h: Array, state: State) -> State:
    """Elman 1990: h' = tanh(W x + U h + b)."""
    return (np.tanh(x + h),)


def _step_relu(x: Array, h: Array, state: State) -> State:
    """Le et al. 2015: h' = max(W x + U h + b, 0)."""
    return (np.maximum(x + h, 0),)


def _step_lstm(x: Array, h: Array, state: State) -> State:
    """Hochreiter and Schmidhuber 1997 with Gers' forget gate 2000; order i, f, g, o."""
    i, f, g, o = np.split(x + h, 4, axis=1)
    c = _sigmoid(f) * state[1] + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _step_gru(x: Array, h: Array, state: State) -> State:
    """Cho et al. 2014; reset applied after the product, as torch.nn; order r, z, n."""
    x_r, x_z, x_n = np.split(x, 3, axis=1)
    h_r, h_z, h_n = np.split(h, 3, axis=1)
    z = _sigmoid(x_z + h_z)
    n = np.tanh(x_n + _sigmoid(x_r + h_r) * h_n)
    return ((1 - z) * n + z * state[0],)


def _sigmoid(x: Array) -> Array:
    # By tanh, so that nothing overflows.
    return 0.5 + 0.5 * np.tanh(0.5 * x)


STEPS: dict[str, Callable[[Array, Array, State], State]] = {
    "rnn": _step_rnn,
    "rnn_relu": _step_relu,
    "lstm": _step_lstm,
    "gru": _step_gru,
}


@cache
def has_kernel() -> bool:
    """Whether the native kernel is there; the first call warns where it is not."""
    if _native is None:
        warnings.warn(
            "stepahead's native kernel is not installed; NumPy does its work, several times slower. "
            "A wheel, or a C++ compiler while installing, brings it",
            RuntimeWarning,
            stacklevel=3,
        )
    return _native is not None
