"""The table of cells against torch's own layers."""

import pytest

from stepahead.cell_names import CODES, GATES, KERNEL_GATES, KERNEL_NAMES

torch = pytest.importorskip("torch")

LAYERS = {"rnn": "RNN", "rnn_relu": "RNN", "lstm": "LSTM", "gru": "GRU"}


@pytest.mark.parametrize("cell", GATES)
def test_the_kernel_s_names_are_torch_s_modes_and_the_gates_those_of_its_weights(cell: str) -> None:
    options = {"nonlinearity": "relu"} if cell == "rnn_relu" else {}
    layer = getattr(torch.nn, LAYERS[cell])(2, 3, **options)
    assert layer.mode.lower() == KERNEL_NAMES[cell]
    assert len(layer.weight_hh_l0) == 3 * GATES[cell] == 3 * KERNEL_GATES[KERNEL_NAMES[cell]]


def test_every_cell_has_a_number_of_its_own_in_the_order_of_the_kernel() -> None:
    assert CODES == {"rnn_tanh": 0, "rnn_relu": 1, "lstm": 2, "gru": 3}  # enum Cell of native/kernel.h
    assert GATES.keys() == KERNEL_NAMES.keys()
