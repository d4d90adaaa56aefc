"""Which sizes torch's layers serve: the map has no holes, and each cell's own bounds."""

import itertools

import pytest

from stepahead.nn import served

SIZES = list(itertools.product((1, 2, 3, 7, 20, 100, 5000), (1, 3, 8, 16, 32, 100, 500), (1, 16, 23, 64, 128, 512)))


@pytest.mark.parametrize("simd", ["avx512", "avx2"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("double", [False, True])
def test_every_size_has_an_answer_and_large_weights_on_few_rows_are_torch_s(
    monkeypatch: pytest.MonkeyPatch, simd: str, cell: str, double: bool
) -> None:
    monkeypatch.setattr(served, "native", type("Native", (), {"simd": simd}))
    faster = served.kernel_is_faster.__wrapped__  # without its memory, which is of this machine's kernel
    for learns in (True, False):
        answers = {size: faster(cell, *size, learns=learns, double=double) for size in SIZES}
        assert all(answer for (_, _, hidden), answer in answers.items() if hidden < served.SMALL)
        assert all(answers[steps, 100, 64] for steps in (2, 7, 20, 100, 5000))  # what forecasters use
        assert not answers[1, 1, 512]
        assert not (cell == "lstm" and not double and answers[20, 1, 128])

        assert not all(answers.values())


@pytest.mark.parametrize("bounds", [getattr(served, name) for name in dir(served) if "LSTM" in name or "ING" in name])
def test_bounds_ascend(bounds: served.Bounds) -> None:
    steps = [least for least, _ in bounds]
    assert steps == sorted(set(steps))
    assert steps[0] == 1
    for _, regions in bounds:
        assert all(units >= served.SMALL and low < high for units, low, high in regions)
