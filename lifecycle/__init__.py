"""What happens to a model: train, register, evaluate, promote, prove, roll back."""
