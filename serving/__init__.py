"""`/predict`: the champion behind HTTP, and the producer of prediction events."""
