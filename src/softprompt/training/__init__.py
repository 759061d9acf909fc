"""The training loop, fleets, optimisers and discrete searches."""
