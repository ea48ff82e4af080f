"""Smooth scores: what a vector of shares says about location, scale, skew and tails. Pure."""

import numpy as np
from numpy.polynomial.legendre import legvander

from pegel.streaming.statistics.cells import FloatArray

DEGREES = 4
NAMES = ("location", "scale", "skew", "tails")
"""What the scores of degree 1 to 4 speak about."""


def legendre_scores(shares: FloatArray, degrees: int = DEGREES) -> FloatArray:
    """Legendre polynomials of the mid-rank, made orthonormal under the shares.

    With ``u_i`` the share below bin i plus half of its own, the polynomials of degree 0 to J in ``2 u - 1`` are made
    orthonormal (Gram-Schmidt) so that ``sum(q phi_j) = 0`` and ``sum(q phi_j phi_k) = 1 if j == k else 0``. So, for a
    sample of n from the shares, ``sqrt(n) * sum(p phi_j)`` is about standard normal, and the scores are independent of
    each other.

    Args:
        shares: of the bins in ascending order of the values, each above 0, sum 1, shape ``(k,)``.
        degrees: the highest degree wanted.

    Returns:
        shape ``(J, k)`` with ``J = min(degrees, k - 1)``; the first row ascends.

    References:
        Neyman 1937, "Smooth test for goodness of fit"; for grouped data Rayner and Best 1989, "Smooth tests of
        goodness of fit".

    Example:
        >>> legendre_scores(np.array([0.5, 0.5])).round(12).tolist()
        [[-1.0, 1.0]]
    """
    k = shares.size
    highest = max(0, min(degrees, k - 1))
    middle = np.cumsum(shares) - shares / 2
    root = np.sqrt(shares)
    q, r = np.linalg.qr(legvander(2 * middle - 1, highest) * root[:, None])
    scores: FloatArray = (q * np.sign(np.diag(r)) / root[:, None]).T[1:]
    return scores
