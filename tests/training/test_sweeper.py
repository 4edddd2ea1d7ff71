"""The sweeper of sweep=optuna: what it chooses from, and that no trial is lost or run twice."""

from __future__ import annotations

import signal
import sqlite3
import sys

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from auralflow_pl.errors import InputError
from auralflow_pl.system.extras import install_line
from auralflow_pl.training.sweeps.search_space import parse_search_space
from support import ended, option_names, python
from support.tiny_sweep import begin_sweep, tiny_sweep, what_ran

X = "x=interval(-2.0,2.0)"
FLOAT, INT, CHOICE = FloatDistribution, IntDistribution, CategoricalDistribution
DISTRIBUTIONS = {
    "x=interval(0,0.5)": FLOAT(0, 0.5),
    "x=interval(1,8)": FLOAT(1, 8),
    "x=int(interval(1,8))": INT(1, 8),
    "x=tag(log,interval(1e-4,1e-1))": FLOAT(1e-4, 1e-1, log=True),
    "x=tag(log,int(interval(1,64)))": INT(1, 64, log=True),
    "x=range(1,8)": INT(1, 7),  # without its end, as in every sweep of Hydra
    "x=range(1,8,3)": INT(1, 7, step=3),
    "x=range(8,1,-3)": INT(2, 8, step=3),
    "x=range(0,1,0.25)": FLOAT(0, 0.75, step=0.25),
    "x=choice(simple,lstm)": CHOICE(("simple", "lstm")),
    "x=simple,lstm": CHOICE(("simple", "lstm")),
    "x=0.1,2,true": CHOICE((0.1, 2, True)),
    "x=shuffle(choice(1,1,1))": CHOICE((1,)),
    "x=null,[1,2]": CHOICE(("null", "[1,2]")),
}


@pytest.mark.parametrize("override", DISTRIBUTIONS)
def test_the_values_of_an_override(override):
    space = parse_search_space([override, "y=3"], None)
    assert space.distributions == {"x": DISTRIBUTIONS[override]}
    assert space.fixed == {"y": "y=3"}


def test_every_choice_is_tried_in_an_example_and_the_last_override_of_a_key_counts():
    space = parse_search_space(["a=1,2", "a='x y',z,null", "+b=interval(0,1)", "~c"], None)
    assert list(space.examples()) == [["~c", f"a={a}", "+b=0.0"] for a in ("'x y'", "z", "null")]


@pytest.mark.parametrize(
    "override, said",
    [
        ("x=interval(3,1)", "x=interval(3,1): "),
        ("x=range(3,3)", "x=range(3,3): "),
        ("x=tag(log,interval(0,1.0))", "x=tag(log,interval(0,1.0)): "),
        ("x=3", "no key has values to choose from"),
    ],
)
def test_values_that_cannot_be_searched(override, said):
    with pytest.raises(InputError) as error:
        parse_search_space([override], None)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def study_of(folder):
    return optuna.load_study(study_name="auralflow", storage=f"sqlite:///{folder}/study.db")


def states(folder):
    return [trial.state.name for trial in study_of(folder).trials]


@pytest.mark.parametrize("sampler", option_names("hydra/sweeper/sampler"))
def test_every_sampler_is_chosen_by_its_name(sampler, tmp_path):
    keys = ["x=range(0,2)", "kind=a,b", f"hydra/sweeper/sampler={sampler}"]
    code, text = tiny_sweep(tmp_path, *keys, "hydra.sweeper.n_trials=5")
    assert code == 0, text
    assert "Warning" not in text
    ran = [(job["x"], job["kind"]) for job in what_ran(tmp_path)]
    if sampler == "grid":  # which has no more than four
        assert sorted(ran) == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    else:
        assert len(ran) == 5


def test_a_job_is_given_the_values_as_they_were_written(tmp_path):
    values = ["a,b", "x=(y)", None, True, [1, 2], 0.1]
    words = "word='a,b','x=(y)',null,true,[1,2],0.1"
    keys = [words, "hydra/sweeper/sampler=grid", "hydra.sweeper.params={x:'choice(0,1)'}", "x=1"]
    code, text = tiny_sweep(tmp_path, *keys)
    assert code == 0, text
    ran = what_ran(tmp_path)
    assert sorted((job["word"] for job in ran), key=str) == sorted(values, key=str)
    assert {job["x"] for job in ran} == {1}  # the command line goes before params


def test_a_killed_study_goes_on_as_if_nothing_had_happened(tmp_path):
    def sweep(folder, *keys):
        return tiny_sweep(folder, X, "kind=a,b", "hydra.sweeper.n_trials=5", *keys)

    assert sweep(tmp_path / "whole")[0] == 0
    folder = tmp_path / "killed"
    for number in (0, 3):
        assert sweep(folder, f"killed_at={number}")[0] == -signal.SIGKILL
        assert states(folder) == ["COMPLETE"] * number + ["RUNNING"]
    assert sweep(folder)[0] == 0
    assert states(folder) == ["COMPLETE"] * 5
    whole, killed = study_of(tmp_path / "whole").trials, study_of(folder).trials
    assert [t.params for t in killed] == [t.params for t in whole]
    assert [t.values for t in killed] == [t.values for t in whole]
    ran = what_ran(folder)
    assert [job["trial"] for job in ran] == [0, 0, 1, 2, 3, 3, 4]
    assert [job["folder"] for job in ran] == [str(folder / str(job["trial"])) for job in ran]
    assert sweep(folder)[0] == 0  # and there is nothing left to do
    assert len(what_ran(folder)) == 7


def test_failing_trials_leave_the_others_alone_and_are_tried_once_more(tmp_path):
    keys = [X, "kind=choice(a,b,c)", "hydra.sweeper.n_trials=8"]
    code, text = tiny_sweep(tmp_path, *keys, "raises=b", "fails=c")
    assert code == 1
    assert "ArithmeticError: no such kind" in text
    first = what_ran(tmp_path)
    bad = [job for job in first if job["kind"] != "a"]
    assert {job["kind"] for job in bad} == {"b", "c"}
    assert states(tmp_path) == ["COMPLETE" if j["kind"] == "a" else "FAIL" for j in first]
    code, text = tiny_sweep(tmp_path, *keys)
    assert code == 0, text
    again = what_ran(tmp_path)[8:]
    same = ("folder", "x", "kind")
    assert [[job[key] for key in same] for job in again] == [[j[key] for key in same] for j in bad]
    assert states(tmp_path)[8:] == ["COMPLETE"] * len(bad)


def test_too_many_failures_stop_the_sweep(tmp_path):
    keys = ["x=choice(0,1)", "fails=a", "hydra.sweeper.n_jobs=2"]
    _, text = tiny_sweep(tmp_path, *keys, "hydra.sweeper.max_failure_rate=0.5")
    assert "2 of 2 trials failed, hydra.sweeper.max_failure_rate=0.5: the sweep stops" in text
    assert states(tmp_path) == ["FAIL"] * 2


def test_two_processes_share_the_trials(tmp_path):
    keys = [X, "hydra.sweeper.n_trials=12", "pause=0.1"]
    both = [begin_sweep(tmp_path, *keys) for _ in range(2)]
    for process in both:
        code, text = ended(*process)
        assert code == 0, text
    ran = what_ran(tmp_path)
    assert sorted(job["trial"] for job in ran) == list(range(12))
    assert len({job["folder"] for job in ran}) == len({job["x"] for job in ran}) == 12
    assert {job["process"] for job in ran} == {child for child, _ in both}
    assert states(tmp_path) == ["COMPLETE"] * 12


def test_a_live_process_takes_over_the_trial_of_a_killed_one(tmp_path):
    keys = [X, "hydra.sweeper.n_trials=8", "pause=0.1"]
    both = [begin_sweep(tmp_path, *keys, f"killed_at={number}") for number in (4, -1)]
    assert {ended(*process)[0] for process in both} <= {0, -signal.SIGKILL}
    assert states(tmp_path) == ["COMPLETE"] * 8


@pytest.mark.parametrize(
    "keys, said",
    [
        (["hydra.sweeper.n_trials=many"], "hydra.sweeper.n_trials=many: expected int"),
        (["hydra.sweeper.n_jobs=0"], "hydra.sweeper.n_jobs=0: expected more than 0"),
        (["hydra.sweeper.max_failure_rate=2"], "max_failure_rate=2: expected from 0 to 1"),
        (["hydra.sweeper.direction=up"], "direction=up: expected one of maximize, minimize"),
        (["hydra.sweeper.direction=minimize"], "study that does not minimize; choose another"),
        (["hydra.sweeper.storage=sqlite:////no/folder/x.db"], "storage=sqlite:////no/folder/x.db"),
        (["hydra.sweeper.storage=nonsense"], "hydra.sweeper.storage=nonsense: "),
        (["hydra.sweeper.sampler.seed=x"], "sampler.seed=x: expected a whole number or null"),
        (["hydra/sweeper/sampler=grid"], "x: an interval cannot be listed"),
        (["kind=a,c"], "kind: sqlite:///"),
    ],
)
def test_mistakes_of_a_user_are_one_line(keys, said, tmp_path):
    begun = optuna.create_study(
        study_name="auralflow", storage=f"sqlite:///{tmp_path}/study.db", direction="maximize"
    )
    begun.tell(begun.ask({"kind": CHOICE(("a", "b"))}), 1.0)
    code, text = tiny_sweep(tmp_path, X, *keys)
    assert code == 1
    last = text.strip().splitlines()[-1]
    assert last.startswith("auralflow_pl.errors.InputError: "), text
    assert said in last
    assert len(study_of(tmp_path).trials) == 1


def test_a_database_of_an_older_optuna_is_refused(tmp_path):
    optuna.create_study(study_name="auralflow", storage=f"sqlite:///{tmp_path}/study.db")
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("update alembic_version set version_num = 'v2.6.0.a'")
    code, text = tiny_sweep(tmp_path, X)
    assert code == 1
    remedy = f"run once: optuna storage upgrade --storage sqlite:///{tmp_path}/study.db"
    assert text.strip().endswith(remedy)


def test_without_optuna_there_is_one_line(command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = command("train", "-m", "sweep=optuna", "seed=1,2", f"paths.run_dir={tmp_path}")
    assert done.error == (f"error: sweep=optuna: optuna not installed; {install_line('sweep')}")


def test_a_sampler_that_does_not_exist(command, tmp_path):
    keys = ["sweep=optuna", "hydra/sweeper/sampler=tpu", "seed=1,2", f"paths.run_dir={tmp_path}"]
    done = command("train", "-m", *keys)
    assert done.error == ("error: hydra/sweeper/sampler=tpu: no such option, did you mean 'tpe'?")


def test_configurations_are_printed_without_torch_and_optuna():
    code = (
        "import sys; sys.argv = ['train', '--cfg', 'job', 'sweep=optuna']\n"
        "from auralflow_pl.cli.main import run; run('train')\n"
        "print({'torch', 'optuna', 'sqlalchemy'} & {*sys.modules})"
    )
    done = python("-c", code)
    assert done.code == 0, done.err
    assert done.out.strip().endswith("set()")
