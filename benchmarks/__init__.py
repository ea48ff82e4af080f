"""What Pegel's speed is compared with. One file is one benchmark; ``python -m benchmarks [NAME]`` runs them."""
