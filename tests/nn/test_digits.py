"""Training to accuracy: the small convolutional net of the PyTorch talk on scikit-learn's bundled digits, in eager
mode."""

from __future__ import annotations

import numpy as np
import pytest

import specjit
from specjit import nn, optim

F = nn.functional


class Net(nn.Module):
    """Two convolutions with pools, dropout, two linear layers; (N, 1, 8, 8) to log-probabilities of ten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(128, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.dropout(x.flatten(1))
        x = F.relu(self.fc1(x))
        return F.log_softmax(self.fc2(x), 1)


def digits():
    """Images in [0, 1] and classes: the first four fifths of a fixed shuffle for training, the rest for the test."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = (data.images[order, None] / 16).astype(np.float32)
    classes = data.target[order].astype(np.int64)
    cut = len(order) * 4 // 5
    return images[:cut], classes[:cut], images[cut:], classes[cut:]


@pytest.mark.parametrize("method", ["sgd", "adam"])
def test_digits_reach_97_percent(method):
    images, classes, held_out, answers = digits()
    specjit.manual_seed(0)
    net = Net()
    if method == "sgd":
        optimizer, epochs = optim.SGD(net.parameters(), lr=0.05, momentum=0.9), 15
    else:
        optimizer, epochs = optim.Adam(net.parameters(), lr=3e-3), 10
    rng = np.random.default_rng(1)
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(order), 64):
            batch = order[start : start + 64]
            optimizer.zero_grad()
            loss = F.nll_loss(net(specjit.from_numpy(images[batch])), specjit.from_numpy(classes[batch]))
            loss.backward()
            optimizer.step()
    net.eval()
    with specjit.no_grad():
        found = net(specjit.from_numpy(held_out)).argmax(1).numpy()
    assert (found == answers).mean() >= 0.97
