"""Streams that a thread makes ahead or processes behind its caller."""

import threading

import pytest

from auralflow_pl.signal.threads import done_behind, made_ahead


def test_order_and_end_are_those_of_the_stream():
    with made_ahead(iter(range(100)), 7) as blocks:
        assert list(blocks) == list(range(100))
        assert list(blocks) == []


def test_a_thread_makes_count_blocks_before_they_are_asked_for_and_no_more():
    made, enough = [], threading.Semaphore(0)

    def numbers():
        for number in range(10):
            made.append((number, threading.current_thread()))
            enough.release()
            yield number

    with made_ahead(numbers(), 3) as blocks:
        assert not made  # nothing before the first block is asked for
        assert next(blocks) == 0
        for _ in range(3):
            assert enough.acquire(timeout=60)
        assert next(blocks) == 1
        for _ in range(2):
            assert enough.acquire(timeout=60)
    assert len(made) == 5
    assert {thread for _, thread in made} != {threading.current_thread()}


def test_an_error_comes_after_the_blocks_before_it():
    def broken():
        yield 1
        yield 2
        raise ValueError("the third is damaged")

    with made_ahead(broken(), 8) as blocks:
        assert (next(blocks), next(blocks)) == (1, 2)
        with pytest.raises(ValueError, match="third"):
            next(blocks)


def test_the_stream_is_left_alone_once_the_block_has_ended():
    made = []

    def numbers():
        for number in range(1000):
            made.append(number)
            yield number

    with made_ahead(numbers(), 4) as blocks:
        next(blocks)
    assert len(made) <= 5
    assert not [t for t in threading.enumerate() if "ThreadPool" in t.name]


def test_calls_are_done_in_order_by_another_thread_and_all_of_them():
    done = []
    with done_behind(lambda *args: done.append((args, threading.current_thread())), 2) as call:
        for number in range(50):
            call(number, -number)
    assert [args for args, _ in done] == [(number, -number) for number in range(50)]
    assert threading.current_thread() not in {thread for _, thread in done}


def test_the_caller_waits_while_more_than_count_calls_are_not_done():
    gate, begun, last = threading.Event(), [], threading.Event()

    def work(number):
        begun.append(number)
        assert gate.wait(60)

    def caller():
        with done_behind(work, 2) as call:
            for number in range(3):
                call(number)
            last.set()

    thread = threading.Thread(target=caller)
    thread.start()
    assert not last.wait(0.2)  # the third call waits for the first, whose gate is shut
    gate.set()
    assert last.wait(60)
    thread.join(60)
    assert begun == [0, 1, 2]


@pytest.mark.parametrize("calls", [1, 5])
def test_the_error_of_a_call_is_raised_and_calls_after_it_may_be_left_out(calls):
    done = []

    def work(number):
        if number == 0:
            raise OSError("the disk is full")
        done.append(number)

    def caller():
        with done_behind(work, 1) as call:
            for number in range(calls):
                call(number)

    with pytest.raises(OSError, match="full"):
        caller()
    assert len(done) < 5


def test_waiting_calls_are_not_begun_if_the_caller_fails():
    started, gate, begun = threading.Event(), threading.Event(), []

    def work(number):
        begun.append(number)
        started.set()
        assert gate.wait(60)

    def caller():
        with done_behind(work, 5) as call:
            for number in range(4):
                call(number)
            assert started.wait(60)
            threading.Timer(0.5, gate.set).start()
            raise KeyError

    with pytest.raises(KeyError):
        caller()
    assert begun == [0]
