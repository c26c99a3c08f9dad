"""A small network that learns to tell patches of frames from patches that were drawn, beside the
fit, and what a drawing must change to be taken for a frame.

Patch adversary as in pix2pix (Isola et al. 2017) with least squares (Mao et al. 2017), three layers
that see 18 pixels each. The same frames and steps in, the same network out: it begins from a fixed
seed, and all of its state is in `state`.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from avatar.types import Float

_WIDTH, _SEED = 16, 20260
_RATE, _KEPT, _SQUARE_KEPT = 1e-3, 0.5, 0.99
"""Adam's (Kingma & Ba 2015), its momentum as adversaries have it."""


class PatchCritic:
    """Learns at each call. Not for two threads at once."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(_SEED)
        self._network = nn.Sequential(
            nn.Conv2d(3, _WIDTH, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(_WIDTH, 2 * _WIDTH, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * _WIDTH, 1, 3, 1, 1),
        )
        for values in self._network.parameters():
            spread = 0.1 if values.ndim == 4 else 0.0
            values.data.copy_(spread * torch.randn(values.shape, generator=random))
        count = len(parameters_to_vector(self._network.parameters()))
        self._moments = torch.zeros(2, count)
        self._steps = 0

    def slope(self, shown: Float, filmed: Float, weight: Float) -> Float:
        """[H, W, 3] the gradient by `shown` [H, W, 3] of how surely its patches are told from
        those `filmed`, each counting by its pixels' `weight` [H, W]; then the network learns."""
        drawn, real = _batch(shown).requires_grad_(), _batch(filmed)
        share = functional.interpolate(torch.from_numpy(weight)[None, None], scale_factor=0.25)
        with torch.enable_grad():
            told = self._network(drawn)
            share = share[..., : told.shape[-2], : told.shape[-1]]
            fooled = 16 * (share * (told - 1) ** 2).sum() / 2
            (slope,) = torch.autograd.grad(fooled, drawn, retain_graph=True)
            told_real = self._network(real)
            loss = (share * (told**2 + (told_real - 1) ** 2)).sum() / share.sum().clamp_min(1e-3)
            parameters = list(self._network.parameters())
            gradients = torch.autograd.grad(loss, parameters)
        self._learn(parameters_to_vector(gradients))
        return np.ascontiguousarray(slope[0].permute(1, 2, 0).numpy())

    def _learn(self, gradient: Tensor) -> None:
        self._steps += 1
        mean, square = self._moments
        mean.lerp_(gradient, 1 - _KEPT)
        square.lerp_(gradient * gradient, 1 - _SQUARE_KEPT)
        mean_now = mean / (1 - _KEPT**self._steps)
        square_now = square / (1 - _SQUARE_KEPT**self._steps)
        values = parameters_to_vector(self._network.parameters()).detach()
        values = values - _RATE * mean_now / (square_now.sqrt() + 1e-8)
        vector_to_parameters(values, self._network.parameters())

    @property
    def state(self) -> Float:
        """[3 P + 1] parameters, moments, steps."""
        values = parameters_to_vector(self._network.parameters()).detach()
        whole = torch.cat([values, self._moments.flatten(), torch.tensor([float(self._steps)])])
        return whole.numpy().copy()

    def resume(self, state: Float) -> None:
        """Go on from an earlier `state`.

        Raises:
            ValueError: it is of another network.
        """
        count = self._moments.shape[1]
        if len(state) != 3 * count + 1:
            raise ValueError(f"a critic's state of {len(state)} numbers, not {3 * count + 1}")
        values = torch.from_numpy(np.array(state, np.float32))
        vector_to_parameters(values[:count].clone(), self._network.parameters())
        self._moments = values[count:-1].reshape(2, count).clone()
        self._steps = int(values[-1])


def _batch(picture: Float) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))[None]) - 0.5
