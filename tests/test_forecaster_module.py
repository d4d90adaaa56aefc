"""A Forecaster around a module of the user's own."""

import numpy as np
import torch

from stepahead.forecaster import Forecaster
from tiny import QUICK, last, made_wave


class Own(torch.nn.Module):
    """A linear autoregression."""

    def __init__(self, window: int = 4, inputs: int = 1, horizon: int = 1) -> None:
        super().__init__()
        self.line = torch.nn.Linear(window * inputs, horizon)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.line(x.flatten(1))


def test_a_module_of_the_user_s_is_trained_as_a_copy_and_called_as_it_is():
    torch.manual_seed(0)
    panel, own = made_wave(), Own(horizon=2)
    before = own.line.weight.clone()
    model = Forecaster(**QUICK | {"horizon": 2, "scaler": None}, network=own).fit(panel)
    assert torch.equal(own.line.weight, before)
    trained = Own(horizon=2)
    weights = {
        n.removeprefix("module."): torch.as_tensor(v) for n, v in model.fitted_.members[0].items() if n != "tail"
    }
    trained.load_state_dict(weights)
    assert not torch.equal(trained.line.weight, before)
    with torch.no_grad():
        by_hand = trained(torch.tensor(panel.past[None, -4:], dtype=torch.float32))[0].numpy()
    assert np.array_equal(last(model.predict()), by_hand.astype(np.float64))


def test_a_module_of_the_user_s_learns_by_the_recipe_s_loop():
    panel = made_wave()
    torch.manual_seed(0)
    own = Own()
    model = Forecaster(**QUICK, network=own).fit(panel)
    scaled = ((panel.y - panel.y.min()) / np.ptp(panel.y)).astype(np.float32)
    x = torch.tensor(np.stack([scaled[i : i + 4] for i in range(76)])[..., None])
    y = torch.tensor(scaled[4:, None])
    optimizer = torch.optim.Adam(own.parameters(), lr=0.01)
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(own(x), y).backward()
        optimizer.step()
    found = model.fitted_.members[0]["module.line.weight"]
    assert np.abs(found - own.line.weight.detach().numpy()).max() < 1e-5  # float32
