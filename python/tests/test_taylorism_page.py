# ruff: noqa: E501 (a table with one fact a line)
"""Every sentence of the documented `taylorism`, and the tests that hold it. The table is in our words."""

import pytest

from documented import Fact, expect_tests

BOSS = "test_taylorism"
DEATHS = "test_taylorism_deaths"
DOCUMENTED = "test_taylorism_documented"
FOOTPRINTS = "test_taylorism_footprints"
INTERRUPT = "test_taylorism_interrupt"
PROCESSES = "test_taylorism_processes"
SCHEDULERS = "test_taylorism_schedulers"
SHARED = "test_taylorism_shared"
SIGNALS = "test_taylorism_signals"
WORKERS = "test_taylorism_workers"

MODULE: list[Fact] = [
    ("module", "three levels of processes: program, Boss, workers", [f"{PROCESSES}::test_master_boss_and_workers_are_three_levels_of_processes"]),
    ("module", "the program defines instructions and speaks with the Boss", [f"{BOSS}::test_instructions_become_reports"]),
    ("module", "the Boss gives sets of instructions to several processes", [f"{PROCESSES}::test_master_boss_and_workers_are_three_levels_of_processes"]),
    ("module", "workers do their instructions and return to the Boss", [f"{BOSS}::test_a_report_has_the_name_of_its_worker_and_what_its_task_returned"]),
    ("program", "makes the Boss", [f"{DOCUMENTED}::test_a_boss_has_its_name_its_verbosity_and_its_scheduler"]),
    ("program", "gives it instructions", [f"{BOSS}::test_instructions_become_reports"]),
    ("program", "tells it to send the workers to work", [f"{SIGNALS}::test_a_boss_begins_halted"]),
    ("program", "tells it to stop them", [f"{DEATHS}::test_stop_them_working_ends_workers_and_their_children"]),
    ("program", "tells it that there will be no more instructions", [f"{SIGNALS}::test_end_does_what_is_pending_and_takes_no_more"]),
    ("program", "waits until all have been done", [f"{BOSS}::test_instructions_become_reports"]),
    ("program", "gets reports, interim or final, made of the workers' reports", [f"{DOCUMENTED}::test_an_interim_report_has_what_was_done_by_then"]),
    ("Boss", "receives series of instructions at any time", [f"{BOSS}::test_instructions_may_follow_while_others_are_worked_on"]),
    ("Boss", "is halted and resumed", [f"{SIGNALS}::test_halt_lets_workers_finish_and_begins_none_until_resume"]),
    ("Boss", "is asked for a report", [f"{SIGNALS}::test_send_report_is_answered_by_an_interim_report_and_work_goes_on"]),
    ("Boss", "is told of the end of instructions", [f"{SIGNALS}::test_end_does_what_is_pending_and_takes_no_more"]),
    ("Boss", "is stopped, and lets workers finish or not", [f"{SIGNALS}::test_stop_lets_workers_finish_and_leaves_the_rest", f"{SIGNALS}::test_stop_rightnow_unwinds_the_workers_and_leaves_what_they_did"]),
    ("Boss", "an error in one process stops all others", [f"{BOSS}::test_an_error_of_a_worker_stops_the_others"]),
    ("Boss", "and is returned to the program", [f"{BOSS}::test_an_error_of_a_worker_is_raised_with_its_type_its_traceback_and_its_instructions"]),
    ("Boss", "asks a scheduler with what is pending, worked on and reported", [f"{SCHEDULERS}::test_a_scheduler_of_ones_own_is_asked_with_what_is_pending_worked_on_and_reported"]),
    ("Worker", "is defined by its instructions, as attributes, and its task", [f"{WORKERS}::test_fields_that_are_filled_with_values_of_their_types_fit"]),
    ("Worker", "is an independent process that the Boss starts", [f"{PROCESSES}::test_master_boss_and_workers_are_three_levels_of_processes"]),
    ("Worker", "gives the Boss its report when it has finished", [f"{BOSS}::test_a_report_has_the_name_of_its_worker_and_what_its_task_returned"]),
    ("use", "a class inherits from Worker, with its instructions as attributes of its footprint", [f"{FOOTPRINTS}::test_instructions_are_converted_and_given_their_defaults_by_the_library"]),
    ("use", "its task is the method _task", [f"{BOSS}::test_instructions_become_reports"]),
    ("use", "workers are hired as soon as instructions meet theirs", [f"{DOCUMENTED}::test_other_classes_of_workers_serve_other_instructions"]),
    ("use", "there is a simple example, taylorism.examples", [f"{DOCUMENTED}::test_the_simple_example_runs"]),
    ("module", "the base of schedulers and the one by default are names of the package, too", [f"{DOCUMENTED}::test_the_names_of_the_package"]),
    ("interrupt", "processes can be killed properly", [f"{INTERRUPT}::test_a_signal_is_an_exception_that_says_which", f"{INTERRUPT}::test_code_unwinds_and_does_not_go_on_as_after_an_error"]),
]  # fmt: skip

FUNCTIONS: list[Fact] = [
    ("run_as_server", "makes a Boss, has its workers hired and run, returns it", [f"{BOSS}::test_run_as_server_returns_the_boss_at_work"]),
    ("run_as_server", "the Boss must be told when no more instructions follow, or lives on until it is forgotten", [f"{DOCUMENTED}::test_run_as_server_lives_on_until_it_is_told_or_forgotten"]),
    ("run_as_server", "common and individual instructions are passed to the workers", [f"{BOSS}::test_instructions_become_reports"]),
    ("run_as_server", "a scheduler, MaxThreadsScheduler by default", [f"{DOCUMENTED}::test_the_signatures_are_the_documented_ones"]),
    ("run_as_server", "verbose or not, which it is not by default", [f"{DOCUMENTED}::test_the_signatures_are_the_documented_ones"]),
    ("batch_main", "waits until all is done, and prints the reports", [f"{BOSS}::test_batch_main_waits_and_prints_the_reports"]),
    ("batch_main", "its arguments are those of run_as_server", [f"{DOCUMENTED}::test_the_signatures_are_the_documented_ones", f"{DOCUMENTED}::test_batch_main_may_be_verbose"]),
    ("batch_main", "stops the workers and raises where something fails", [f"{DOCUMENTED}::test_batch_main_stops_the_others_where_one_fails_and_raises"]),
    ("batch_main", "signals and Ctrl-C do the same", [f"{DEATHS}::test_the_end_of_the_master_ends_all"]),
]  # fmt: skip

WORKER: list[Fact] = [
    ("Worker", "a template, abstract, in the collector 'worker'", [f"{FOOTPRINTS}::test_a_worker_is_of_the_library_in_its_collector_and_abstract"]),
    ("Worker", "does a task according to instructions, which subclasses add to the footprint", [f"{FOOTPRINTS}::test_classes_of_the_caller_travel_by_value_with_bases_and_super"]),
    ("name", "an optional attribute that may be written", [f"{FOOTPRINTS}::test_the_name_is_an_optional_attribute_that_may_be_written"]),
    ("name", "a unique text by default", [f"{WORKERS}::test_a_worker_has_a_unique_name_unless_it_is_given_one"]),
    ("__init__", "takes what the footprint says", [f"{FOOTPRINTS}::test_instructions_are_converted_and_given_their_defaults_by_the_library"]),
    ("__del__", "a worker that is forgotten leaves no process", [f"{DEATHS}::test_a_boss_that_is_closed_or_forgotten_leaves_nothing"]),
    ("work", "sends the worker to its task", [f"{PROCESSES}::test_a_worker_that_was_made_by_hand_works_and_is_waited_for"]),
    ("bye", "blocks the Boss until the worker has finished", [f"{PROCESSES}::test_bye_waits_for_a_worker"]),
    ("bye", "is never to be called by the worker itself", [f"{PROCESSES}::test_a_worker_that_waits_for_itself_is_an_error_and_not_a_hang"]),
    ("stop_working", "makes the worker stop", [f"{PROCESSES}::test_stop_working_ends_one_worker_alone_whose_instructions_are_left"]),
    ("_task", "runs where signals are exceptions", [f"{SIGNALS}::test_stop_rightnow_unwinds_the_workers_and_leaves_what_they_did"]),
    ("_task", "what it raises is sent back with its traceback", [f"{BOSS}::test_an_error_of_a_worker_is_raised_with_its_type_its_traceback_and_its_instructions"]),
    ("_task", "returns the report", [f"{BOSS}::test_a_report_has_the_name_of_its_worker_and_what_its_task_returned"]),
    ("_task", "must be defined: RuntimeError", [f"{WORKERS}::test_a_worker_without_a_task_is_an_error_that_says_so"]),
]  # fmt: skip

BOSS_CLASS: list[Fact] = [
    ("Boss", "orders tasks to a series of workers", [f"{BOSS}::test_instructions_become_reports"]),
    ("Boss", "may have a name and be verbose: the reports are logged", [f"{BOSS}::test_a_verbose_boss_tells_of_workers_and_their_reports"]),
    ("Boss", "may have a scheduler, which rules the order", [f"{SCHEDULERS}::test_durations_are_remembered_from_run_to_run"]),
    ("Boss", "schedulers of one's own inherit from BaseScheduler and have launchable", [f"{SCHEDULERS}::test_a_scheduler_of_ones_own_is_asked_with_what_is_pending_worked_on_and_reported"]),
    ("Boss", "what is no BaseScheduler is refused", [f"{BOSS}::test_a_scheduler_is_one"]),
    ("control_signals", "their names", [f"{SIGNALS}::test_there_are_these_signals_and_each_has_a_text_of_its_own"]),
    ("HALT", "no orders to work until RESUME", [f"{SIGNALS}::test_halt_lets_workers_finish_and_begins_none_until_resume"]),
    ("RESUME", "goes on with what is pending", [f"{SIGNALS}::test_halt_lets_workers_finish_and_begins_none_until_resume"]),
    ("SEND_REPORT", "an interim report, and all goes on", [f"{SIGNALS}::test_send_report_is_answered_by_an_interim_report_and_work_goes_on"]),
    ("END", "finishes what is pending, then stops listening", [f"{SIGNALS}::test_end_does_what_is_pending_and_takes_no_more"]),
    ("END", "no new instructions are listened to after it, but a STOP is", [f"{SIGNALS}::test_end_does_what_is_pending_and_takes_no_more", f"{SIGNALS}::test_end_is_ended_by_a_stop"]),
    ("STOP", "halts what is pending, lets workers finish, stops listening", [f"{SIGNALS}::test_stop_lets_workers_finish_and_leaves_the_rest"]),
    ("STOP_LISTENING", "stops listening while workers go on", [f"{SIGNALS}::test_stop_listening_gives_the_report_at_once_while_workers_go_on", f"{SIGNALS}::test_an_error_that_nobody_listens_to_is_none"]),
    ("STOP_RIGHTNOW", "stops workers at once and stops listening", [f"{SIGNALS}::test_stop_rightnow_unwinds_the_workers_and_leaves_what_they_did"]),
    ("__init__", "the Boss begins halted", [f"{SIGNALS}::test_a_boss_begins_halted"]),
    ("__del__", "a Boss that is forgotten leaves no process", [f"{DEATHS}::test_a_boss_that_is_closed_or_forgotten_leaves_nothing"]),
    ("set_instructions", "common instructions are shared by all workers", [f"{BOSS}::test_instructions_become_reports"]),
    ("set_instructions", "individual ones are a worker's own, so all have the same length", [f"{BOSS}::test_uneven_lists_are_refused_with_the_length_of_each"]),
    ("set_instructions", "individual ones count more than common ones", [f"{BOSS}::test_individual_instructions_go_before_common_ones_and_are_needed_for_anything_to_be_done"]),
    ("set_instructions", "without individual ones there is nothing to do", [f"{DOCUMENTED}::test_without_individual_instructions_nothing_is_done"]),
    ("set_instructions", "the caller's lists stay as they are", [f"{BOSS}::test_instructions_are_what_they_were_when_they_were_given"]),
    ("make_them_work", "orders the workers to work", [f"{SIGNALS}::test_a_boss_begins_halted"]),
    ("make_them_work", "terminate: no more instructions can follow", [f"{SIGNALS}::test_make_them_work_and_terminate_is_the_end"]),
    ("make_them_work", "stop_listening: workers go on and are not listened to", [f"{SIGNALS}::test_make_them_work_and_stop_listening_begins_what_can_begin_at_once"]),
    ("stop_them_working", "stops the workers", [f"{DEATHS}::test_stop_them_working_ends_workers_and_their_children"]),
    ("get_report", "the report of the work", [f"{BOSS}::test_a_report_has_the_name_of_its_worker_and_what_its_task_returned"]),
    ("get_report", "interim: asks for one of what was done so far if none is there", [f"{DOCUMENTED}::test_an_interim_report_has_what_was_done_by_then"]),
    ("get_report", "without interim, None if none is there", [f"{SIGNALS}::test_send_report_is_answered_by_an_interim_report_and_work_goes_on"]),
    ("get_report", "raises the error of a worker", [f"{BOSS}::test_an_error_of_a_worker_is_raised_with_its_type_its_traceback_and_its_instructions", f"{SIGNALS}::test_reports_of_a_boss_that_has_failed_are_its_error"]),
    ("get_report", "returns although the Boss has died", [f"{DEATHS}::test_a_killed_boss_is_an_error_and_ends_its_workers"]),
    ("get_report", "status finished when nothing is pending", [f"{BOSS}::test_a_report_has_the_name_of_its_worker_and_what_its_task_returned"]),
    ("get_report", "status pending, and what is pending, where something is left", [f"{SIGNALS}::test_stop_lets_workers_finish_and_leaves_the_rest"]),
    ("end", "ends the Boss once instructions are done", [f"{SIGNALS}::test_end_lets_the_boss_go_without_anybody_waiting"]),
    ("end", "it or wait_till_finished is needed, or processes stay", [f"{DOCUMENTED}::test_run_as_server_lives_on_until_it_is_told_or_forgotten"]),
    ("wait_till_finished", "blocks until all instructions have been executed", [f"{BOSS}::test_instructions_become_reports"]),
    ("loop", "instructions are a list of sets, or one", [f"{SIGNALS}::test_instructions_may_be_sent_as_messages_too"]),
    ("loop", "a failed worker's instructions are told", [f"{BOSS}::test_an_error_of_a_worker_is_raised_with_its_type_its_traceback_and_its_instructions"]),
    ("loop", "instructions that fit no worker: AttributeError, with the instructions", [f"{BOSS}::test_instructions_that_fit_no_worker_are_an_error_that_says_so"]),
    ("loop", "workers that have reported are waited for", [f"{PROCESSES}::test_workers_that_have_ended_leave_no_zombie"]),
    ("loop", "a verbose Boss tells which worker has started", [f"{BOSS}::test_a_verbose_boss_tells_of_workers_and_their_reports"]),
]  # fmt: skip

BEYOND: list[Fact] = [
    ("issue", "a killed worker is an error, never a hang", [f"{BOSS}::test_a_worker_that_a_signal_ends_is_an_error", f"{DEATHS}::test_a_killed_worker_is_an_error_and_ends_the_others", f"{DEATHS}::test_a_stopped_worker_is_an_error_and_ends_the_others"]),
    ("issue", "so is a killed Boss", [f"{DEATHS}::test_a_killed_boss_is_an_error_and_ends_its_workers", f"{DEATHS}::test_a_stopped_boss_is_an_error_and_ends_its_workers"]),
    ("issue", "Ctrl-C at any moment leaves no process", [f"{DEATHS}::test_ctrl_c_at_any_moment_leaves_nothing"]),
    ("issue", "annotated fields without footprints", [f"{PROCESSES}::test_annotated_fields_do_without_footprints"]),
    ("issue", "schedulers without limit, by memory, longest first, one open file", [f"{SCHEDULERS}::test_without_a_limit_all_work_at_once", f"{SCHEDULERS}::test_what_fits_into_memory_works", f"{SCHEDULERS}::test_what_takes_longest_goes_first", f"{SCHEDULERS}::test_no_two_have_the_same_file"]),
    ("issue", "durations of earlier runs are remembered", [f"{SCHEDULERS}::test_durations_are_remembered_from_run_to_run"]),
    ("issue", "workers are bound to cores", [f"{PROCESSES}::test_each_worker_is_bound_to_a_core_of_its_own"]),
    ("issue", "arrays in shared memory that workers write to", [f"{SHARED}::test_workers_write_and_the_master_sees"]),
]  # fmt: skip


@pytest.mark.parametrize(
    "fact", MODULE + FUNCTIONS + WORKER + BOSS_CLASS + BEYOND, ids=lambda fact: f"{fact[0]}: {fact[1]}"
)
def test_each_sentence_has_a_test(fact):
    expect_tests(__file__, fact)
