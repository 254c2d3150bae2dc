"""`specjit.autograd`: gradients on demand, custom functions and gradient checks, under PyTorch's names."""
