"""Signals that become exceptions."""

import signal
import threading

import pytest

from nws.taylorism.interrupt import SignalInterruptError, SignalInterruptHandler

SIGNALS = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handlers_are_put_back():
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGINT)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


def come(number):
    signal.raise_signal(number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_an_exception_that_says_which(number):
    with SignalInterruptHandler(emitlogs=False):
        for _ in range(2):
            with pytest.raises(SignalInterruptError, match=f"interrupted by {number.name}") as error:
                come(number)
            assert error.value.signal is number


def test_an_interrupt_stays_what_it_is():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with SignalInterruptHandler(), pytest.raises(KeyboardInterrupt):
            come(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_code_unwinds_and_does_not_go_on_as_after_an_error():
    steps = []

    def work():
        with SignalInterruptHandler(emitlogs=False):
            try:
                try:
                    come(signal.SIGTERM)
                except Exception:
                    steps.append("went on")
            finally:
                steps.append("unwound")

    with pytest.raises(SignalInterruptError):
        work()
    assert steps == ["unwound"]


def test_blocks_may_be_nested_and_put_back_what_was_there_before():
    outer = SignalInterruptHandler([signal.SIGTERM])
    with outer:
        there = signal.getsignal(signal.SIGTERM)
        with SignalInterruptHandler([signal.SIGTERM, signal.SIGUSR1]), outer:
            assert outer.active
        assert signal.getsignal(signal.SIGTERM) == there
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
        assert outer.active
        with pytest.raises(SignalInterruptError):
            come(signal.SIGTERM)
    assert not outer.active


def test_it_may_be_switched_on_and_off_without_a_block():
    handler = SignalInterruptHandler([signal.SIGUSR1])
    assert handler.signals == (signal.SIGUSR1,)
    assert not handler.active
    handler.deactivate()
    handler.activate()
    assert handler.active
    handler.deactivate()
    assert not handler.active


def test_a_signal_is_logged_unless_that_is_not_wanted(caplog):
    for wanted in (False, True):
        with SignalInterruptHandler(emitlogs=wanted), pytest.raises(SignalInterruptError):
            come(signal.SIGUSR1)
        assert ("SIGUSR1 came" in caplog.text) is wanted


def test_another_thread_changes_nothing():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with SignalInterruptHandler() as handler:
            seen.extend([handler.active, signal.getsignal(signal.SIGTERM)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, before]


def test_faults_of_the_processor_are_not_among_the_signals():
    faults = {signal.SIGSEGV, signal.SIGFPE, signal.SIGILL, signal.SIGBUS, signal.SIGTRAP, signal.SIGABRT}
    assert not faults & set(SignalInterruptHandler().signals)
