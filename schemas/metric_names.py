"""The names in ``metrics.metric``: who writes and who reads them say the same word. Pure."""

# About the whole event: the column is ''.
EVENTS = "events"
ERROR_RATE = "error_rate"
ACCURACY = "accuracy"
ESTIMATED_ACCURACY = "estimated_accuracy"
"""Without labels, against the baseline of the same version; null where events lie outside the baseline's support."""
INPUT_TOKENS = "input_tokens"
OUTPUT_TOKENS = "output_tokens"
UNFINISHED_RATE = "unfinished_rate"
"""Of the answers that say how they ended (``features.finish_reason``): those that were cut, withheld or refused."""
RATES = (ERROR_RATE, UNFINISHED_RATE)
"""The rates that the stream judges against the baseline; a rule of kind ``rate`` names them as its columns."""
QUALITY = (ACCURACY,)
"""What is judged once labels have come; a rule of kind ``quality`` names it as its columns."""
JUDGED_ACCURACY = "judged_accuracy"
"""The accuracy of a window as it was when it was judged, once; ``judged`` has the verdict."""
LATENCY = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
"""Quantiles of the time to answer: name -> share."""

# About one column.
MEAN = "mean"
SD = "sd"
NULL_RATE = "null_rate"

# About one column, against the baseline of the same version.
WEAK_ANSWER_SHARE = "weak_answer_share"
"""Of the confidence: the share of answers as unsure as the baseline's 5 % most unsure ones."""
PSI = "psi"
JENSEN_SHANNON = "jensen_shannon"
KS = "ks"
WASSERSTEIN = "wasserstein"
"""Over the baseline's standard deviation."""
CHI_SQUARED = "chi_squared"
TOTAL_VARIATION = "total_variation"
DRIFT = (PSI, JENSEN_SHANNON, KS, WASSERSTEIN, CHI_SQUARED)
"""Rows of these carry ``effect``, the size of the shift in baseline standard deviations, wherever it can be told."""
