"""Separate one file into stems, with a report beside them."""

from __future__ import annotations

import contextlib
import copy
import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from auralflow_pl.audio.reading import Source, Span, open_pipe, open_source
from auralflow_pl.audio.writing import check_encoding, choose_encoding
from auralflow_pl.errors import Cancelled, InputError, did_you_mean, printable
from auralflow_pl.report.spare import spare_result
from auralflow_pl.signal.streams import align_blocks, branch_blocks
from auralflow_pl.signal.threads import done_behind, made_ahead, one_thread
from auralflow_pl.stems.excerpt import MiddleExcerpt
from auralflow_pl.stems.inputs import BytePipe, HashingReader, InputFile
from auralflow_pl.stems.loading import LoadedModel, chain_of, stems_of
from auralflow_pl.stems.outputs import OutputTemplate, StemOptions
from auralflow_pl.stems.refinement import (
    Averaging,
    average_stems,
    check_refinable,
    refine_estimates,
)
from auralflow_pl.stems.report_file import (
    REPORT_FORMAT,
    describe_file,
    describe_input,
    describe_loaded_model,
    describe_stems,
    obsolete_files,
    read_report,
    speed_of,
)
from auralflow_pl.stems.writer import RESIDUAL_NAME, StemLayout, StemWriter
from auralflow_pl.system.files import check_file, file_sha256, values_sha256
from auralflow_pl.system.staging import move_together, work_folder
from auralflow_pl.version import __version__

PICTURE_SECONDS = 20

DECODED_AHEAD = WRITTEN_BEHIND = 16  # blocks, 24 seconds of stereo; a window of most networks

SecondsCallback = Callable[[float, float | None], bool | None]  # seconds done, and total if known


class StemJob:
    """Separates files with one or several models.

    Args:
        models: models with distinct targets, or those of the steps of a chain, in order.
        template: template of the names of output files.
        options: settings of the stems.
        device: device of the models.
        plot: also draw spectrograms.
        overwrite: replace existing files.
        targets: targets to write; None: all targets of the models.
        inputs: resolved paths of all inputs of the run; they are never removed.
        averaging: how estimates of the same target become one; None: no two models have one.

    Raises:
        InputError: two models have the same target without `averaging`, the steps make no chain,
            no model has one of `targets`, a target has the name of the residual, or `wiener` has
            only one source or stems that hold others.
    """

    def __init__(
        self,
        models: Sequence[LoadedModel],
        template: OutputTemplate,
        options: StemOptions,
        device: torch.device,
        plot: bool = False,
        overwrite: bool = False,
        targets: Sequence[str] | None = None,
        inputs: Collection[Path] = (),
        averaging: Averaging | None = None,
    ) -> None:
        self.models, self.template, self.options = models, template, options
        self.averaging = averaging
        self.device, self.plot, self.overwrite, self.inputs = device, plot, overwrite, inputs
        self.chain = chain_of(models, averaging is not None)
        known = self.stems = stems_of(models) if averaging else self.chain.stems
        for name in targets or ():
            if name not in known:
                raise InputError(f"target={name}: no model has it, {did_you_mean(name, known)}")
        if options.wiener:
            check_refinable(len(known), options.residual, self.chain.wholes)
        self.targets = [name for name in known if targets is None or name in targets]
        if options.residual and RESIDUAL_NAME in self.targets:
            raise InputError(
                "residual=true: a model separates a target of this name, and both would go to one "
                "file; pass residual=false"
            )
        self.chosen = [known.index(name) for name in self.targets]

    def run(self, job: InputFile, pipe: BytePipe, progress: SecondsCallback) -> bool:
        """Write the stems of a file; all of them appear together, or none.

        Args:
            job: file to separate.
            pipe: standard input, read if the job has no path.
            progress: called with the seconds done and the total (None: unknown); returns False
                to stop.

        Returns:
            False if the stems already exist, made from the same file by the same models with the
            same options.

        Raises:
            InputError: the file cannot be read, the stems cannot be written, or another process is
                making them.
            Cancelled: `progress` returned False.
        """
        if job.fault:
            raise InputError(job.fault)
        if job.path is not None:
            check_file(job.path)
        started = time.monotonic()
        tap = HashingReader(pipe)
        with one_thread() as thread, work_folder(self.template.base, job.track) as folder:
            hashed = None if job.path is None else thread.submit(file_sha256, job.path)
            if not self.overwrite and self.is_finished(job, hashed):
                return False
            with self.opened(job, tap) as source:
                writer, excerpt = self.write(source, folder, progress)
            digest = hashed.result() if hashed else tap.digest.hexdigest()
            finals = self.finals(job, writer.files.encoding.form)
            picture = None
            if self.plot:
                with spare_result(self.picture(job)):
                    picture = self.draw(job, folder, writer.layout, excerpt)
            place = self.report(job).parent
            report = {
                "format": REPORT_FORMAT,
                "key": self.key(digest),
                "version": __version__,
                "input": {"path": job.name, "sha256": digest, **describe_input(source)},
                "models": [describe_loaded_model(model) for model in self.models],
                "options": asdict(self.options),
                **({"averaging": asdict(self.averaging)} if self.averaging else {}),
                **describe_stems(writer, finals, place),
                "picture": describe_file(*picture, place) if picture else None,
                "speed": speed_of(time.monotonic() - started, writer),
            }
            part = folder / "report.json"
            part.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
            stems = {writer.files.paths[name]: path for name, path in finals.items()}
            files = {**stems, **dict([picture] if picture else []), part: self.report(job)}
            obsolete = obsolete_files(self.template, job.track, files.values(), self.inputs)
            move_together(folder, files, obsolete)
        return True

    def shrunk(self) -> StemJob | None:
        """A copy that needs less memory, see `Separator.shrink`; None if no model can shrink."""
        smaller = copy.copy(self)
        copies = {id(model.separator): copy.copy(model.separator) for model in self.models}
        smaller.models = [replace(m, separator=copies[id(m.separator)]) for m in self.models]
        smaller.chain = chain_of(smaller.models, self.averaging is not None)
        could = [separator.shrink() for separator in copies.values()]
        return smaller if any(could) else None

    def report(self, job: InputFile) -> Path:
        """Path of the report of a track."""
        return self.template.report(job.track)

    def picture(self, job: InputFile) -> Path:
        """Path of the spectrograms of a track."""
        return self.template.picture(job.track)

    def finals(self, job: InputFile, form: str) -> dict[str, Path]:
        """Paths of the stems of a track by target, for a file format such as `wav`."""
        names = [*self.targets, *([RESIDUAL_NAME] if self.options.residual else [])]
        return {name: self.template.path(job.track, name, form) for name in names}

    def key(self, digest: str) -> str:
        """Digest of everything that the stems depend on; `digest` is that of the input."""
        models = [[model.sha256, dict(model.settings)] for model in self.models]
        content = [REPORT_FORMAT, digest, models, asdict(self.options)]
        if len(self.targets) < len(self.stems):
            content.append(self.targets)
        if steps := [asdict(model.step) for model in self.models if model.step]:
            content.append(steps)
        if self.averaging:
            content.append(asdict(self.averaging))
        return values_sha256(content)

    def is_finished(self, job: InputFile, hashed: Future[str] | None) -> bool:
        """Return True if a report with the same key exists and its files are complete.

        The content of a pipe is unknown before it is read, so the result is then never True.

        Args:
            job: file to separate.
            hashed: SHA-256 of the file; None: a pipe.

        Raises:
            InputError: files of other origin exist under the names of the stems.
        """
        path = self.report(job)
        report = read_report(path)
        if hashed and report and report.key == self.key(hashed.result()):
            drawn = not self.plot or self.picture(job).is_file()
            return drawn and all(stem.is_there() for stem in report.stems.values())
        for final in (path, *self.finals(job, self.options.format).values()):
            if final.exists():
                origin = "made from another file, by another model or with other options"
                if report is None:
                    origin = "and not made by this command"
                elif hashed is None:
                    origin = "and what comes through a pipe cannot be compared with it"
                raise InputError(
                    f"{final}: is there already, {origin}; pass another output, or "
                    "overwrite=true to replace it"
                )
        return False

    @contextlib.contextmanager
    def opened(self, job: InputFile, pipe: BytePipe) -> Iterator[Source]:
        """Open the audio of a job, limited to `offset` and `duration`.

        A thread decodes files ahead, but no pipe: it would wait for one that sends nothing.
        """
        span = Span(self.options.offset, self.options.duration)
        if job.path is None:
            with open_pipe(pipe, job.name, span, self.options.pcm) as source:
                yield source
            return
        with (
            open_source(job.path, span) as source,
            made_ahead(source.blocks, DECODED_AHEAD) as blocks,
        ):
            yield replace(source, blocks=blocks)

    def write(
        self, source: Source, folder: Path, progress: SecondsCallback
    ) -> tuple[StemWriter, MiddleExcerpt]:
        """Separate a source, write its stems into a folder, and keep an excerpt for the plot."""
        options = self.options
        rate = options.sample_rate or source.sample_rate
        encoding = choose_encoding(options.format, options.subtype, source.subtype)
        check_encoding(encoding, rate, source.channels)
        frames = None if source.frames is None else -(-source.frames * rate // source.sample_rate)
        layout = StemLayout(
            self.targets,
            options.residual,
            rate,
            source.channels,
            encoding,
            frames,
            options.clip,
            source.tags,
            self.chain.wholes,
        )
        writer, excerpt = StemWriter(folder, layout), MiddleExcerpt(frames, PICTURE_SECONDS * rate)
        done = 0
        try:
            with done_behind(writer.write, WRITTEN_BEHIND) as write:
                for mixture, everything in self.separated(source, rate):
                    estimates = everything[self.chosen]
                    write(mixture, estimates)
                    if self.plot:
                        excerpt.push(torch.cat([mixture[None], estimates]))
                    done += mixture.shape[-1]
                    if progress(done / rate, None if frames is None else frames / rate) is False:
                        raise Cancelled
            writer.close()
        except BaseException:
            writer.abort()
            raise
        return writer, excerpt

    @torch.inference_mode()
    def separated(self, source: Source, rate: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Blocks of the mixture and of the estimates of all models, at a sample rate.

        Args:
            source: the mixture.
            rate: sample rate of the blocks, in Hz.

        Yields:
            mixture `(channels, time)` and estimates `(targets, channels, time)`.
        """
        joined = self.chain.stream(source.blocks, source.sample_rate, rate)
        if self.averaging:
            names = [model.separator.targets for model in self.models]
            joined = average_stems(joined, rate, names, self.averaging)
        if not self.options.wiener:
            for block in joined:
                yield block[0], block[1:]
            return
        one, two = branch_blocks(joined, 2)
        filtered = refine_estimates(two, rate, self.options.residual)
        for block, estimates in align_blocks([one, filtered]):
            yield block[0], estimates

    def draw(
        self, job: InputFile, folder: Path, layout: StemLayout, excerpt: MiddleExcerpt
    ) -> tuple[Path, Path]:
        """Draw the spectrograms of mixture and stems; return drawn and final path."""
        from auralflow_pl.report.figures import spectrogram_comparison

        sounds = dict(zip(["mixture", *self.targets], excerpt.sound, strict=True))
        title = f"{printable(job.track)}, from {excerpt.start / layout.sample_rate:.0f} s"
        figure = spectrogram_comparison(sounds, layout.sample_rate, title)
        part = folder / "spectrograms.png"
        figure.savefig(part, dpi=80)
        return part, self.picture(job)
