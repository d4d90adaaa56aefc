"""The recurrent cells as textbook loops in torch.  (x [T, B, D], state, weights) -> (outputs [T, B, H], state).

Slow and plain: what the kernel is tested against, and what second derivatives are taken from.
T steps, B rows, D inputs, H hidden, G gates (RNN 1, GRU 3, LSTM 4).
"""

from collections.abc import Callable

import torch
from torch import Tensor

State = tuple[Tensor, ...]  # (h,) or, for the LSTM, (h, c); each [B, H]


def scan(
    cell: str,
    x: Tensor,
    state: State,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    *,
    lengths: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """Run one layer in one direction over all steps.

    Args:
        cell: "rnn_tanh", "rnn_relu", "lstm" or "gru".
        x: [T, B, D].
        state: (h,) or (h, c), each [B, H].
        weight_ih: [G*H, D].
        weight_hh: [G*H, H].
        bias_ih: [G*H] or None.
        bias_hh: [G*H] or None.
        lengths: [B] valid steps of each row; outputs beyond are zero and the state stops there. None means T.
        reverse: from the last valid step to the first.

    Returns:
        outputs [T, B, H], and the state after the last step.

    Example:
        >>> outputs, (h,) = scan("rnn_tanh", torch.ones(3, 1, 2), (torch.zeros(1, 4),), torch.ones(4, 2), torch.eye(4))
        >>> outputs.shape, torch.equal(outputs[-1], h)
        (torch.Size([3, 1, 4]), True)
    """
    step = STEPS[cell]
    steps, outputs = len(x), [torch.zeros_like(state[0])] * len(x)
    for t in reversed(range(steps)) if reverse else range(steps):
        from_input = torch.nn.functional.linear(x[t], weight_ih, bias_ih)  # [B, G*H]
        from_state = torch.nn.functional.linear(state[0], weight_hh, bias_hh)  # [B, G*H]
        ahead = step(from_input, from_state, state)
        if lengths is None:
            outputs[t], state = ahead[0], ahead
        else:
            valid = (t < lengths)[:, None]
            outputs[t] = torch.where(valid, ahead[0], 0)
            state = tuple(torch.where(valid, new, old) for new, old in zip(ahead, state, strict=True))
    return torch.stack(outputs), state


def rnn_tanh(from_input: Tensor, from_state: Tensor, state: State) -> State:
    """RNN, Elman 1990: h' = tanh(W x + b + U h + c), one bias for each product as torch.nn."""
    return (torch.tanh(from_input + from_state),)


def rnn_relu(from_input: Tensor, from_state: Tensor, state: State) -> State:
    """RNN with rectified units, Le, Jaitly and Hinton 2015: h' = max(0, W x + b + U h + c)."""
    return (torch.relu(from_input + from_state),)


def lstm(from_input: Tensor, from_state: Tensor, state: State) -> State:
    """LSTM, Hochreiter and Schmidhuber 1997, forget gate of Gers et al. 2000; no peepholes; order i, f, g, o."""
    i, f, g, o = (from_input + from_state).chunk(4, dim=1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru(from_input: Tensor, from_state: Tensor, state: State) -> State:
    """GRU, Cho et al. 2014; reset applied after the product, as torch.nn; order r, z, n."""
    x_r, x_z, x_n = from_input.chunk(3, dim=1)
    h_r, h_z, h_n = from_state.chunk(3, dim=1)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return ((1 - z) * n + z * state[0],)


STEPS: dict[str, Callable[[Tensor, Tensor, State], State]] = {
    "rnn_tanh": rnn_tanh,
    "rnn_relu": rnn_relu,
    "lstm": lstm,
    "gru": gru,
}
