"""The recurrent cells without torch: kernel and NumPy against torch.nn, streaming against whole sequences."""

import warnings

import numpy as np
import pytest

from stepahead.cell_names import GATES
from stepahead.errors import ConfigError
from stepahead.runtime import cell as cells
from stepahead.runtime.cell import Stepper, scan

torch = pytest.importorskip("torch")


def torch_twin(cell, inputs, hidden, **options):
    kinds = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    if cell == "rnn_relu":
        return torch.nn.RNN(inputs, hidden, batch_first=True, nonlinearity="relu", **options)
    return kinds[cell](inputs, hidden, batch_first=True, **options)


def weights_of(module):
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def random_weights(cell, inputs, hidden, layers=1, seed=0):
    rng = np.random.default_rng(seed)
    rows, weights = GATES[cell] * hidden, {}
    for i in range(layers):
        weights[f"weight_ih_l{i}"] = rng.normal(0, 0.3, (rows, inputs if i == 0 else hidden)).astype(np.float32)
        weights[f"weight_hh_l{i}"] = rng.normal(0, 0.3, (rows, hidden)).astype(np.float32)
        weights[f"bias_ih_l{i}"] = rng.normal(0, 0.3, rows).astype(np.float32)
        weights[f"bias_hh_l{i}"] = rng.normal(0, 0.3, rows).astype(np.float32)
    return weights


@pytest.fixture(params=["kernel", "numpy"])
def engine(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(cells, "has_kernel", lambda: False)
    elif not cells.has_kernel():
        pytest.skip("the kernel was not built here")
    return request.param


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize(("layers", "bidirectional", "bias"), [(1, False, True), (2, True, True), (3, False, False)])
def test_scan_equals_torch(engine, cell, layers, bidirectional, bias):
    torch.manual_seed(0)
    module = torch_twin(cell, 5, 7, num_layers=layers, bidirectional=bidirectional, bias=bias).double()
    x = torch.randn(6, 9, 5, dtype=torch.float64)
    expected, final = module(x)
    outputs, state = scan(cell, x.numpy(), weights_of(module))
    # float64 on both sides: nothing but the order of the sums differs.
    np.testing.assert_allclose(outputs, expected.detach().numpy(), atol=1e-12)
    for mine, theirs in zip(state, final if cell == "lstm" else (final,), strict=True):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_equal_torchs_packed_sequences(engine, cell, bidirectional):
    torch.manual_seed(1)
    module = torch_twin(cell, 3, 6, bidirectional=bidirectional).double()
    x, lengths = torch.randn(5, 8, 3, dtype=torch.float64), torch.tensor([8, 3, 1, 8, 5])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    expected, final = module(packed)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(expected, batch_first=True)
    garbage = x.clone()
    garbage[torch.arange(8)[None, :] >= lengths[:, None]] = float("nan")
    outputs, state = scan(cell, garbage.numpy(), weights_of(module), lengths=lengths.numpy())
    np.testing.assert_allclose(outputs, expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(state[0], (final[0] if cell == "lstm" else final).detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("rows", [1, 3, 30])
def test_streaming_equals_one_long_forward(engine, cell, rows):
    weights = random_weights(cell, 4, 19, layers=2)
    x = np.random.default_rng(1).normal(size=(rows, 12, 4)).astype(np.float32)
    outputs, final = scan(cell, x, weights)
    stepper = Stepper(cell, weights)
    state = stepper.zero_state(rows)
    for t in range(x.shape[1]):
        stepper.advance(np.ascontiguousarray(x[:, t]), state)
        if engine == "kernel":
            np.testing.assert_array_equal(state[0][-1], outputs[:, t])  # to the last bit
        else:
            np.testing.assert_allclose(state[0][-1], outputs[:, t], atol=2e-6)  # two roundings, each within 1e-6
    np.testing.assert_allclose(state[0], final[0], atol=2e-6)


@pytest.mark.parametrize("cell", GATES)
def test_a_row_does_not_depend_on_the_rows_beside_it(cell):
    if not cells.has_kernel():
        pytest.skip("the kernel was not built here")
    weights = random_weights(cell, 5, 10)
    x = np.random.default_rng(2).normal(size=(100, 7, 5)).astype(np.float32)
    together, _ = scan(cell, x, weights)
    for rows in (1, 2, 7, 8, 9, 23, 40):
        alone, _ = scan(cell, x[:rows], weights)
        np.testing.assert_array_equal(alone, together[:rows])


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2), (0, 0, 2)])
def test_empty_input_gives_empty_output_and_the_state_unchanged(engine, shape):
    weights = random_weights("gru", 2, 4)
    h = np.full((1, shape[0], 4), 0.5, np.float32)
    outputs, (after,) = scan("gru", np.zeros(shape, np.float32), weights, state=(h,))
    assert outputs.shape == (*shape[:2], 4)
    np.testing.assert_array_equal(after, h)


def test_shapes_are_checked_at_the_door():
    weights = random_weights("gru", 2, 4)
    with pytest.raises(ConfigError, match="must be one of"):
        scan("transformer", np.zeros((1, 1, 2), np.float32), weights)
    with pytest.raises(ConfigError, match=r"expected \[B, T, 2\], found \[1, 1, 3\]"):
        scan("gru", np.zeros((1, 1, 3), np.float32), weights)
    with pytest.raises(ConfigError, match="weight_ih_l0"):
        scan("gru", np.zeros((1, 1, 2), np.float32), {})
    with pytest.raises(ConfigError, match="lstm needs"):
        scan("lstm", np.zeros((1, 1, 2), np.float32), weights)
    with pytest.raises(ConfigError, match="carries 1"):
        scan("gru", np.zeros((1, 1, 2), np.float32), weights, state=(np.zeros((1, 2, 4)),))
    with pytest.raises(ConfigError, match="from 0 to 1"):
        scan("gru", np.zeros((1, 1, 2), np.float32), weights, lengths=np.array([2]))


def test_a_bidirectional_network_cannot_go_step_by_step():
    weights = weights_of(torch.nn.GRU(2, 3, bidirectional=True))
    with pytest.raises(ConfigError, match="whole sequence"):
        Stepper("gru", weights)


def test_without_the_kernel_one_warning_says_so(monkeypatch):
    monkeypatch.setattr(cells, "_native", None)
    cells.has_kernel.cache_clear()
    weights, x = random_weights("rnn", 1, 2), np.zeros((1, 1, 1), np.float32)
    with pytest.warns(RuntimeWarning, match="NumPy does its work"):
        scan("rnn", x, weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scan("rnn", x, weights)
    cells.has_kernel.cache_clear()
