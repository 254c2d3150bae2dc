"""Helpers around parameters and sequences.

Enters: parameters with gradients, or tensors of unequal lengths. Leaves: clipped gradients, vectors, padded batches.
"""

from specjit.nn.utils import rnn
from specjit.nn.utils.clip import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from specjit.nn.utils.vectors import parameters_to_vector, vector_to_parameters
