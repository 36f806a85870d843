"""The plain torch loops that a good engineer would write by hand, as a yardstick.

Tensors in memory, one gather a batch, the epoch's loss recorded; with mixup as in the
paper: one `lam` a batch, one permutation of it, the loss of both labels. They know
nothing of skmix or skorch, and are not tuned to make it look good: leave them alone.
"""

import numpy as np
import torch
from torch import nn


def mlp(d_in, widths, d_out):
    """Linear layers and ReLUs, ending in logits."""
    layers = []
    for width in widths:
        layers += [nn.Linear(d_in, width), nn.ReLU()]
        d_in = width
    return nn.Sequential(*layers, nn.Linear(d_in, d_out))


def train(module, optimizer, X, y, *, n_epochs, batch_size):
    """Train on tensors `X` and `y`; return the mean loss of each epoch."""
    criterion = nn.CrossEntropyLoss()
    module.train()
    losses = []
    for _ in range(n_epochs):
        total = 0.0
        for rows in torch.randperm(len(X), device=X.device).split(batch_size):
            xb, yb = X[rows], y[rows]
            optimizer.zero_grad()
            loss = criterion(module(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        losses.append(total / len(X))
    return losses


def train_mixed(module, optimizer, X, y, *, n_epochs, batch_size, alpha):
    """Train on mixed rows; return the mean mixed loss of each epoch."""
    criterion = nn.CrossEntropyLoss()
    rng = np.random.default_rng()
    module.train()
    losses = []
    for _ in range(n_epochs):
        total = 0.0
        for rows in torch.randperm(len(X), device=X.device).split(batch_size):
            xb, yb = X[rows], y[rows]
            lam = rng.beta(alpha, alpha)
            partner = torch.randperm(len(rows), device=X.device)
            optimizer.zero_grad()
            output = module(torch.lerp(xb[partner], xb, lam))
            own, other = criterion(output, yb), criterion(output, yb[partner])
            loss = lam * own + (1 - lam) * other
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        losses.append(total / len(X))
    return losses
