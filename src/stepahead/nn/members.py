"""The cells of all members, last output alone.  Embedded patches [M, N, T, E], weights -> [M, N, D].

On a CPU the kernel takes them in one call and the memory between forward and backward is kept from step to step;
elsewhere torch's own layers serve.

Legend: M members, N windows, T steps, E embedding, D hidden, G gates.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stepahead.cell_names import CODES, KERNEL_NAMES
from stepahead.nn.stack import LSTM, _native


@dataclass
class Workspace:
    """The kernel's memory and threads.

    threads: of the kernel; its answers do not depend on them, as torch's products may.
    """

    threads: int = field(default_factory=torch.get_num_threads)
    kept: dict[str, Tensor] = field(default_factory=dict)

    def room(self, name: str, *size: int) -> Tensor:
        """Uninitialised memory of this size, the same at each call: float32."""
        found = self.kept.get(name)
        if found is None or found.shape != size:
            found = self.kept[name] = torch.empty(size)
        return found


def last_outputs(cell: str, x: Tensor, weights: tuple[Tensor, ...], workspace: Workspace) -> Tensor:
    """The last output of each member's cell: x [M, N, T, E] -> [M, N, D].

    weights: weight_ih [M, G*D, E], weight_hh [M, G*D, D], bias_ih, bias_hh [M, G*D].
    """
    if _native is not None and x.device.type == "cpu":
        found: Tensor = LastOutput.apply(KERNEL_NAMES[cell], workspace, x, *weights)
        return found
    return torch.stack([run_one(cell, x[m].transpose(0, 1), [w[m] for w in weights]) for m in range(len(x))])


class LastOutput(torch.autograd.Function):
    """apply(cell, workspace, x, weight_ih, weight_hh, bias_ih, bias_hh) -> [M, N, D]; one backward, before the next
    forward.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        workspace: Workspace,
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
    ) -> Tensor:
        m, n, t, e = x.shape
        d, code, x = weight_hh.shape[2], CODES[cell], x.contiguous()
        saved = workspace.room("saved", m, _native.saved_size(cell, 1, t, n, e, d, double=False))
        outputs, last = workspace.room("outputs", m, t, n, d), torch.empty(m, n, d)
        memory = workspace.room("memory", m, n, d) if code == LSTM else None
        _native.scan_forward_at(
            code, False, m, t, n, e, d, False, workspace.threads, x.data_ptr(), n * t * e, e, t * e, 1,
            weight_ih.data_ptr(), weight_hh.data_ptr(), bias_ih.data_ptr(), bias_hh.data_ptr(), 0, 0, 0,
            outputs.data_ptr(), t * n * d, n * d, d, last.data_ptr(), 0 if memory is None else memory.data_ptr(),
            saved.data_ptr(),
        )  # fmt: skip
        ctx.code, ctx.workspace, ctx.saved, ctx.sizes = code, workspace, saved, (m, n, t, e, d)
        ctx.save_for_backward(weight_ih, weight_hh)
        return last

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight_ih, weight_hh = ctx.saved_tensors
        m, n, t, e, d = ctx.sizes
        grad, grad_x = grad.contiguous(), ctx.workspace.room("grad_x", m, n, t, e)
        gates = weight_ih.shape[1]
        grads = [torch.empty_like(weight_ih), torch.empty_like(weight_hh), torch.empty(m, gates), torch.empty(m, gates)]
        _native.scan_backward_at(
            ctx.code, False, m, t, n, e, d, False, ctx.workspace.threads, weight_ih.data_ptr(), weight_hh.data_ptr(), 0,
            ctx.saved.data_ptr(), 0, 0, 0, 0, 0, grad.data_ptr(), 0, grad_x.data_ptr(), n * t * e, e, t * e,
            *[part.data_ptr() for part in grads], 0, 0,
        )  # fmt: skip
        return None, None, grad_x, *grads


def run_one(cell: str, x: Tensor, weights: list[Tensor]) -> Tensor:
    """One member's last output, by torch's own layers: x [T, N, E] -> [N, D]."""
    zero = x.new_zeros(1, x.shape[1], weights[1].shape[1])
    if cell == "lstm":
        return torch._VF.lstm(x, (zero, zero), weights, True, 1, 0.0, False, False, False)[1][0]
    run = {"gru": torch._VF.gru, "rnn": torch._VF.rnn_tanh, "rnn_relu": torch._VF.rnn_relu}[cell]
    return run(x, zero, weights, True, 1, 0.0, False, False, False)[1][0]
