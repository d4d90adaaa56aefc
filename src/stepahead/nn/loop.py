"""Steps of gradient descent through torch's autograd: any network, head and device.  Feeds in, losses out.

The other engine, nn/fleet.py, does the same sums for the plain networks in the native kernel, many models at once.
Legend: M models, K steps of a block, B windows of a batch, H horizon.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from stepahead.nn.heads import Head, weighted_mean
from stepahead.nn.network import weights_of

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what torch's AdamW remembers of a parameter
CHUNK = 4096  # windows that go through the network at once; a larger batch adds up its gradients

Arrays = dict[str, np.ndarray]
Feed = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
"""origins [B] -> x [B, T, F], context [B, C], target [B, H], weight [B, H], all float32."""


@dataclass(frozen=True)
class Descent:
    """How a step is taken. weight_decay: decoupled, as AdamW. gradient_clip: largest total norm, or None."""

    weight_decay: float
    gradient_clip: float | None


class Team(Protocol):
    """Networks in training, side by side: what the training loop asks of them.  M networks."""

    def run(self, blocks: Sequence[Sequence[np.ndarray] | None], rates: np.ndarray) -> np.ndarray:
        """K steps of each network: blocks M x K x [B] origins (None: not this one), rates [K] -> losses [M, K]."""
        ...

    def losses(self, origins: Mapping[int, np.ndarray]) -> list[float]:
        """The mean loss of these networks over some windows, without a step."""
        ...

    def weights(self, m: int) -> Arrays:
        """A copy of the parameters of one network, by torch's names."""
        ...

    def load(self, m: int, weights: Arrays) -> None:
        """Put parameters back that `weights` gave."""
        ...

    def state(self, m: int) -> Arrays:
        """All else that decides how its training goes on."""
        ...

    def load_state(self, m: int, state: Arrays) -> None:
        """Put back what `state` gave."""
        ...


class TorchTeam:
    """A Team whose networks train one after the other under autograd."""

    def __init__(self, loops: "Sequence[TorchLoop]") -> None:
        self.loops = loops

    def run(self, blocks: Sequence[Sequence[np.ndarray] | None], rates: np.ndarray) -> np.ndarray:
        losses = np.full((len(self.loops), len(rates)), np.nan)
        for m, (loop, block) in enumerate(zip(self.loops, blocks, strict=True)):
            if block is not None:
                losses[m] = loop.run(block, rates)
        return losses

    def losses(self, origins: Mapping[int, np.ndarray]) -> list[float]:
        return [self.loops[m].loss(windows) for m, windows in origins.items()]

    def weights(self, m: int) -> Arrays:
        return self.loops[m].weights()

    def load(self, m: int, weights: Arrays) -> None:
        self.loops[m].load(weights)

    def state(self, m: int) -> Arrays:
        return self.loops[m].state()

    def load_state(self, m: int, state: Arrays) -> None:
        self.loops[m].load_state(state)


class TorchLoop:
    """One network with its optimizer. `run` takes steps, `loss` measures, `weights` and `state` give arrays out."""

    def __init__(
        self, network: nn.Module, head: Head, feed: Feed, descent: Descent, device: str = "cpu", *, seed: int = 0
    ) -> None:
        self.network = network.to(device)
        self.head = head
        self.feed = feed
        self.descent = descent
        self.device = device
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=1e-3, weight_decay=descent.weight_decay, fused=device in ("cpu", "cuda")
        )
        # Of its own: its dropout does not hang on who trains beside it.
        self.random = torch.Generator().manual_seed(seed).get_state()
        self._kept: tuple[np.ndarray, list[tuple[Tensor, ...]]] | None = None

    def run(self, block: Sequence[np.ndarray], rates: np.ndarray) -> np.ndarray:
        """One step for each batch of origins: block K x [B], rates [K] -> the losses before each step [K]."""
        self.network.train()
        torch.set_rng_state(self.random)
        losses = torch.stack([self._step(origins, float(rate)) for origins, rate in zip(block, rates, strict=True)])
        self.random = torch.get_rng_state()
        return losses.cpu().numpy()

    @torch.no_grad()
    def loss(self, origins: np.ndarray) -> float:
        """The weighted mean loss over these windows, without a step."""
        self.network.eval()
        total, weight = 0.0, 0.0
        for part in self._parts(origins):
            share = float(part[3].sum())
            total += float(self._loss(part)) * share
            weight += share
        return total / max(weight, 1.0)

    def weights(self) -> Arrays:
        """A copy of all parameters by name."""
        return weights_of(self.network)

    def load(self, weights: Arrays) -> None:
        """Put parameters back that `weights` gave."""
        self.network.load_state_dict({n: torch.as_tensor(v.copy()) for n, v in weights.items()})

    def state(self) -> Arrays:
        """A copy of the optimizer's moments and of the random state (dropout), for a bit-exact resume."""
        moments = {
            f"{i}.{name}": torch.as_tensor(self.optimizer.state[p][name]).cpu().numpy().copy()
            for i, p in enumerate(self.parameters)
            if p in self.optimizer.state
            for name in MOMENTS
        }
        return moments | {"random": self.random.numpy().copy()}

    def load_state(self, state: Arrays) -> None:
        """Put back what `state` gave."""
        self.random = torch.as_tensor(state["random"].copy())
        for i, p in enumerate(self.parameters):
            if f"{i}.step" in state:
                self.optimizer.state[p] = {n: torch.as_tensor(state[f"{i}.{n}"].copy()).to(p.device) for n in MOMENTS}

    def _step(self, origins: np.ndarray, rate: float) -> Tensor:
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        parts = self._parts(origins)
        if len(parts) == 1:
            loss = self._loss(parts[0])
            loss.backward()
        else:
            loss = self._backward_in_parts(parts)
        if self.descent.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.descent.gradient_clip)
        self.optimizer.step()
        return loss.detach()

    def _backward_in_parts(self, parts: Sequence[tuple[Tensor, ...]]) -> Tensor:
        """The gradient of a batch too large to hold, added up part by part."""
        whole = sum(float(part[3].sum()) for part in parts)
        total = torch.zeros((), device=self.device)
        for part in parts:
            loss = self._loss(part) * (float(part[3].sum()) / whole)
            loss.backward()
            total += loss.detach()
        return total

    def _loss(self, part: tuple[Tensor, ...]) -> Tensor:
        x, context, target, weight = part
        tail = self.network.get_parameter("tail")
        losses = self.head.loss(self.network(x, context), target, tail)
        return weighted_mean(losses, weight)

    def _parts(self, origins: np.ndarray) -> list[tuple[Tensor, ...]]:
        """A batch as tensors, in parts of at most CHUNK windows; the same batch again is not gathered again."""
        if self._kept is not None and self._kept[0] is origins:
            return self._kept[1]
        starts = range(0, len(origins), CHUNK)
        parts = [tuple(torch.as_tensor(a).to(self.device) for a in self.feed(origins[i : i + CHUNK])) for i in starts]
        if len(parts) == 1:
            self._kept = (origins, parts)
        return parts
