"""The panel's heads for distributions: losses beside SciPy's, and the path without torch beside torch."""

import numpy as np
import pytest
import torch
from scipy import stats

from stepahead.choices import QUANTILES
from stepahead.nn import panel as net
from stepahead.nn.panel_heads import as_said, make_distribution, positive, quantile_values, values_in_scale
from stepahead.runtime.panel_heads import PanelReading
from stepahead.runtime.panel_heads import positive as positive_without_torch

MEMBERS, N, STEPS, PATCH, HORIZON, CONTEXT = 3, 5, 4, 3, 2, 4
LOGS = 1


def made(head: str, quantiles: tuple[float, ...] = QUANTILES) -> tuple[net.PanelNetwork, net.Feed, net.Descent]:
    """A network of random weights, a batch, and how it is taught."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    distribution, spread = make_distribution(head, quantiles)
    shape = net.Shape(
        MEMBERS,
        STEPS * PATCH,
        PATCH,
        HORIZON,
        CONTEXT,
        hidden=8,
        embedding=7,
        spread=len(spread),
        tail=head == "student_t",
    )
    start = net.Start(
        rng.normal(size=(MEMBERS, STEPS * PATCH, HORIZON)).astype(np.float32),
        np.zeros((MEMBERS, 0, 1), np.float32),
        spread,
    )
    network = net.PanelNetwork(shape, start).eval()
    with torch.no_grad():
        for parameter in (network.head_weight, network.head_bias, getattr(network, "spread_weight", None)):
            if parameter is not None:
                parameter.normal_(std=0.2)
    sizes = {"patches": (STEPS, 2 * PATCH), "z": (STEPS * PATCH,), "base": (HORIZON,), "context": (CONTEXT,)}
    sizes |= {
        "shift": (HORIZON, 0),
        "level": (),
        "offset": (),
        "y": (HORIZON,),
        "importance": (),
        "unit": (),
        "size": (),
    }
    arrays = {name: rng.normal(size=(MEMBERS, N, *size)).astype(np.float32) for name, size in sizes.items()}
    for name in ("y", "offset", "unit", "size", "importance"):
        arrays[name] = np.abs(arrays[name]) + 0.1
    arrays["size"] *= 20
    arrays["y"] = np.round(arrays["y"] * arrays["size"][..., None]) / arrays["size"][..., None]
    arrays["there"] = np.ones((MEMBERS, N, HORIZON), np.float32)
    arrays["there"][:, 0, 1] = 0
    feed = net.Feed(**{name: torch.as_tensor(a) for name, a in arrays.items()})
    return network, feed, net.Descent(0.0, None, LOGS, 0.5, distribution=distribution)


def mean_there(cost: np.ndarray, feed: net.Feed) -> np.ndarray:
    there = feed.there.numpy()
    return (cost * there).sum(axis=(1, 2)) / there.sum(axis=(1, 2))


def test_student_t_loss_is_scipy_s_log_density() -> None:
    network, feed, descent = made("student_t")
    location, inner = network.read(feed)
    scale = np.exp(network.spread(inner)[..., 0].detach().numpy()) * feed.unit.numpy()[..., None]
    said, y = location.detach().numpy(), as_said(feed, LOGS).numpy()
    freedom = 2 + np.log1p(np.exp(4.0))
    expected = mean_there(-stats.t.logpdf(y, freedom, said, scale), feed)
    np.testing.assert_allclose(descent.distribution(network, feed, descent).detach(), expected, rtol=1e-4)


def test_count_loss_is_scipy_s_log_probability() -> None:
    network, feed, descent = made("negative_binomial")
    location, inner = network.read(feed)
    mean = (feed.size[..., None] * positive(net.in_scale(location, feed, LOGS))).detach().numpy()
    shape = 1 / np.exp(network.spread(inner)[..., 0].detach().numpy())
    counts = np.round(feed.y.numpy() * feed.size.numpy()[..., None])
    expected = mean_there(-stats.nbinom.logpmf(counts, shape, shape / (shape + mean)), feed)
    np.testing.assert_allclose(descent.distribution(network, feed, descent).detach(), expected, rtol=1e-4)


def test_pinball_loss_equals_a_loop_over_quantiles() -> None:
    network, feed, descent = made("quantile")
    location, inner = network.read(feed)
    said = (
        values_in_scale(quantile_values(location, network.spread(inner), feed, QUANTILES), feed, LOGS).detach().numpy()
    )
    cost = np.zeros((MEMBERS, N, HORIZON))
    for i, q in enumerate(QUANTILES):
        error = feed.y.numpy() - said[..., i]
        cost += 2 * np.maximum(q * error, (q - 1) * error) / len(QUANTILES)
    cost *= feed.importance.numpy()[..., None] + 1.0
    np.testing.assert_allclose(descent.distribution(network, feed, descent).detach(), mean_there(cost, feed), rtol=1e-4)
    assert (np.diff(said, axis=-1) >= 0).all()  # quantiles never cross


@pytest.mark.parametrize("quantiles", [QUANTILES, (0.1, 0.5), (0.5,)], ids=len)
def test_quantiles_without_torch_are_those_of_torch(quantiles: tuple[float, ...]) -> None:
    network, feed, _ = made("quantile", quantiles)
    with torch.no_grad():
        location, inner = network.read(feed)
        spread = network.spread(inner)
        expected = values_in_scale(quantile_values(location, spread, feed, quantiles), feed, LOGS).numpy()
    reading = PanelReading("quantile", quantiles, np.zeros((0, 2)))
    for m, weights, read in members(network, feed):
        found = reading.said("gru", weights, read, logs=m >= MEMBERS - LOGS)
        np.testing.assert_allclose(found.values, expected[m], rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(found.location, expected[m][..., quantiles.index(0.5)], rtol=2e-5, atol=2e-5)


def test_student_t_quantiles_without_torch_are_scipy_s() -> None:
    network, feed, _ = made("student_t")
    with torch.no_grad():
        location, inner = network.read(feed)
        scale = np.exp(network.spread(inner)[..., 0].numpy()) * feed.unit.numpy()[..., None]
    p = PanelReading("student_t", QUANTILES, np.zeros((0, 2))).probabilities
    reading = PanelReading("student_t", QUANTILES, np.stack([p, stats.t.ppf(p, 6.0)], axis=1))
    for m, weights, read in members(network, feed):
        if m >= MEMBERS - LOGS:
            continue
        found = reading.said("gru", weights, read, logs=False).values
        q = location[m].numpy()[..., None] + scale[m][..., None] * stats.t.ppf(reading.probabilities, 6.0)
        np.testing.assert_allclose(found, q + feed.level[m].numpy()[:, None, None], rtol=1e-4, atol=1e-4)


def test_counts_without_torch_have_torch_s_mean_and_dispersion() -> None:
    network, feed, _ = made("negative_binomial")
    with torch.no_grad():
        location, inner = network.read(feed)
        expected = positive(net.in_scale(location, feed, LOGS)).numpy()
        spread = network.spread(inner).numpy()
    reading = PanelReading("negative_binomial", QUANTILES, np.zeros((0, 2)))
    for m, weights, read in members(network, feed):
        found = reading.said("gru", weights, read, logs=m >= MEMBERS - LOGS)
        np.testing.assert_allclose(positive_without_torch(found.location), expected[m], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.spread, spread[m], rtol=1e-4, atol=1e-5)


def members(network: net.PanelNetwork, feed: net.Feed):
    """Each member's weights and what it reads, as arrays."""
    for m in range(MEMBERS):
        weights = {name: p[m].detach().numpy() for name, p in network.named_parameters()}
        yield m, weights, {name: value[m].numpy() for name, value in vars(feed).items() if value is not None}
