"""The panel network's heads for distributions.  What the network says, and the truth -> the loss of each member.

The location is that of the point head; beside it stand S numbers a step, read off the same last layer. Spread is
measured in each window's own unit, its usual change over a season, so that a restless series begins with a wide one.

Legend: M members, N windows, H horizon, S numbers of the spread, Q quantiles.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stepahead.limits import DISPERSION, LEAST_COUNT, LOG_FLOOR, WIDE
from stepahead.nn.panel import Descent, Distribution, Feed, PanelNetwork, in_scale


def make_distribution(head: str, quantiles: Sequence[float]) -> tuple[Distribution | None, np.ndarray | None]:
    """A head's loss, and where its spread starts [S]; None for a point. head: "quantile" | "student_t" | ..."""
    if head == "quantile":
        scores = [NormalDist().inv_cdf(q) for q in quantiles]
        return Pinball(tuple(quantiles)), np.log(np.diff(scores)).astype(np.float32)
    starts = {"student_t": (student_t, -0.5), "negative_binomial": (negative_binomial, -1.5)}
    if head not in starts:
        return None, None
    loss, start = starts[head]
    return loss, np.array([start], dtype=np.float32)


class Pinball:
    """Koenker and Bassett 1978: the mean over the quantiles, twice, so that the median alone costs its absolute error.

    Windows weigh as in the point head's loss, but not by the truth: that would move the quantiles.
    """

    def __init__(self, quantiles: tuple[float, ...]) -> None:
        self.quantiles = quantiles

    def __call__(self, network: PanelNetwork, feed: Feed, descent: Descent) -> Tensor:
        location, inner = network.read(feed)
        said = values_in_scale(
            quantile_values(location, network.spread(inner), feed, self.quantiles), feed, descent.logs
        )
        error = feed.y[..., None] - said  # [M, N, H, Q]
        level = error.new_tensor(self.quantiles)
        cost = 2 * torch.maximum(level * error, (level - 1) * error).mean(dim=-1)
        return mean_there(cost * (feed.importance + 0.5 / descent.percent)[..., None], feed)


def quantile_values(location: Tensor, spread: Tensor, feed: Feed, quantiles: Sequence[float]) -> Tensor:
    """Quantiles that cannot cross: the median, and from there outwards gaps above zero: [M, N, H, Q]."""
    assert feed.unit is not None
    gaps = torch.exp(spread.clamp(-WIDE, WIDE)) * feed.unit[..., None, None]  # [M, N, H, Q-1]
    middle = list(quantiles).index(0.5)
    above = gaps[..., middle:].cumsum(dim=-1)
    below = gaps[..., :middle].flip(-1).cumsum(dim=-1).flip(-1)
    center = location[..., None]
    return torch.cat([center - below, center, center + above], dim=-1)


def values_in_scale(values: Tensor, feed: Feed, logs: int) -> Tensor:
    """in_scale for several numbers a step: [M, N, H, Q]."""
    m, n, h, q = values.shape
    return in_scale(values.reshape(m, n, h * q), feed, logs).view(m, n, h, q)


def student_t(network: PanelNetwork, feed: Feed, descent: Descent) -> Tensor:
    """Negative log-likelihood of Student's t, in the words of each member: of values, or of logarithms.

    Degrees of freedom 2 + softplus(tail), of each member.
    """
    assert feed.unit is not None
    location, inner = network.read(feed)
    scale = torch.exp(network.spread(inner)[..., 0].clamp(-WIDE, WIDE)) * feed.unit[..., None]
    freedom = (2 + F.softplus(network.tail))[..., None]  # [M, 1, 1]
    fit = torch.distributions.StudentT(freedom, location, scale, validate_args=False)
    return mean_there(-fit.log_prob(as_said(feed, descent.logs)), feed)


def as_said(feed: Feed, logs: int) -> Tensor:
    """The truth as each member would say it: [M, N, H]."""
    level, split = feed.level[..., None], len(feed.y) - logs
    curve = torch.log((feed.y[split:] + feed.offset[split:, :, None]).clamp_min(LOG_FLOOR))
    return torch.cat([feed.y[:split], curve]) - level


def negative_binomial(network: PanelNetwork, feed: Feed, descent: Descent) -> Tensor:
    """Negative log-likelihood of counts, mean and dispersion: the variance is mean + dispersion * mean^2.

    In double precision: a small dispersion is the difference of large logarithms.
    """
    assert feed.size is not None
    location, inner = network.read(feed)
    size = feed.size[..., None].double()
    mean = size * positive(in_scale(location, feed, descent.logs)).double()
    dispersion = torch.exp(network.spread(inner)[..., 0].clamp(*np.log(DISPERSION))).double()
    y, shape = (feed.y.double() * size).round(), 1 / dispersion
    product = dispersion * mean
    fit = torch.lgamma(y + shape) - torch.lgamma(shape) - torch.lgamma(y + 1)
    fit = fit - shape * torch.log1p(product) + y * (torch.log(product) - torch.log1p(product))
    return mean_there(-fit.float(), feed)


def positive(said: Tensor) -> Tensor:
    """Nearly what it is where it is large, and never zero."""
    return (0.5 * (said + torch.sqrt(said.square() + 0.04))).clamp_min(LEAST_COUNT)


def mean_there(cost: Tensor, feed: Feed) -> Tensor:
    """The mean over known truths: cost [M, N, H] -> [M]."""
    return (cost * feed.there).sum(dim=(1, 2)) / feed.there.sum(dim=(1, 2)).clamp_min(1.0)
