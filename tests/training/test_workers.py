"""Loader processes: what they are given where they are started afresh, and that they end."""

import multiprocessing
import pickle
import signal

import pytest
import torch
from pytorch_lightning import Callback

from auralflow_pl.training.build import build_data
from auralflow_pl.training.run import train_run
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


class Ends(Callback):
    """Ends a training in the middle of an epoch, in one of several ways."""

    def __init__(self, way):
        self.way = way

    def on_train_batch_start(self, trainer, module, batch, number):
        if self.way == "diverges":
            next(module.separator.network.parameters()).data.fill_(float("nan"))
        if self.way == "raises twice":
            raise RuntimeError("first")
        if self.way == "stops early":
            trainer.should_stop = True

    def on_validation_start(self, trainer, module):
        if self.way == "raises in validation":
            raise RuntimeError("in validation")
        if self.way == "is interrupted in validation":
            raise KeyboardInterrupt

    def on_exception(self, trainer, module, error):
        if self.way == "raises twice":
            raise RuntimeError("second")


@pytest.mark.parametrize(
    "way, raised",
    [
        ("diverges", ValueError),
        ("raises twice", RuntimeError),
        ("raises in validation", RuntimeError),
        ("is interrupted in validation", SystemExit),
        ("stops early", type(None)),
    ],
)
def test_however_a_training_ends_no_process_and_no_handler_is_left(way, raised, songs, tmp_path):
    """Python waits at its end for a loader process that was left, and so does the command."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    handlers = [signal.getsignal(number) for number in numbers]
    config = composed(
        "train",
        *TINY,
        f"data.root={songs}",
        f"paths.run_dir={tmp_path}",
        "data.num_workers=1",
        "+trainer.val_check_interval=2",
        f"+callbacks.ends={{_target_:{__name__}.Ends,way:'{way}'}}",
    )
    kept = None  # the exception, with all that its frames hold, as in a notebook
    try:
        train_run(config)
    except BaseException as error:
        kept = error
    assert multiprocessing.active_children() == []
    assert [signal.getsignal(number) for number in numbers] == handlers
    assert isinstance(kept, raised), kept
