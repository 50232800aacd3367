# ruff: noqa: E501 (a table with one fact a line)
"""Every fact that the reference of the module `spread_jobs` states, and the tests that hold it. The table is in our words."""

import pytest

from documented import Fact, expect_tests

JOBS = "test_spread_jobs"
FAULTS = "test_spread_faults"
PICKLES = "test_spread_pickles"
CONNECTIONS = "test_spread_connections"

FACTS: list[Fact] = [
    ("module", "starts a bunch of subprocesses, distributes work amongst them, collects the results", [f"{JOBS}::test_results_come_in_the_order_of_todo_whoever_is_faster"]),
    ("module", "subprocesses listen on standard input, for pickled commands", [f"{JOBS}::test_a_command_can_be_written_without_anything_of_ours"]),
    ("module", "they produce pickled tuples on standard output", [f"{JOBS}::test_a_command_can_be_written_without_anything_of_ours", f"{PICKLES}::test_the_end_is_found_whatever_is_pickled_and_whatever_follows"]),
    ("module", "they cannot print anything else", [f"{FAULTS}::test_junk_gives_the_task_back_and_the_worker_is_started_again_until_it_is_given_up"]),
    ("module", "standard error is free for them", [f"{JOBS}::test_lines_that_come_with_an_answer_are_printed_and_standard_error_is_free"]),
    ("protocol 1", "a group of subprocesses is started, with full control of the argument list", [f"{JOBS}::test_a_command_gets_exactly_the_arguments_that_were_given"]),
    ("protocol 2", "a list of pickled things is sent first, one at a time", [f"{JOBS}::test_each_thing_of_stdin_is_sent_first_and_no_end_is_added", f"{JOBS}::test_what_served_workers_are_given_first"]),
    ("protocol 2", "no terminator is added: they know how many, or the list has one", [f"{JOBS}::test_each_thing_of_stdin_is_sent_first_and_no_end_is_added"]),
    ("protocol 2", "nothing may be produced on standard output meanwhile", [f"{FAULTS}::test_who_writes_before_it_is_asked_is_no_worker"]),
    ("protocol 3", "one pickled thing is sent, then a pickled tuple is waited for", [f"{JOBS}::test_a_command_can_be_written_without_anything_of_ours"]),
    ("protocol 3", "the request is whatever the subprocess needs (without the number: the issue says so)", [f"{JOBS}::test_tasks_and_results_are_any_objects_also_large_ones"]),
    ("protocol 3", "the answer is a 3-tuple; its first element is a TooBusy", [f"{FAULTS}::test_who_is_too_busy_is_left_alone_and_the_others_do_the_work", f"{FAULTS}::test_all_may_be_too_busy_for_a_while_and_of_a_kind_of_their_own"]),
    ("protocol 3", "or a RemoteException", [f"{JOBS}::test_a_remote_exception_ends_the_job_with_index_output_and_what_there_is"]),
    ("protocol 3", "or the result", [f"{JOBS}::test_tasks_and_results_are_any_objects_also_large_ones"]),
    ("protocol 3", "second and third are lines for the master to print, or None", [f"{JOBS}::test_lines_that_come_with_an_answer_are_printed_and_standard_error_is_free"]),
    ("protocol 3", "it loops, and ends when its standard input is closed", [f"{JOBS}::test_what_is_written_after_the_last_answer_comes_back_for_each_process"]),
    ("protocol 3", "it may end by itself, by closing its standard output and exiting", [f"{FAULTS}::test_workers_that_end_after_each_answer_do_all_tasks"]),
    ("protocol 4", "it may produce anything then, which is returned to the caller", [f"{JOBS}::test_what_is_written_after_the_last_answer_comes_back_for_each_process"]),
    ("protocol 4", "normal commands can be run by sending nothing; their output is a list of strings", [f"{JOBS}::test_without_tasks_every_command_runs_and_its_output_comes_back_as_lines", f"{JOBS}::test_normal_commands_may_read_what_was_sent_first"]),
    ("example", "a subprocess normally looks like this, and works", [f"{JOBS}::test_a_command_can_be_written_without_anything_of_ours"]),
    ("notComputed", "a singleton marker for values that are not computed", [f"{JOBS}::test_the_markers_and_exceptions", f"{FAULTS}::test_when_no_worker_is_left_the_error_says_how_each_ended"]),
    ("NoResponse", "there is such a class", [f"{FAULTS}::test_when_no_worker_is_left_the_error_says_how_each_ended"]),
    ("RemoteException", "an exception that corresponds to one raised by a subprocess", [f"{JOBS}::test_an_exception_of_compute_is_a_remote_one_with_its_traceback"]),
    ("TooBusy", "there is such a class", [f"{JOBS}::test_the_markers_and_exceptions"]),
    ("PastPerformance", "keeps track of which machines are more successful", [f"{JOBS}::test_who_was_more_successful_starts_first", f"{CONNECTIONS}::test_a_machine_may_be_what_is_remembered"]),
    ("CannotCreateConnection", "there is such a class", [f"{JOBS}::test_a_command_that_cannot_be_started_is_told_and_left_out"]),
    ("Connection", "represents a connection from the master to one of the slaves", [f"{CONNECTIONS}::test_connections_may_be_of_any_kind"]),
    ("Connection_subprocess", "is one by standard input and output to a subprocess", [f"{CONNECTIONS}::test_a_subprocess_is_sent_to_got_from_closed_and_waited_for"]),
    ("workers_c", "a group of threads that take from the iqueue and put on the oqueue", [f"{CONNECTIONS}::test_a_group_of_workers_takes_from_one_queue_and_puts_on_another"]),
    ("unpickled_pseudofile", "for testing", [f"{JOBS}::test_the_aids_for_tests"]),
    ("main", "its arguments and their defaults", [f"{JOBS}::test_the_signature_is_the_documented_one"]),
    ("main", "passes a bunch of work to other processes", [f"{JOBS}::test_results_come_in_the_order_of_todo_whoever_is_faster"]),
    ("main", "stdin: a list of stuff to send before the computation", [f"{JOBS}::test_each_thing_of_stdin_is_sent_first_and_no_end_is_added"]),
    ("main", "todo: a sequence of tasks", [f"{JOBS}::test_tasks_and_results_are_any_objects_also_large_ones"]),
    ("main", "list_of_args: a list of lists of strings", [f"{JOBS}::test_a_command_gets_exactly_the_arguments_that_were_given", f"{JOBS}::test_commands_that_cannot_be_are_refused"]),
    ("main", "past_performance: an object to remember who was more successful, to start there first", [f"{JOBS}::test_who_was_more_successful_starts_first"]),
    ("main", "past_performance: None is no memory, the default is to have one", [f"{JOBS}::test_by_default_the_program_remembers", f"{JOBS}::test_who_was_more_successful_starts_first"]),
    ("main", "returns a pair: results that correspond to todo, and the remaining outputs as readlines gives them", [f"{JOBS}::test_what_is_written_after_the_last_answer_comes_back_for_each_process"]),
    ("main", "the remaining outputs are one a process", [f"{JOBS}::test_without_tasks_every_command_runs_and_its_output_comes_back_as_lines"]),
    ("replace, Replace, append", "change lists of lists", [f"{JOBS}::test_the_list_aids"]),
    ("delay_sanitize", "takes a delay", [f"{JOBS}::test_delays_are_within_bounds"]),
    ("test_worker, test_, one_shot_test", "are there", [f"{JOBS}::test_the_aids_for_tests"]),
]  # fmt: skip


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact[0]}: {fact[1]}")
def test_a_fact_of_the_reference_has_tests(fact):
    expect_tests(__file__, fact)
