"""The same LSTM through other libraries, as many as are installed, each set up as its documentation advises for speed.

Enters: a shape, weights and inputs of `bench.models`. Leaves: `Contender`s. Peers are imported when asked for, so that
one that is not installed costs nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from bench.harness import Contender
from bench.models import Shape, Weights

Inputs = tuple[np.ndarray, np.ndarray, np.ndarray]


def torch_forward(shape: Shape, weights: Weights, inputs: Inputs) -> list[Contender]:
    import torch

    from bench import torch_models

    torch.set_num_threads(1)
    x, h, c = (torch.from_numpy(array) for array in inputs)
    eager = torch_models.LSTM(torch_models.LSTMCell(weights)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # scripting is deprecated, and still the peer to beat
        scripted = torch.jit.script(eager)
    library = torch_models.library_lstm(weights).eval()
    h1, c1 = h[None], c[None]

    def inferring(function: Callable) -> Callable:
        def call() -> object:
            with torch.inference_mode():
                return function()

        return call

    def arrays(result: tuple) -> list[np.ndarray]:
        return [tensor.numpy() for tensor in result]

    def library_arrays(result: tuple) -> list[np.ndarray]:
        y, (h_last, c_last) = result
        return [y.numpy(), h_last[0].numpy(), c_last[0].numpy()]

    note = f"torch {torch.__version__}"
    return [
        Contender("torch eager loop", inferring(lambda: eager(x, h, c)), arrays, note),
        Contender("torch.jit.script", inferring(lambda: scripted(x, h, c)), arrays, note),
        Contender("torch nn.LSTM", inferring(lambda: library(x, (h1, c1))), library_arrays, note),
    ]


def onnxruntime_forward(shape: Shape, weights: Weights, inputs: Inputs) -> list[Contender]:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    x, h, c = inputs

    def gates_iofc(array: np.ndarray) -> np.ndarray:
        """From i, f, g, o along the last axis to i, o, f, g along the first, below a leading axis of directions."""
        i, f, g, o = np.split(array, 4, -1)
        return np.ascontiguousarray(np.concatenate([i, o, f, g], -1).T)[None]

    biases = np.concatenate([gates_iofc(weights["bias"]), np.zeros((1, 4 * shape.hidden), np.float32)], 1)
    constants = {"W": gates_iofc(weights["w_ih"]), "R": gates_iofc(weights["w_hh"]), "biases": biases}
    node = helper.make_node(
        "LSTM", ["x", "W", "R", "biases", "", "h", "c"], ["y", "h_last", "c_last"], hidden_size=shape.hidden
    )
    state = [1, shape.batch, shape.hidden]
    sizes = {"x": list(x.shape), "h": state, "c": state}
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "h_last", "c_last")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {"x": x, "h": h[None], "c": c[None]}

    def arrays(result: list[np.ndarray]) -> list[np.ndarray]:
        y, h_last, c_last = result
        return [y[:, 0], h_last[0], c_last[0]]

    note = f"onnxruntime {onnxruntime.__version__}"
    return [Contender("ONNX Runtime LSTM", lambda: session.run(None, feeds), arrays, note)]


def jax_forward(shape: Shape, weights: Weights, inputs: Inputs) -> list[Contender]:
    import jax
    import jax.numpy as jnp

    w = {name: jnp.asarray(array) for name, array in weights.items()}
    x, h, c = (jnp.asarray(array) for array in inputs)

    def step(state, row):
        h, c = state
        i, f, g, o = jnp.split(row @ w["w_ih"] + h @ w["w_hh"] + w["bias"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    @jax.jit
    def lstm(x, h, c):
        (h, c), outputs = jax.lax.scan(step, (h, c), x)
        return outputs, h, c

    def arrays(result: tuple) -> list[np.ndarray]:
        return [np.asarray(array) for array in result]

    return [Contender("jax.jit scan", lambda: jax.block_until_ready(lstm(x, h, c)), arrays, f"jax {jax.__version__}")]


def torch_train(shape: Shape, weights: Weights, inputs: Inputs, target: np.ndarray, rate: float) -> list[Contender]:
    """A step of gradient descent on the mean square error. The output is the gradients."""
    import torch

    from bench import torch_models

    torch.set_num_threads(1)
    x, h, c = (torch.from_numpy(array) for array in inputs)
    wanted = torch.from_numpy(target)

    def step_of(model: torch.nn.Module, forward: Callable[[], torch.Tensor]) -> Callable[[], None]:
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)

        def step() -> None:
            optimizer.zero_grad()
            loss = ((forward() - wanted) ** 2).mean()
            loss.backward()
            optimizer.step()

        return step

    eager = torch_models.LSTM(torch_models.LSTMCell(weights))
    library = torch_models.library_lstm(weights)
    h1, c1 = h[None], c[None]

    def eager_gradients(_: None) -> list[np.ndarray]:
        cell = eager.cell
        return [p.grad.numpy().copy() for p in (cell.w_ih, cell.w_hh, cell.bias)]

    def library_gradients(_: None) -> list[np.ndarray]:
        grads = [library.weight_ih_l0.grad.T, library.weight_hh_l0.grad.T, library.bias_ih_l0.grad]
        return [grad.numpy().copy() for grad in grads]

    note = f"torch {torch.__version__}"
    return [
        Contender("torch eager loop", step_of(eager, lambda: eager(x, h, c)[0]), eager_gradients, note),
        Contender("torch nn.LSTM", step_of(library, lambda: library(x, (h1, c1))[0]), library_gradients, note),
    ]


def torch_layer(kind: str, options: dict[str, int | bool], state: Weights, x: np.ndarray) -> list[Contender]:
    """`torch.nn`'s layer of this kind with these parameters; its output is the sequence."""
    import torch

    torch.set_num_threads(1)
    layer = getattr(torch.nn, kind)(**options)
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    given = torch.from_numpy(x)

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return layer(given)[0]

    return [Contender(f"torch nn.{kind}", call, lambda out: [out.numpy()])]


FORWARD: dict[str, tuple[tuple[str, ...], Callable[[Shape, Weights, Inputs], list[Contender]]]] = {
    "torch": (("torch",), torch_forward),
    "onnxruntime": (("onnxruntime", "onnx"), onnxruntime_forward),
    "jax": (("jax",), jax_forward),
}


def installed() -> list[str]:
    """The peers whose packages can be found."""
    return [name for name, (packages, _) in FORWARD.items() if all(find_spec(package) for package in packages)]
