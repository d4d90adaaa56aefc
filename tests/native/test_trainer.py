"""The fused training step against torch: parameters after a few steps, gradients, and models beside one another."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
kernel = pytest.importorskip("stepahead._native", reason="the kernel was not built here")

QUANTILES = [0.1, 0.5, 0.9]
T, D, H, HORIZON, ROWS, WINDOWS, BATCH, STEPS = 6, 3, 9, 2, 90, 50, 21, 5


def torch_parts(cell, bias, outputs):
    torch.manual_seed(0)
    if cell.startswith("rnn"):
        recurrent = torch.nn.RNN(D, H, batch_first=True, bias=bias, nonlinearity=cell[4:])
    else:
        recurrent = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](D, H, batch_first=True, bias=bias)
    return recurrent, torch.nn.Linear(H, outputs)


def flat(recurrent, head):
    parts = [*recurrent.parameters(), *head.parameters()]
    return torch.cat([part.detach().reshape(-1) for part in parts]).numpy()


def torch_loss(loss, output, target, weight):
    if loss == "pinball":
        level, error = torch.tensor(QUANTILES), target[..., None] - output.reshape(*target.shape, 3)
        each = torch.maximum(level * error, (level - 1) * error).mean(-1)
    elif loss == "huber":
        each = torch.nn.functional.huber_loss(output, target, reduction="none", delta=0.7)
    else:
        each = (output - target).square() if loss == "mse" else (output - target).abs()
    return (each * weight).sum() / weight.sum().clamp_min(1)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    scales = np.stack([rng.normal(size=(WINDOWS, D)), 1 + rng.random((WINDOWS, D))], 1)
    return {
        "rows": rng.normal(size=(ROWS, D)).astype(np.float32),
        "starts": rng.integers(0, ROWS - T + 1, WINDOWS),
        "targets": rng.normal(size=(WINDOWS, HORIZON)).astype(np.float32),
        "weights": (rng.random((WINDOWS, HORIZON)) * (rng.random((WINDOWS, HORIZON)) > 0.2)).astype(np.float32),
        "scales": scales.astype(np.float32),
    }


def run(trainer, parameters, data, order, rate=0.01, decay=0.1):
    """Updated parameters and losses [S, M]."""
    parameters = parameters.copy()
    models = len(parameters)
    losses = np.full(order.shape[:2], np.nan, np.float32)
    trainer.steps(
        parameters,
        np.zeros((2, *parameters.shape), np.float32),
        np.zeros(models, np.int64),
        order=order,
        steps=T,
        learning_rate=np.full(order.shape[:2], rate, np.float32),
        weight_decay=np.full(models, decay, np.float32),
        losses=losses,
        **data,
    )
    return parameters, losses


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "pinball"])
@pytest.mark.parametrize(("bias", "decoupled", "clip"), [(True, False, 0.0), (False, True, 0.05)])
def test_steps_equal_torchs_loop(data, cell, loss, bias, decoupled, clip):
    recurrent, head = torch_parts(cell, bias, HORIZON * (3 if loss == "pinball" else 1))
    trainer = kernel.Trainer(
        cell, D, H, HORIZON, bias=bias, loss=loss, delta=0.7, quantiles=QUANTILES, decoupled=decoupled, clip=clip
    )
    order = np.stack([np.random.default_rng(s).permutation(WINDOWS)[:BATCH] for s in range(STEPS)])[:, None]
    parameters, losses = run(trainer, flat(recurrent, head)[None], data, order)

    trained = [*recurrent.parameters(), *head.parameters()]
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = kind(trained, lr=0.01, weight_decay=0.1)
    for s, windows in enumerate(order[:, 0]):
        x = np.stack([data["rows"][start : start + T] for start in data["starts"][windows]])
        x = (x - data["scales"][windows, :1]) * data["scales"][windows, 1:]
        output = head(recurrent(torch.tensor(x))[0][:, -1])
        target, weight = (torch.tensor(data[name][windows]) for name in ("targets", "weights"))
        value = torch_loss(loss, output, target, weight)
        assert losses[s, 0] == pytest.approx(value.item(), rel=1e-4)
        optimizer.zero_grad()
        value.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(trained, clip)
        optimizer.step()
    # Adam divides by the gradient's size: where that is all but zero, float32's noise moves a weight by up to the rate.
    difference = np.abs(parameters[0] - flat(recurrent, head))
    assert np.quantile(difference, 0.99) < 2e-5
    assert difference.max() < 5e-3


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
def test_each_model_gets_the_bits_that_it_gets_alone(data, cell):
    models, rng = 4, np.random.default_rng(3)
    trainer = kernel.Trainer(cell, D, H, HORIZON, models=models, clip=1.0)
    alone = kernel.Trainer(cell, D, H, HORIZON, clip=1.0, threads=1)
    start = rng.normal(0, 0.3, (models, trainer.num_parameters)).astype(np.float32)
    order = np.stack([[rng.permutation(WINDOWS)[:BATCH] for _ in range(models)] for _ in range(STEPS)])
    order[1, 2] = -1  # passes a step by
    order[2, 1, 9:] = -1  # a short batch
    together, losses = run(trainer, start, data, order)
    for m in range(models):
        parameters, moments, taken = (
            start[m : m + 1].copy(),
            np.zeros((2, 1, start.shape[1]), np.float32),
            np.zeros(1, np.int64),
        )
        for s in range(STEPS):
            windows = order[s, m][order[s, m] >= 0][None, None]
            loss = np.zeros((1, 1), np.float32)
            rate, decay = np.full((1, 1), 0.01, np.float32), np.full(1, 0.1, np.float32)
            alone.steps(
                parameters,
                moments,
                taken,
                order=windows,
                steps=T,
                learning_rate=rate,
                weight_decay=decay,
                losses=loss,
                **data,
            )
            assert loss[0, 0] == losses[s, m]
        np.testing.assert_array_equal(parameters[0], together[m])


@pytest.mark.parametrize("cell", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
def test_gradients_equal_autograds(cell):
    recurrent, head = torch_parts(cell, True, HORIZON)
    rng = np.random.default_rng(4)
    x, targets = rng.normal(size=(1, 70, T, D)).astype(np.float32), rng.normal(size=(1, 70, HORIZON)).astype(np.float32)
    trainer = kernel.Trainer(cell, D, H, HORIZON)
    parameters = flat(recurrent, head)[None]
    gradients, losses = np.empty_like(parameters), np.empty(1, np.float32)
    trainer.gradients(parameters, x, targets, None, gradients, losses)
    value = (head(recurrent(torch.tensor(x[0]))[0][:, -1]) - torch.tensor(targets[0])).square().mean()
    value.backward()
    expected = torch.cat([part.grad.reshape(-1) for part in [*recurrent.parameters(), *head.parameters()]])
    np.testing.assert_allclose(gradients[0], expected.numpy(), atol=2e-6, rtol=2e-5)
    assert losses[0] == pytest.approx(value.item(), rel=1e-6)


def test_losses_and_predictions_equal_the_torch_network(data):
    recurrent, head = torch_parts("gru", True, HORIZON)
    trainer = kernel.Trainer("gru", D, H, HORIZON, models=2)
    parameters = np.tile(flat(recurrent, head), (2, 1))
    order = np.stack([np.arange(WINDOWS), np.r_[np.arange(10), np.full(WINDOWS - 10, -1)]])
    losses, predictions = np.empty(2, np.float32), np.zeros((2, WINDOWS, HORIZON), np.float32)
    trainer.losses(
        parameters, order=order, steps=T, out_losses=losses, out_predictions=predictions, **(data | {"scales": None})
    )
    x = np.stack([data["rows"][start : start + T] for start in data["starts"]])
    expected = head(recurrent(torch.tensor(x))[0][:, -1]).detach()
    np.testing.assert_allclose(predictions[0], expected.numpy(), atol=2e-6)
    np.testing.assert_array_equal(predictions[1, :10], predictions[0, :10])
    for m, count in enumerate([WINDOWS, 10]):
        target, weight = (torch.tensor(data[name][:count]) for name in ("targets", "weights"))
        assert losses[m] == pytest.approx(torch_loss("mse", expected[:count], target, weight).item(), rel=1e-5)


def test_wrong_windows_are_refused(data):
    trainer = kernel.Trainer("lstm", D, H, HORIZON)
    parameters = np.zeros((1, trainer.num_parameters), np.float32)
    with pytest.raises(ValueError, match="order: expected windows -1 to 49, found 50"):
        run(trainer, parameters, data, np.full((1, 1, 2), 50))
    with pytest.raises(ValueError, match="window 3 at row 89 leaves the 90 rows"):
        run(
            trainer,
            parameters,
            data | {"starts": np.r_[0, 0, 0, 89, np.zeros(46)].astype(np.int64)},
            np.zeros((1, 1, 2), int),
        )
    with pytest.raises(ValueError, match="quantiles: expected at least one"):
        kernel.Trainer("lstm", D, H, HORIZON, loss="pinball")
