"""The progress of a training in a log."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch.utils.data import DataLoader

from auralflow_pl.system import progress
from auralflow_pl.training.callbacks.progress import LogProgress


class Line(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch):
        return self.layer(batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters())


@pytest.mark.filterwarnings("ignore")  # of Lightning, which a training of ours explains or avoids
def test_an_epoch_that_is_resumed_within_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0)
    monkeypatch.setattr(progress.Progress, "hidden", False)  # after silent=true
    path = tmp_path / "one.ckpt"

    def fit(resume, **hooks):
        trainer = pl.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            callbacks=[LogProgress(), LambdaCallback(**hooks)],
        )
        trainer.fit(Line(), DataLoader(torch.ones(4, 1)), ckpt_path=resume, weights_only=True)
        return capsys.readouterr().out

    def save(trainer, *_):
        if trainer.global_step == 2:
            trainer.save_checkpoint(path)

    assert "Epoch 0: 25%" in fit(None, on_train_batch_end=save)
    resumed = fit(path)
    assert "Epoch 0: 75%" in resumed
