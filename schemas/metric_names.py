"""The names in ``metrics.metric``: who writes and who reads them say the same word. Pure."""

# About the whole event: the column is ''.
EVENTS = "events"
ERROR_RATE = "error_rate"
ACCURACY = "accuracy"

# About one column, against the baseline of the same version.
PSI = "psi"
JENSEN_SHANNON = "jensen_shannon"
KS = "ks"
WASSERSTEIN = "wasserstein"
CHI_SQUARED = "chi_squared"
DRIFT = (PSI, JENSEN_SHANNON, KS, WASSERSTEIN, CHI_SQUARED)
"""Rows of these carry ``effect``, the size of the shift in baseline standard deviations, wherever it can be told."""
