"""Prints the numbers of tanh_table.h: tanh by 32 polynomials of degree 4, for instructions that look a number up.

tanh(x) for 0 <= x <= 8.4 is cut at every (n + 1/2) / 3.75; in each part a polynomial in r = x - n / 3.75 is fitted for
the least greatest error (Lawson's weights), coefficient by coefficient, so that the next makes up for what rounding
the last to float32 has cost. Part 0 is fitted for its relative error and begins 0 + r, so that tanh(0) is 0 and small
numbers stay themselves; part 31 rises to exactly 1.
"""

import numpy as np

PARTS, DEGREE, PER_UNIT = 32, 4, 3.75


def fit(r: np.ndarray, values: np.ndarray, scale: np.ndarray, fixed: list[float]) -> list[float]:
    """The coefficients after `fixed`; r, values, scale [points], errors count in units of scale."""
    rest = (values - sum(c * r**k for k, c in enumerate(fixed))) / scale
    powers = np.stack([r**k / scale for k in range(len(fixed), DEGREE + 1)], axis=1)
    size = np.abs(powers).max(axis=0)
    weights, least, best = np.ones_like(r), np.inf, np.zeros(len(size))
    for _ in range(500):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(powers / size * root[:, None], rest * root, rcond=None)[0]
        errors = np.abs(powers / size @ found - rest)
        if errors.max() < least:
            least, best = errors.max(), found / size
        weights *= errors + 1e-14
        weights /= weights.sum()
    return list(best)


def coefficients(part: int) -> list[float]:
    """Of one part, from the constant on, each a float32."""
    half = 0.5 / PER_UNIT
    if part == PARTS - 1:
        return [float(np.float32(1 - 1.2e-7)), float(np.float32(7e-7)), 0.0, 0.0, 0.0]
    low = 0.0 if part == 0 else -half
    r = (low + half) / 2 + (half - low) / 2 * np.cos(np.linspace(1e-3, np.pi - 1e-3, 2001))
    values = np.tanh(part / PER_UNIT + r)
    fixed = [0.0, 1.0] if part == 0 else []
    scale = values if part == 0 else np.ones_like(r)
    while len(fixed) <= DEGREE:
        fixed.append(float(np.float32(fit(r, values, scale, fixed)[0])))
    return fixed


def main() -> None:
    table = np.array([coefficients(part) for part in range(PARTS)], dtype=np.float32)
    for power in range(DEGREE + 1):
        rows = [", ".join(f"{c:.9e}f" for c in table[i : i + 4, power]) for i in range(0, PARTS, 4)]
        print("    {" + ",\n     ".join(rows) + "},")


if __name__ == "__main__":
    main()
