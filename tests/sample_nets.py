"""Modules and nets that the tests wrap."""

import torch
from skorch import (
    NeuralNetBinaryClassifier,
    NeuralNetClassifier,
    NeuralNetRegressor,
)
from torch import nn

from skmix import default_net


class Layers(nn.Module):
    """A small perceptron with batch normalisation, to notice single-row batches."""

    def __init__(self, d_in=5, d_out=2, d=32, softmax=False, dropout=0.0, double=False):
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(d_in, d), nn.BatchNorm1d(d), nn.ReLU(), nn.Dropout(dropout)
        )
        self.output = nn.Linear(d, d_out)
        self.softmax = softmax
        if double:
            self.double()

    def forward(self, X):
        logits = self.output(self.hidden(X))
        return logits.softmax(-1) if self.softmax else logits


class InDouble(Layers):
    """The same in float64."""

    def __init__(self, d_in=5, d_out=2, softmax=False):
        super().__init__(d_in, d_out, softmax=softmax, double=True)


class Linear(nn.Module):
    """Multinomial logistic regression, in float64."""

    def __init__(self, d_in=5, d_out=2):
        super().__init__()
        self.output = nn.Linear(d_in, d_out, dtype=torch.float64)

    def forward(self, X):
        return self.output(X)


class Parts(nn.Module):
    """Takes numbers and codes of categories apart."""

    def __init__(self, n_num_features, cat_cardinalities, d_out):
        super().__init__()
        self.embedding = nn.ModuleList(nn.Embedding(n, 3) for n in cat_cardinalities)
        self.output = nn.Linear(n_num_features + 3 * len(cat_cardinalities), d_out)

    def forward(self, x_num, x_cat):
        codes = [e(x_cat[:, j]) for j, e in enumerate(self.embedding)]
        return self.output(torch.cat([x_num, *codes], dim=1))


SHARED = {
    "optimizer": torch.optim.Adam,
    "lr": 0.01,
    "max_epochs": 30,
    "batch_size": 32,
    "train_split": None,
    "verbose": 0,
}


def softmax_net(kind=NeuralNetClassifier, **params):
    """skorch's default: NLLLoss on the probabilities that the module puts out."""
    params = SHARED | {"module": Layers, "module__softmax": True} | params
    return kind(**params)


def logits_net(**params):
    params = SHARED | {"module": Layers, "criterion": nn.CrossEntropyLoss} | params
    return NeuralNetClassifier(**params)


def binary_net(**params):
    return NeuralNetBinaryClassifier(**(SHARED | {"module": Layers} | params))


def number_net(kind=NeuralNetRegressor, **params):
    return kind(**(SHARED | {"module": Layers} | params))


def short_default_net(task="classifier", max_epochs=3, **params):
    """The default net, where nothing is asked about a whole training."""
    return default_net(task).set_params(max_epochs=max_epochs, **params)


def tiny_default_net(task="classifier", max_epochs=2, **params):
    """The default net with few and narrow members, where only its recipe matters."""
    sizes = {"module__k": 2, "module__d_block": 16}
    return short_default_net(task, max_epochs, **(sizes | params))


def full_batch_net(kind=NeuralNetClassifier, **params):
    """Full-batch gradient descent in float64: no chance but the initialisation."""
    params = {"module": Linear, "lr": 0.1, "batch_size": -1} | params
    if kind is NeuralNetClassifier:
        params = {"criterion": nn.CrossEntropyLoss} | params
    return kind(**(SHARED | params))
