"""One batch on its way through a net: mixed before it or within, then its loss."""

from contextlib import nullcontext

import torch

from skmix.layers import bypassed, halves, mixed_inside, stacked, uncompiled
from skmix.losses import first_output, losses_of_steps
from skmix.mixing import mix_step


class Pass:
    """A batch on its way through the net: mixed before or within, then its loss.

    Parameters
    ----------
    net : skorch.NeuralNet
    plan : skmix.plan.Plan, default=None
    draw : skmix.plan.Draw, default=None
        Of one step; None where nothing is mixed.
    y, y_partner : torch.Tensor of shape (B, ...), default=None
        Targets, on the net's device.
    weight : ndarray of shape (B,), default=None
    loss : callable, default=None
        The loss of the mixed rows, where it is known before these are.

    Attributes
    ----------
    entered, loss_passed : bool
        Whether rows were mixed, or are to be within, and whether the loss was.
    """

    def __init__(
        self,
        net,
        plan=None,
        draw=None,
        *,
        y=None,
        y_partner=None,
        weight=None,
        loss=None,
    ):
        self.net, self.plan, self.draw, self.weight = net, plan, draw, weight
        self.y, self.y_partner = y, y_partner
        self.own_loss = loss
        self.layer = None if draw is None else plan.layers[draw.place[0]]
        self.mix = None if draw is None else plan.mix[draw.place[0]]
        self.clean_weight = 0 if draw is None else plan.clean_weight
        self.share = self.X = self.X_mixed = self.X_partner = self.clean = None
        self.entered = self.loss_passed = False

    def enter(self, x, x_partner):
        """What the module is to be given, within `within`."""
        self.X, self.entered = x, True
        if self.layer is not None:
            self.X_mixed = x
            return stacked(x, x_partner)
        self.X_mixed = self._mixed(x, x_partner)
        return stacked(x, self.X_mixed) if self.clean_weight else self.X_mixed

    def within(self):
        """Return the context manager within which the module is to be called."""
        if self.layer is None:
            return nullcontext()
        module, n_rows = uncompiled(self.net.module_), len(self.draw.partner)
        keep = self.clean_weight > 0
        return mixed_inside(module, self.layer, self._mixed, n_rows, keep=keep)

    def _mixed(self, x, x_partner):
        y, y_partner = self.y, self.y_partner
        mixed, self.share = mix_step(self.mix, x, x_partner, y, y_partner, self.draw)
        return mixed

    def split(self, output):
        """Take clean outputs, or None, and those of mixed rows apart."""
        if not self.clean_weight:
            self._check_all_mixed(output)
            return None, output
        return halves(output, len(self.draw.partner))

    def _check_all_mixed(self, output):
        """Refuse unmixed rows that one mixed row was added to, without an error."""
        n_rows, first = len(self.draw.partner), first_output(output)
        pairs = isinstance(first, torch.Tensor) and first.shape[:1] == (2 * n_rows,)
        if pairs and self.layer is not None:
            raise bypassed(self.layer, n_rows)

    def loss(self, output, clean=None, args=(), kwargs=None):
        """Loss of the outputs for mixed rows, and of those for clean ones if any."""
        self.loss_passed = True
        mixed = self.own_loss
        if mixed is None:
            partner, rows = self.y_partner, _with_rows(self.X_mixed, args, kwargs)
            (mixed,) = self._losses(partner, self.share, *rows)
        loss = mixed(output)
        if clean is not None:
            (own,) = self._losses(None, None, *_with_rows(self.X, args, kwargs))
            loss = loss + self.clean_weight * own(clean)
        return loss

    def _losses(self, y_partner, share, args, kwargs):
        permuted = share is None or not self.plan.from_table
        options = {"permuted": permuted, "args": args, "kwargs": kwargs}
        return losses_of_steps(
            self.net, self.y, y_partner, share, self.weight, 1, **options
        )


def _with_rows(X, args, kwargs):
    """Pass `X` on, where `get_loss` is given rows: a reconstruction loss needs those
    that the outputs are of.
    """
    kwargs = kwargs or {}
    if X is None:
        return args, kwargs
    if "X" in kwargs:
        return args, kwargs | {"X": X}
    return (X, *args[1:]) if args else args, kwargs
