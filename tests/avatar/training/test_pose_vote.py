"""The learning of the second opinion: it finds a rule again, and strays do not spoil it."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from app.bundled import avatar_path
from app.photo_view import drawer
from avatar.avatar_file import load_avatar
from avatar.portrait.landmarks import MediapipeFaceFinder
from avatar.portrait.pose_vote import load_pose_vote, vote_terms
from avatar.training.pose_vote import _robust_ridge, train_pose_vote


def test_a_rule_is_found_again_among_strays():
    random = np.random.default_rng(0)
    fitted = random.uniform(-0.4, 0.4, (800, 3))
    terms = vote_terms(fitted, fitted + random.normal(0, 0.05, (800, 3)))
    rule = np.zeros((terms.shape[1], 3))
    rule[-3:] = 0.4 * np.eye(3)
    error = terms @ rule + random.normal(0, 0.01, (800, 3))
    error[::20] += 0.6
    learnt = _robust_ridge(terms, error)
    at = terms[:100] @ learnt - terms[:100] @ rule
    assert np.degrees(np.abs(at).mean()) < 0.6


def test_a_few_heads_become_an_asset_that_can_be_read(tmp_path: Path):
    output = tmp_path / "pose_vote.safetensors"
    with MediapipeFaceFinder() as finder:
        figures = train_pose_vote(
            [load_avatar(avatar_path("default"))],
            drawer(),
            finder,
            pictures=8,
            seed=1,
            output=output,
        )
    assert isinstance(figures["pictures"], int)
    assert figures["pictures"] >= 8
    assert load_pose_vote(output).shape == load_file(output)["weights"].shape
