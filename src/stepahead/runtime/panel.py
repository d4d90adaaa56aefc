"""The panel recipe's network without torch.  Weights and what a member reads -> what it adds to its window's level.

No forecast depends on the others that are made beside it: products are taken row by row.

Legend: N windows, T patches, p rows of a patch, L rows of a window, E other inputs, D hidden, C context, H horizon,
K inputs known ahead, M members.
"""

from collections.abc import Mapping

import numpy as np

from stepahead.limits import FAR
from stepahead.runtime.cell import cell_shapes, check_shapes, scan

Arrays = Mapping[str, np.ndarray]


def member_output(cell: str, weights: Arrays, read: Arrays) -> np.ndarray:
    """One member's answer: [N, H] float32, less its window's level.

    weights: by the names of nn/panel.py. read: patches [N, T, (2+E)p], z [N, L], base [N, H], context [N, C],
    shift [N, H, K].
    """
    return location(weights, read, last_layer(cell, weights, read))


def check_panel_weights(
    weights: Arrays,
    cell: str,
    *,
    window: int,
    patch: int,
    hidden: int,
    horizon: int,
    extras: int,
    ahead: int,
    spread: int,
    table: int,
    numbers: int,
) -> None:
    """Raise ConfigError for the first of a member's arrays that is absent or of another shape than the others ask for.

    The sizes are those of nn/panel.py's Shape.
    """
    embedding, inner = (weights[name].shape[-1] for name in ("embed_weight", "mlp_weight"))
    static = numbers + (weights["static_table"].shape[-1] if table else 0)
    wanted = {name.removesuffix("_l0"): shape for name, shape in cell_shapes(cell, embedding, hidden, 1).items()}
    wanted |= {"embed_weight": ((2 + extras) * patch, embedding), "embed_bias": (1, embedding)}
    wanted |= {"mlp_weight": (hidden + 3 + ahead * horizon + static, inner), "mlp_bias": (1, inner)}
    wanted |= {"head_weight": (inner, horizon), "head_bias": (1, horizon)}
    wanted |= {"skip_weight": (window, horizon), "effect": (ahead, 1)}
    if spread:
        wanted |= {"spread_weight": (inner, horizon * spread), "spread_bias": (1, horizon * spread)}
    if table:
        wanted |= {"static_table": (table, static - numbers)}
    if static:
        wanted |= {"static_weight": (static, embedding), "static_effect": (static, ahead)}
    check_shapes(weights, wanted)


def last_layer(cell: str, weights: Arrays, read: Arrays) -> np.ndarray:
    """The layer that a member speaks from: [N, 64] float32."""
    parts = [last_state(cell, weights, read), single(read["context"]), *about(weights, read)]
    inner = np.concatenate(parts, axis=1)
    return np.maximum(product(inner, weights["mlp_weight"]) + weights["mlp_bias"], 0)


def location(weights: Arrays, read: Arrays, inner: np.ndarray) -> np.ndarray:
    """A member's answer from its last layer: [N, H] float32."""
    out = single(read["base"]) + product(read["z"], weights["skip_weight"]) + weights["head_bias"]
    out += product(inner, weights["head_weight"])
    for k, effect in enumerate(weights["effect"][:, 0]):
        out += single(read["shift"][..., k]) * effect
    known = about(weights, read)
    if known and read["shift"].shape[2]:
        own = product(np.concatenate(known, axis=1), weights["static_effect"])  # [N, K]
        for k in range(own.shape[1]):
            out += single(read["shift"][..., k]) * own[:, k, None]
    return out


def about(weights: Arrays, read: Arrays) -> list[np.ndarray]:
    """What is known about each window's series: the sum of its categories' rows of the table, its numbers [N, J]."""
    if "codes" not in read:
        return []
    parts = [single(read["static"])]
    if read["codes"].shape[1]:
        parts.insert(0, weights["static_table"][read["codes"]].sum(axis=1))
    return parts


def last_state(cell: str, weights: Arrays, read: Arrays) -> np.ndarray:
    """The hidden units after each window: [N, D]."""
    n, steps, width = read["patches"].shape
    embedded = product(read["patches"].reshape(n * steps, width), weights["embed_weight"]) + weights["embed_bias"]
    known = about(weights, read)
    if known:
        moved = product(np.concatenate(known, axis=1), weights["static_weight"])
        embedded = (embedded.reshape(n, steps, -1) + moved[:, None]).reshape(n * steps, -1)
    layer = {f"{name}_l0": weights[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    _, state = scan(cell, np.maximum(embedded, 0).reshape(n, steps, -1), layer)
    return state[0][0]


def in_scale(out: np.ndarray, read: Arrays, *, logs: bool) -> np.ndarray:
    """A member's answer in units of each window's scale: [N, H] float64."""
    level, offset = (np.asarray(read[name], dtype=np.float64)[:, None] for name in ("level", "offset"))
    if not logs:
        return out + level
    return np.exp(np.clip(out, -FAR, FAR) + level) - offset


def product(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """x [N, I] times weight [I, O], each row as if it stood alone: [N, O] float32."""
    # One product over all rows may add its terms in another order when there are more of them; rows of one never do.
    return np.matmul(single(x)[:, None], weight)[:, 0]


def single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32, copy=False)
