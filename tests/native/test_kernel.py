"""The kernel's bindings against torch.nn: values, gradients, independence of threads and company, errors."""

import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")
kernel = pytest.importorskip("stepahead._native", reason="the kernel was not built here")

GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}
SHAPES = [(1, 1, 1, 1), (7, 25, 5, 10), (4, 70, 3, 17), (3, 9, 30, 33), (9, 50, 4, 70)]  # T, B, D, H


def torch_cell(cell, inputs, hidden, bias=True):
    if cell.startswith("rnn"):
        return torch.nn.RNN(inputs, hidden, bias=bias, nonlinearity=cell[4:])
    return {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](inputs, hidden, bias=bias)


def make_inputs(cell, T, B, D, H, models=1, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    rows = GATES[cell] * H
    shapes = {
        "x": (models, T, B, D),
        "weight_ih": (models, rows, D),
        "weight_hh": (models, rows, H),
        "bias_ih": (models, rows),
        "bias_hh": (models, rows),
        "h0": (models, B, H),
        "c0": (models, B, H),
    }
    arrays = {name: rng.normal(0, 0.4, shape).astype(dtype) for name, shape in shapes.items()}
    if cell != "lstm":
        arrays["c0"] = None
    return arrays


def forward(cell, arrays, lengths=None, reverse=False, threads=0):
    """Outputs, h_n, c_n and what backward needs, of arrays with a model axis."""
    models, T, B, D = arrays["x"].shape
    H = arrays["weight_hh"].shape[-1]
    dtype = arrays["x"].dtype
    outputs, h_n = np.full((models, T, B, H), np.nan, dtype), np.full((models, B, H), np.nan, dtype)
    c_n = np.full_like(h_n, np.nan) if cell == "lstm" else None
    saved = np.empty(kernel.saved_size(cell, models, T, B, D, H, double=dtype == np.float64), dtype)
    kernel.scan_forward(
        cell,
        **arrays,
        lengths=lengths,
        reverse=reverse,
        outputs=outputs,
        h_n=h_n,
        c_n=c_n,
        saved=saved,
        threads=threads,
    )
    return outputs, h_n, c_n, saved


def backward(cell, arrays, saved, grads, lengths=None, reverse=False, threads=0):
    """Gradients of x, weights, biases and the initial state, by name."""
    names = [name for name, array in arrays.items() if array is not None]
    out = {f"grad_{name}": np.full_like(arrays[name], np.nan) for name in names}
    kernel.scan_backward(
        cell,
        arrays["x"].shape[1],
        arrays["weight_ih"],
        arrays["weight_hh"],
        lengths,
        reverse,
        saved,
        *grads,
        **{f"grad_{name}": out.get(f"grad_{name}") for name in arrays},
        threads=threads,
    )
    return out


def torch_results(cell, arrays, grads, lengths):
    """The same by torch.nn and autograd, for the first model."""
    module = torch_cell(cell, arrays["x"].shape[-1], arrays["weight_hh"].shape[-1]).to(torch.float64)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.tensor(arrays[name[:-3]][0]))
    x, h0 = (
        torch.tensor(arrays[name][:1] if name == "h0" else arrays[name][0]).requires_grad_() for name in ("x", "h0")
    )
    c0 = torch.tensor(arrays["c0"][:1]).requires_grad_() if cell == "lstm" else None
    entry = x if lengths is None else torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    outputs, state = module(entry, (h0, c0) if cell == "lstm" else h0)
    if lengths is not None:
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, total_length=len(x))
    finals = state if cell == "lstm" else (state,)
    torch.autograd.backward(
        [outputs, *finals], [torch.tensor(g[0]) if i == 0 else torch.tensor(g[:1]) for i, g in enumerate(grads)]
    )
    found = {"grad_x": x.grad, "grad_h0": h0.grad[0]} | ({"grad_c0": c0.grad[0]} if cell == "lstm" else {})
    found |= {f"grad_{name[:-3]}": parameter.grad for name, parameter in module.named_parameters()}
    return outputs, [final[0] for final in finals], found


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ragged", [False, True])
def test_values_and_gradients_equal_torchs(cell, shape, ragged):
    T, B, _, H = shape
    arrays = make_inputs(cell, *shape)
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, T + 1, (1, B)) if ragged else None
    grads = [rng.normal(size=(1, T, B, H)), rng.normal(size=(1, B, H))]
    grads += [rng.normal(size=(1, B, H))] if cell == "lstm" else []
    expected, finals, gradients = torch_results(cell, arrays, grads, None if lengths is None else lengths[0])
    outputs, h_n, c_n, saved = forward(cell, arrays, lengths)
    # float64 on both sides: nothing but the order of the sums differs.
    np.testing.assert_allclose(outputs[0], expected.detach().numpy(), atol=1e-12)
    for mine, theirs in zip([h_n, c_n], finals, strict=False):
        np.testing.assert_allclose(mine[0], theirs.detach().numpy(), atol=1e-12)
    mine = backward(cell, arrays, saved, grads + [None] * (3 - len(grads)), lengths)
    for name, theirs in gradients.items():
        np.testing.assert_allclose(mine[name][0], theirs.numpy(), atol=1e-11, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("cell", GATES)
def test_neither_threads_nor_company_change_a_bit(cell):
    T, B, D, H, models = 6, 130, 5, 12, 3
    arrays = make_inputs(cell, T, B, D, H, models, np.float32)
    rng = np.random.default_rng(2)
    grads = [rng.normal(size=(models, T, B, H)).astype(np.float32), None, None]
    together = forward(cell, arrays, threads=1)
    gradients = backward(cell, arrays, together[3], grads, threads=1)
    for threads in (2, 3):
        again = forward(cell, arrays, threads=threads)
        np.testing.assert_array_equal(again[0], together[0])
        for name, gradient in backward(cell, arrays, again[3], grads, threads=threads).items():
            np.testing.assert_array_equal(gradient, gradients[name], err_msg=name)
    for m in range(models):
        one = {name: None if array is None else array[m : m + 1] for name, array in arrays.items()}
        alone = forward(cell, one)
        np.testing.assert_array_equal(alone[0][0], together[0][m])
        for name, gradient in backward(cell, one, alone[3], [grads[0][m : m + 1], None, None]).items():
            np.testing.assert_array_equal(gradient[0], gradients[name][m], err_msg=name)


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e-42, 1e30])
def test_strange_numbers_go_where_torchs_go(cell, value):
    arrays = make_inputs(cell, 5, 11, 3, 9, dtype=np.float32)
    arrays["x"][0, 2, 4, 1] = value
    module = torch_cell(cell, 3, 9)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.tensor(arrays[name[:-3]][0]))
        h0 = torch.tensor(arrays["h0"])
        expected, _ = module(torch.tensor(arrays["x"][0]), (h0, torch.tensor(arrays["c0"])) if cell == "lstm" else h0)
    outputs, *_ = forward(cell, arrays)
    np.testing.assert_allclose(outputs[0], expected.numpy(), atol=2e-6, rtol=2e-5)


def test_torch_tensors_and_batch_first_views_are_read_where_they_lie():
    arrays = make_inputs("gru", 6, 10, 4, 8)
    plain, *_ = forward("gru", arrays)
    tensors = {name: None if array is None else torch.tensor(array[0]) for name, array in arrays.items()}
    tensors["x"] = tensors["x"].transpose(0, 1).contiguous().transpose(0, 1)
    outputs = torch.empty(10, 6, 8, dtype=torch.float64)
    kernel.scan_forward(
        "gru", **tensors, lengths=None, reverse=False, outputs=outputs.transpose(0, 1), h_n=None, c_n=None, saved=None
    )
    np.testing.assert_array_equal(outputs.transpose(0, 1).numpy(), plain[0])


def test_wrong_arrays_are_named_with_what_was_expected():
    arrays = make_inputs("lstm", 2, 3, 4, 5, dtype=np.float32)
    rest = {"lengths": None, "reverse": False, "outputs": None, "h_n": None, "c_n": None, "saved": None}
    with pytest.raises(ValueError, match="cell: expected 'rnn_tanh'"):
        kernel.scan_forward("transformer", **arrays, **rest)
    with pytest.raises(ValueError, match=r"weight_ih: expected shape \[1, 20, 4\], found \[1, 15, 4\]"):
        kernel.scan_forward("lstm", **(arrays | {"weight_ih": arrays["weight_ih"][:, :15].copy()}), **rest)
    with pytest.raises(ValueError, match="h0: expected dtype float32"):
        kernel.scan_forward("lstm", **(arrays | {"h0": arrays["h0"].astype(float)}), **rest)
    strided = np.zeros((1, 3, 10), np.float32)[:, :, ::2]
    with pytest.raises(ValueError, match="h0: expected a contiguous array"):
        kernel.scan_forward("lstm", **(arrays | {"h0": strided}), **rest)
    with pytest.raises(ValueError, match="lengths: expected 0 to 2, found 3"):
        kernel.scan_forward("lstm", **arrays, **(rest | {"lengths": np.full((1, 3), 3)}))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_works_on():
    arrays = make_inputs("lstm", 5, 100, 4, 16)
    expected = forward("lstm", arrays, threads=2)[0]
    child = os.fork()
    if child == 0:
        same = np.array_equal(forward("lstm", arrays, threads=2)[0], expected)
        os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("ragged", [False, True])
def test_a_closed_output_gate_gives_finite_gradients_that_are_torchs(ragged):
    # tanh(c) is had again as h / o: o is 0 here, or next to it, and a row that is over has the h of its last step.
    T, B, D, H = 6, 40, 3, 5
    arrays = make_inputs("lstm", T, B, D, H)
    arrays["bias_ih"][0, 3 * H : 3 * H + 2] = -1e4, -30
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, T + 1, (1, B)) if ragged else None
    grads = [rng.normal(size=(1, T, B, H)), rng.normal(size=(1, B, H)), rng.normal(size=(1, B, H))]
    _, _, gradients = torch_results("lstm", arrays, grads, None if lengths is None else lengths[0])
    mine = backward("lstm", arrays, forward("lstm", arrays, lengths)[3], grads, lengths)
    for name, theirs in gradients.items():
        np.testing.assert_allclose(mine[name][0], theirs.numpy(), atol=1e-11, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("cell", GATES)
def test_gradients_of_a_few_outputs_alone_equal_torchs(cell):
    # Times at which no output has a gradient are passed over: here all but the last, and one of them but for a number.
    T, B, D, H = 5, 50, 3, 7
    arrays = make_inputs(cell, T, B, D, H)
    grads = [np.zeros((1, T, B, H)), *[np.zeros((1, B, H))] * (2 if cell == "lstm" else 1)]
    grads[0][0, -1] = np.random.default_rng(4).normal(size=(B, H))
    grads[0][0, 2, B - 1, H - 1] = 3.0
    _, _, gradients = torch_results(cell, arrays, grads, None)
    mine = backward(cell, arrays, forward(cell, arrays)[3], [grads[0], None, None])
    for name, theirs in gradients.items():
        np.testing.assert_allclose(mine[name][0], theirs.numpy(), atol=1e-11, rtol=1e-12, err_msg=name)
