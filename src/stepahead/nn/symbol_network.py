"""The network of symbols: a recurrent stack with a softmax head.  Codes -> hidden units -> surprise.

Legend: B rows, T steps, N of both, E inputs of the cell, V codes, D hidden, K classes.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepahead.nn.codes import LARGEST, read_codes, serves, softmax_loss, softmax_serves
from stepahead.nn.network import make_cell
from stepahead.runtime.symbols import Shape


class SymbolNetwork(nn.Module):
    """Embedding or one-hot, a recurrent stack, dropout, and a linear head, tied to the embedding if asked.

    Source: tied weights, Press and Wolf 2017; dropout between layers only, Zaremba et al. 2014.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.embedding or shape.inputs + shape.times
        if shape.embedding:
            self.embedding = nn.Embedding(shape.inputs + 1, width, padding_idx=shape.inputs)
        if shape.embedding and shape.times:
            self.times = nn.Embedding(shape.times + 1, width, padding_idx=0)
        self.cell = make_cell(shape.cell, width, shape.hidden_size, shape.num_layers, shape.dropout)
        self.dropout = nn.Dropout(shape.dropout)
        self.head: nn.Linear | Bias = Bias(shape.classes) if shape.tied else nn.Linear(shape.hidden_size, shape.classes)
        if shape.tied:
            self.projection = nn.Linear(shape.hidden_size, width, bias=False)
            nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def forward(self, codes: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """codes [B, T] -> hidden [B, T, D] after dropout, and the state. Codes: see `Engine`."""
        if not self.shape.embedding or (self.shape.inputs + 1) * (self.shape.times + 1) <= LARGEST:
            symbols, times = self._vectors()
            table = (times[:, None] + symbols).flatten(0, 1)  # [(times + 1) * V, E]
            # A symbol loses the same numbers wherever it stands: the table of its products stays a table.
            return self._read(codes, self.dropout(table) if self.shape.embedding else table, state)
        vectors = self.embedding(codes % (self.shape.inputs + 1))
        if self.shape.times:
            vectors = vectors + self.times(codes // (self.shape.inputs + 1))
        hidden, state = self.cell(self.dropout(vectors), state)
        return self.dropout(hidden), state

    def _vectors(self) -> tuple[Tensor, Tensor]:
        """Of symbols [V, E], the last, one never seen, of zeros; of times [times + 1, E], the first of zeros."""
        shape = self.shape
        if shape.embedding:
            times = self.times.weight[1:] if shape.times else self.embedding.weight.new_zeros(0, shape.embedding)
            return F.pad(self.embedding.weight[:-1], (0, 0, 0, 1)), F.pad(times, (0, 0, 1, 0))
        columns = torch.eye(shape.inputs + shape.times)
        return F.pad(columns[: shape.inputs], (0, 0, 0, 1)), F.pad(columns[shape.inputs :], (0, 0, 1, 0))

    def _read(self, codes: Tensor, vectors: Tensor, state: Any) -> tuple[Tensor, Any]:
        """vectors: what the cell reads for each code, [V, E]."""
        if serves(self.cell, codes, len(vectors)):
            weight, bias = self.cell.get_parameter("weight_ih_l0"), self.cell.get_parameter("bias_ih_l0")
            table = F.linear(vectors, weight, bias)
            hidden, state = read_codes(self.cell, codes, table, state)
        else:
            hidden, state = self.cell(F.embedding(codes, vectors), state)
        return self.dropout(hidden), state

    def rows(self) -> Tensor:
        """The vectors that the classes are compared with: [K, D], or [K, E] where tied."""
        return self.head.weight if isinstance(self.head, nn.Linear) else self.embedding.weight[: self.shape.classes]

    def loss(self, hidden: Tensor, targets: Tensor, sampled: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """Summed surprise in nats of targets [B, T], those of -1 left out, times scale."""
        flat, true = hidden.flatten(0, 1), targets.flatten()  # [N, D], [N]
        if self.shape.tied:
            flat = self.projection(flat)
        if sampled is None and softmax_serves(flat, self.rows()):
            return softmax_loss(flat, self.rows(), self.head.bias, true, scale)
        known = true >= 0
        if not bool(known.all()):
            flat, true = flat[known], true[known]
        if sampled is None:
            return F.cross_entropy(F.linear(flat, self.rows(), self.head.bias), true, reduction="sum") * scale
        return self._sampled(flat, true, sampled) * scale

    def _sampled(self, flat: Tensor, true: Tensor, sampled: Tensor) -> Tensor:
        """Only the batch's own classes and a drawn sample compete; the drawn are weighed by how rarely they are drawn.

        Source: importance-sampled softmax, Bengio and Senecal 2008, the candidates shared by the batch.
        """
        own = true.unique()
        others = sampled[~torch.isin(sampled, own)]
        candidates = torch.cat([own, others])
        logits = F.linear(flat, self.rows()[candidates], self.head.bias[candidates])
        if len(others):
            logits[:, len(own) :] += math.log((self.shape.classes - len(own)) / len(others))
        return F.cross_entropy(logits, torch.searchsorted(own, true), reduction="sum")


class Bias(nn.Module):
    """The bias of a head whose weight belongs to the embedding."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(classes))
