"""What loader processes are given, where they are started afresh: macOS, and Python 3.14."""

import pickle

import pytest
import torch

from auralflow_pl.training.build import build_data
from support import TINY, composed


@pytest.mark.parametrize("pool", ["int16", "none"])
def test_training_chunks_can_be_sent_to_another_process(songs, pool):
    data = build_data(
        composed("train", *TINY, f"data.root={songs}", f"pool={pool}", "augment=heavy")
    )
    data.prepare_data()
    data.setup("fit")
    sent = pickle.loads(pickle.dumps((data.chunks, data.loading)))
    for one, two in zip(sent[0][3].values(), data.chunks[3].values(), strict=True):
        assert torch.equal(one, two)
