"""Two proportions compared: the interval of their difference, and the numbers that would tell them apart. Pure.

A proportion is a pair: how many reached the goal, of how many. Everything is in shares (0 to 1), not in per cent.
"""

from math import ceil, sqrt
from statistics import NormalDist

LEVEL = 0.95
POWER = 0.8
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)  # 1.96
Z_POWER = NormalDist().inv_cdf(POWER)  # 0.84


def wilson(reached: int, of: int) -> tuple[float, float]:
    """Wilson's score interval of one proportion (1927). `of` is at least 1."""
    centre = (reached + Z * Z / 2) / (of + Z * Z)
    half = Z * sqrt(reached * (of - reached) / of + Z * Z / 4) / (of + Z * Z)
    # The ends are exact where none or all have reached it; sums of floats would miss them by a hair.
    return (0.0 if reached == 0 else centre - half), (1.0 if reached == of else centre + half)


def newcombe(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float, float]:
    """The difference `one` − `other`, with the ends of its interval: Newcombe's hybrid score interval without
    continuity correction (Statistics in Medicine 17, 1998, p. 873: method 10)."""
    p, q = one[0] / one[1], other[0] / other[1]
    (p_low, p_high), (q_low, q_high) = wilson(*one), wilson(*other)
    difference = p - q
    low = difference - sqrt((p - p_low) ** 2 + (q_high - q) ** 2)
    high = difference + sqrt((p_high - p) ** 2 + (q - q_low) ** 2)
    return difference, low, high


def each_needed(p: float, q: float) -> int | None:
    """How many each of two equal groups must have, so that a test at 5 % (two-sided) tells such shares apart with
    80 % power; None: equal shares are never told apart.

    The normal approximation, with the variance pooled under the hypothesis that there is no difference (Fleiss,
    Statistical Methods for Rates and Proportions, without the continuity correction; R's `power.prop.test`).
    """
    if p == q:
        return None
    pooled = (p + q) / 2
    spread = Z * sqrt(2 * pooled * (1 - pooled)) + Z_POWER * sqrt(p * (1 - p) + q * (1 - q))
    return ceil((spread / (p - q)) ** 2)
