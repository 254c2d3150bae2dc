"""IR to code: the generic Python path, and native kernels with the machine that runs them."""
