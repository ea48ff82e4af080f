"""What a served model takes and gives: the contract between training, registry and ``/predict``. Pure.

A model is an MLflow pyfunc. It takes a frame with the column :data:`TEXT` and gives a frame of the same length with the
columns :data:`OUTPUT` (str), :data:`PROBABILITIES` (dict class -> probability, the highest few are enough) and
:data:`FEATURES` (dict name -> number: what the model itself says of its input, watched as ``features.<name>``).
"""

TEXT = "text"
OUTPUT = "output"
PROBABILITIES = "probabilities"
FEATURES = "features"

# Tags of a model version in the registry.
TAG_BASELINE = "pegel.baseline_id"
TAG_GRID = "pegel.grid"
TAG_VALIDATION = "pegel.validation"
TAG_TRAINING = "pegel.training"
"""Which rows it was trained on, as JSON: batch_id_max, rows, checksum."""
