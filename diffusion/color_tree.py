"""Color-tree masking: a pixel forgets its color by and by, first its shade, at last everything.

A pixel climbs the tree of its palette's colors (`quantization.palettes.tree`) from its entry's leaf
to the root, which is the mask. Between them it is at an inner node: one of the entries under it.
This is partial masking (Chao et al. 2025, arXiv 2505.18495) with the tree in the place of digits.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from tincture.common.errors import InputError
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.tree import ColorTree, at_pixels, color_tree

from .absorbing import AbsorbingProcess, surprisal
from .draws import Generators, uniform
from .schedules import Schedule


class ColorTreeProcess(AbsorbingProcess):
    """Each branching on a pixel's way is forgotten once; implements `diffusion.process.Process`.

    A pixel's way from the root has L branchings. Branching l is still known at time t with the
    probability k_l(t), independently of the others::

        k_1 = alpha(t),    k_l = alpha(t)^blur for l > 1

    The pixel is at the last node before the first branching that is forgotten. So it is at level l
    or below with probability alpha(t)^(1 + blur (l - 1)). A blur near 0 gives the absorbing
    process, whose prior and clock it shares; with a large one, all pixels lose their finest
    branching first, then the next one.

    The best prediction doesn't depend on the time, as with the absorbing process.

    Args:
        schedule: alpha(t).
        blur: how fast later branchings are forgotten, against the first one; above 0.

    Raises:
        InputError: the blur is out of range.
    """

    has_mask = False

    def __init__(self, schedule: Schedule, blur: float = 1.0) -> None:
        if not blur > 0:
            raise InputError(f"the blur of color-tree is {blur}; it must be above 0")
        super().__init__(schedule)
        self.blur = blur

    def renoise(self, x_s: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch, generator: Generators = None) -> Tensor:
        """Climb to above the first branching that is forgotten between s and t."""
        tree = color_tree(palette)
        later = torch.arange(tree.ancestors.shape[2] - 1, device=x_s.device)  # l - 1
        kept = ((torch.log1p(-t) - torch.log1p(-s))[:, None] * (1 + self.blur * later)).exp()  # [B, L]
        number = uniform(x_s.shape, generator, x_s.device)[..., None]
        level = (number < kept[:, None, None]).sum(dim=3)  # [B, H, W]
        return at_pixels(tree.ancestors, x_s).gather(2, level.flatten(1)[..., None]).view_as(x_s)

    def posterior(self, x_t: Tensor, p_0: Tensor, s: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """Σ_x0 q(x_s | x_t, x_0) p_0(x_0), with p_0 among the entries under x_t.

        From level m, a pixel has come to level l > m or further down with the probability ::

            (1 - (1 - k_(m+1)(s)) / (1 - k_(m+1)(t))) k_(m+2)(s) … k_l(s)
        """
        tree = color_tree(palette)
        under = at_pixels(tree.members, x_t)  # [B, H W, K]
        p = rearrange(p_0, "b k h w -> b (h w) k") * under
        p = torch.where(under.sum(dim=2, keepdim=True) == 1, under.to(p), p)  # a leaf is certain
        mass = (p / p.sum(dim=2, keepdim=True)) @ tree.members.mT.to(p)  # of each node, [B, H W, N]
        depth = tree.ancestors.shape[2] - 1
        came = (1 - self._unknown(s, depth) / self._unknown(t, depth))[:, :, None] * self._known_after(s, depth)
        there = torch.ones(depth + 1, depth + 1, dtype=torch.bool, device=x_t.device).tril()
        came = F.pad(came.masked_fill(there, 1), (0, 1))  # [B, L + 1, L + 2]: nobody comes to level L + 1
        first, below = (v[:, None].expand(-1, depth + 1, -1) for v in (tree.first, tree.last + 1))
        chance = at_pixels(came.gather(2, first) - came.gather(2, below), _level(tree, x_t))
        return rearrange(mass * chance, "b (h w) n -> b n h w", h=x_t.shape[1])

    def negative_elbo(self, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, palette: PaletteBatch) -> Tensor:
        """The surprisal of each branching times the rate at which it is remembered, back in time.

        At level m, branching m + 1 is remembered at the rate -k'_(m+1) / (1 - k_(m+1)), and with it
        those after it that are known. So the divergence of the model's jumps is ::

            -k'_(m+1) / (1 - k_(m+1)) Σ_(l > m) k_(m+2) … k_l (-log p(node_l | node_(l-1)))
        """
        tree = color_tree(palette)
        p = rearrange(logits.softmax(dim=1), "b k h w -> b (h w) k")
        mass = (p @ tree.members.mT.to(p)).gather(2, at_pixels(tree.ancestors, x_0))  # [B, H W, L + 1]
        # No node is less likely than its leaf, whose probability may be too small to be written.
        leaf = -surprisal(logits, x_0).flatten(1)[..., None]
        inner = torch.maximum(mass[..., :-1].clamp_min(torch.finfo(mass.dtype).tiny).log(), leaf)
        nats = (inner - torch.cat([inner[..., 1:], leaf], dim=2)).clamp_min(0)  # rounded, it may be below
        depth, noise = tree.ancestors.shape[2] - 1, self.schedule.noise(t)
        rates = self._rates(depth, noise.device)
        falls = rates * (1 - noise)[:, None] ** (rates - 1) * self.schedule.noise_rate(t)[:, None]  # -k'_(m+1)
        weight = (falls / self._unknown(noise, depth))[:, :, None] * self._known_after(noise, depth)[..., 1:]
        ahead = torch.ones(depth + 1, depth, dtype=torch.bool, device=noise.device).triu()
        return (at_pixels(weight.where(ahead, 0), _level(tree, x_t)) * nats).flatten(1).sum(dim=1)

    def _rates(self, depth: int, device: torch.device) -> Tensor:
        """How fast the branching after each level is forgotten, ``[L + 1]``."""
        return F.pad(torch.ones(1, device=device), (0, depth), value=self.blur)

    def _unknown(self, noise: Tensor, depth: int) -> Tensor:
        """1 - k_(m+1) after each level m, for noises ``[B]``, ``[B, L + 1]``."""
        return -torch.expm1(torch.log1p(-noise)[:, None] * self._rates(depth, noise.device))

    def _known_after(self, noise: Tensor, depth: int) -> Tensor:
        """k_(m+2) … k_l between levels m and l, for noises ``[B]``, ``[B, L + 1, L + 1]``."""
        levels = torch.arange(depth + 1, device=noise.device)
        between = (levels - levels[:, None] - 1).clamp_min(0)
        return (1 - noise)[:, None, None] ** (self.blur * between)


def _level(tree: ColorTree, x_t: Tensor) -> Tensor:
    """The level that each pixel is at, L for all leaves, ``[B, H W]``."""
    return at_pixels(tree.last, x_t)
