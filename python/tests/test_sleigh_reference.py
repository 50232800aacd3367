# ruff: noqa: E501 (a table with one fact a line)
"""Every fact that the reference of the module `nws.sleigh` states, and the tests that hold it.

The table is in our words. What no other file tests is tested in `test_sleigh_documented.py`.
"""

import pytest

from documented import Fact, expect_tests
from nws import sleigh
from nws._sleigh.options import Options

ARGUMENTS = "test_sleigh_arguments"
CALLS = "test_sleigh_calls"
GROUP = "test_sleigh_group"
HERE = "test_sleigh_documented"
OPTIONS = "test_sleigh_options"
SLEIGH = "test_sleigh"
STREAMS = "test_sleigh_streams"

MODULE: list[Fact] = [
    (
        "module",
        "eachElem runs a function many times, with arguments that vary",
        [f"{SLEIGH}::test_results_come_in_order"],
    ),
    (
        "module",
        "eachWorker runs it once on each, with fixed arguments",
        [f"{SLEIGH}::test_each_worker_runs_once_on_every_worker"],
    ),
    (
        "module",
        "the first example: a sleigh, and math.exp of ten numbers",
        [f"{HERE}::test_the_first_example_needs_nothing_else"],
    ),
    ("module", "what it exports", [f"{OPTIONS}::test_everything_public_is_listed"]),
]

CLASS: list[Fact] = [
    ("Sleigh", "runs functions, methods and expressions", [f"{SLEIGH}::test_all_kinds_of_functions_travel", f"{CALLS}::test_an_expression_sees_its_arguments"]),
    ("Sleigh", "workers are started when it is made", [f"{HERE}::test_workers_start_with_the_object_and_end_with_stop"]),
    ("Sleigh", "they run what is submitted and return the results", [f"{SLEIGH}::test_results_come_in_order"]),
    ("stop", "ends the workers", [f"{HERE}::test_workers_start_with_the_object_and_end_with_stop"]),
    ("stop", "deletes the sleigh's workspace", [f"{HERE}::test_stop_deletes_the_workspaces"]),
    ("Sleigh", "a program may make several, each with its own workers", [f"{SLEIGH}::test_two_sleighs_live_side_by_side"]),
    ("__str__", "it has one", [f"{SLEIGH}::test_a_stopped_sleigh_says_so"]),
    ("__init__", "positional arguments are deprecated, keywords are the way", [f"{OPTIONS}::test_a_list_of_nodes_by_position_is_deprecated"]),
    ("launch", "'local' starts them on this machine, and is the default", [f"{OPTIONS}::test_the_defaults_are_as_documented", f"{SLEIGH}::test_the_defaults_are_as_documented"]),
    ("launch", "'web' and functions come later: refused with what there is", [f"{HERE}::test_launchers_that_are_not_there_yet_are_refused_by_name"]),
    ("workerCount", "how many, 3 by default", [f"{SLEIGH}::test_the_defaults_are_as_documented"]),
    ("nodeList", "hosts for launchers that reach them; 'local' ignores it", [f"{OPTIONS}::test_what_only_other_launchers_use_changes_nothing"]),
    ("nodeList", "by default three times localhost", [f"{OPTIONS}::test_the_defaults_are_as_documented"]),
    ("nwsHost", "the machine of the server", ["test_sleigh_named_server::test_a_named_server_is_used_and_left_as_it_was"]),
    ("nwsPort", "the server's port", ["test_sleigh_named_server::test_a_named_server_is_used_and_left_as_it_was"]),
    ("nwsHostRemote", "where workers find the server; by default nwsHost", [f"{OPTIONS}::test_workers_reach_the_server_where_they_are_told_to"]),
    ("nwsPortRemote", "on which port they do; by default nwsPort", [f"{OPTIONS}::test_workers_reach_the_server_where_they_are_told_to"]),
    ("scriptExec", "a function for other launchers, checked", [f"{OPTIONS}::test_what_only_other_launchers_use_changes_nothing", f"{ARGUMENTS}::test_a_wrong_value_of_an_option_is_named"]),
    ("scriptDir", "a folder for other launchers, checked", [f"{OPTIONS}::test_what_only_other_launchers_use_changes_nothing", f"{ARGUMENTS}::test_a_wrong_value_of_an_option_is_named"]),
    ("scriptName", "the worker's script on Unix by default", [f"{OPTIONS}::test_the_defaults_are_as_documented"]),
    ("modulePath", "a folder for the workers' sys.path, where they find modules", [f"{OPTIONS}::test_modules_are_found_in_the_module_path_before_any_other"]),
    ("modulePath", "None by default", [f"{OPTIONS}::test_the_defaults_are_as_documented"]),
    ("workingDir", "the workers' folder, by default the master's", [f"{OPTIONS}::test_the_working_folder_is_the_masters_unless_it_is_told"]),
    ("logDir", "where workers write their logs", [f"{OPTIONS}::test_a_log_folder_gets_the_log_of_each_worker"]),
    ("logDir", "None by default", [f"{OPTIONS}::test_the_defaults_are_as_documented", f"{OPTIONS}::test_without_a_log_folder_there_is_no_log"]),
    ("user", "may be ignored, as 'local' does", [f"{OPTIONS}::test_what_only_other_launchers_use_changes_nothing"]),
    ("user", "by default USER, else USERNAME", [f"{OPTIONS}::test_the_user_is_who_runs_the_program"]),
    ("wsNameTemplate", "names the sleigh's workspace", [f"{OPTIONS}::test_workspaces_have_the_names_of_their_templates"]),
    ("wsNameTemplate", "a format string with one integer", [f"{ARGUMENTS}::test_a_template_has_one_integer_specifier", f"{ARGUMENTS}::test_a_wrong_value_of_an_option_is_named"]),
    ("wsNameTemplate", "its default", [f"{OPTIONS}::test_the_defaults_are_as_documented"]),
    ("userWsNameTemplate", "names the user's workspace", [f"{OPTIONS}::test_workspaces_have_the_names_of_their_templates"]),
    ("userWsNameTemplate", "a format string with one integer", [f"{ARGUMENTS}::test_a_wrong_value_of_an_option_is_named"]),
    ("userWsNameTemplate", "its default", [f"{OPTIONS}::test_the_defaults_are_as_documented"]),
    ("verbose", "messages on standard error", [f"{OPTIONS}::test_a_verbose_sleigh_tells_what_it_does"]),
    ("verbose", "workers write to files called sleigh_ride in their folder", [f"{OPTIONS}::test_a_verbose_sleigh_tells_what_it_does"]),
    ("verbose", "off by default", [f"{OPTIONS}::test_the_defaults_are_as_documented"]),
]  # fmt: skip

EACH_ELEM: list[Fact] = [
    ("eachElem", "its arguments and their defaults", [f"{HERE}::test_the_signatures_are_the_documented_ones"]),
    ("eachElem", "returns a list, or a SleighPending without blocking", [f"{CALLS}::test_a_pending_call_counts_down_and_gives_its_results_once"]),
    ("fun", "a function", [f"{SLEIGH}::test_all_kinds_of_functions_travel"]),
    ("fun", "a bound method", [f"{SLEIGH}::test_all_kinds_of_functions_travel"]),
    ("fun", "an expression in a string", [f"{CALLS}::test_an_expression_sees_its_arguments"]),
    ("fun", "workers import the module of a function", [f"{HERE}::test_workers_import_the_module_of_a_function"]),
    ("fun", "where they cannot, those tasks fail", [f"{HERE}::test_tasks_of_a_module_that_workers_lack_fail_alone"]),
    ("fun", "white space before an expression does not matter", [f"{HERE}::test_white_space_before_an_expression_does_not_matter"]),
    ("elementArgs", "a list of iterables, one for each argument that varies", [f"{SLEIGH}::test_columns_fixed_arguments_and_permutation_work_as_documented"]),
    ("elementArgs", "one that varies needs no outer list", [f"{ARGUMENTS}::test_a_list_whose_first_item_is_iterable_is_a_list_of_columns"]),
    ("elementArgs", "expressions see the arguments as SleighArguments", [f"{CALLS}::test_an_expression_sees_its_arguments"]),
    ("fixedArgs", "the same for each task, after those that vary", [f"{SLEIGH}::test_columns_fixed_arguments_and_permutation_work_as_documented"]),
    ("fixedArgs", "argPermute may order them otherwise", [f"{SLEIGH}::test_columns_fixed_arguments_and_permutation_work_as_documented"]),
    ("fixedArgs", "none by default", [f"{HERE}::test_the_signatures_are_the_documented_ones"]),
    ("fixedArgs", "expressions see them in SleighArguments", [f"{HERE}::test_an_expression_sees_fixed_arguments_as_well"]),
    ("type", "'invoke', 'define' or 'eval'", [f"{CALLS}::test_a_type_that_does_not_go_with_the_function_is_refused"]),
    ("type", "functions and methods are invoked by default", [f"{HERE}::test_the_default_type_follows_from_the_function"]),
    ("type", "strings are evaluated by default", [f"{HERE}::test_the_default_type_follows_from_the_function"]),
    ("type", "'invoke' and 'define' are illegal for strings", [f"{CALLS}::test_a_type_that_does_not_go_with_the_function_is_refused"]),
    ("blocking", "waits for the results, or returns when tasks are submitted", [f"{CALLS}::test_a_pending_call_counts_down_and_gives_its_results_once"]),
    ("blocking", "True by default", [f"{HERE}::test_the_signatures_are_the_documented_ones"]),
    ("blocking", "until they are waited for, the sleigh is occupied", [f"{CALLS}::test_a_pending_call_counts_down_and_gives_its_results_once"]),
    ("blocking", "without it the load factor is ignored", [f"{HERE}::test_the_load_factor_is_ignored_where_nobody_waits"]),
    ("argPermute", "maps arguments to those of the function, by indexes", [f"{ARGUMENTS}::test_a_permutation_chooses_and_orders_the_arguments"]),
    ("argPermute", "its length is the number of arguments, which may differ", [f"{HERE}::test_a_permutation_may_pass_more_or_fewer_arguments"]),
    ("argPermute", "an empty one passes none; elementArgs still counts the tasks", [f"{SLEIGH}::test_columns_fixed_arguments_and_permutation_work_as_documented"]),
    ("argPermute", "the default is that of range(n)", [f"{HERE}::test_a_permutation_of_all_arguments_in_order_is_the_default"]),
    ("argPermute", "reversed, and a fixed argument first", [f"{HERE}::test_permutations_reverse_and_interleave"]),
    ("loadFactor", "the most tasks a worker that are there at a time", [f"{SLEIGH}::test_load_factor_bounds_what_is_taken_from_the_input"]),
    ("loadFactor", "by default all are submitted at once", [f"{HERE}::test_by_default_all_tasks_are_submitted_at_once"]),
    ("accumulator", "is called with results as they arrive", [f"{HERE}::test_an_accumulator_is_called_before_the_last_task_has_ended"]),
    ("accumulator", "gets a list of values and a list of indexes", [f"{CALLS}::test_an_accumulator_gets_every_result_once"]),
    ("accumulator", "may be a bound method", [f"{HERE}::test_a_bound_method_may_accumulate"]),
]  # fmt: skip

EACH_WORKER: list[Fact] = [
    ("eachWorker", "runs on each worker once", [f"{SLEIGH}::test_each_worker_runs_once_on_every_worker"]),
    ("eachWorker", "returns a list, or a SleighPending without blocking", [f"{HERE}::test_the_master_talks_with_workers_that_run"]),
    ("eachWorker", "takes functions, methods and expressions", [f"{HERE}::test_each_worker_takes_functions_methods_and_expressions"]),
    ("workerArgs", "whatever the function wants, or nothing", [f"{HERE}::test_each_worker_takes_functions_methods_and_expressions"]),
    ("workerArgs", "the same for each worker", [f"{SLEIGH}::test_each_worker_runs_once_on_every_worker"]),
    ("workerArgs", "expressions see them as SleighArguments", [f"{HERE}::test_each_worker_takes_functions_methods_and_expressions"]),
    ("type", "eachWorker has it too", [f"{CALLS}::test_define_makes_a_function_known_and_does_not_call_it"]),
    ("blocking", "eachWorker without it lets the master talk with the workers", [f"{HERE}::test_the_master_talks_with_workers_that_run"]),
    ("blocking", "eachWorker without it occupies the sleigh", [f"{HERE}::test_the_master_talks_with_workers_that_run"]),
    ("accumulator", "eachWorker has it too", [f"{CALLS}::test_an_accumulator_gets_every_result_once"]),
    ("imap", "runs a function for each element, and returns an iterator", [f"{CALLS}::test_imap_gives_results_in_order_and_failures_among_them"]),
    ("starmap", "the same with the arguments of a task in each item", [f"{CALLS}::test_imap_gives_results_in_order_and_failures_among_them"]),
    ("status", "how many have joined, and whether the group is closed", [f"{GROUP}::test_status_counts_who_has_joined_and_does_not_wait_unless_it_is_told_to"]),
    ("status", "it closes by itself when all have joined", [f"{GROUP}::test_the_group_closes_when_all_have_joined"]),
    ("status", "closing it by force after the timeout", [f"{GROUP}::test_a_group_that_is_closed_early_goes_on_with_who_is_there"]),
    ("status", "workers that never start need not be waited for", [f"{GROUP}::test_a_group_that_is_closed_early_goes_on_with_who_is_there"]),
    ("closeGroup", "False by default", [f"{HERE}::test_the_signatures_are_the_documented_ones"]),
    ("timeout", "seconds to wait for the group to close, 0.0 by default", [f"{HERE}::test_the_signatures_are_the_documented_ones", f"{GROUP}::test_status_counts_who_has_joined_and_does_not_wait_unless_it_is_told_to"]),
]  # fmt: skip

OTHERS: list[Fact] = [
    ("SleighException", "the base of all, which can be shown", [f"{HERE}::test_the_exceptions_are_one_family_and_can_be_shown"]),
    ("SleighGatheredException", "results were gathered already", [f"{CALLS}::test_a_pending_call_counts_down_and_gives_its_results_once"]),
    ("SleighIllegalValueException", "a value that is illegal", [f"{ARGUMENTS}::test_a_wrong_value_of_an_option_is_named"]),
    ("SleighJoinException", "too late to join the group", [f"{GROUP}::test_a_group_that_is_closed_early_goes_on_with_who_is_there"]),
    ("SleighNwsException", "an operation on the server failed", ["test_sleigh_named_server::test_the_master_is_told_when_the_named_server_ends"]),
    ("SleighOccupiedException", "the sleigh is occupied", [f"{SLEIGH}::test_a_busy_sleigh_refuses_a_second_call"]),
    ("SleighScriptException", "what workers run is not found", [f"{OPTIONS}::test_a_package_without_its_program_says_what_is_missing"]),
    ("SleighStoppedException", "the sleigh was stopped", [f"{SLEIGH}::test_a_stopped_sleigh_says_so"]),
    ("SleighTaskException", "a task failed", [f"{SLEIGH}::test_a_task_that_raises_leaves_an_exception_in_its_place"]),
    ("SleighPending", "what both calls return without blocking", [f"{CALLS}::test_a_pending_call_counts_down_and_gives_its_results_once", f"{HERE}::test_the_master_talks_with_workers_that_run"]),
    ("SleighPending", "made by calls alone; it can be shown", [f"{CALLS}::test_a_pending_call_counts_down_and_gives_its_results_once"]),
    ("check", "how many tasks are outstanding, an integer", [f"{CALLS}::test_a_pending_call_counts_down_and_gives_its_results_once"]),
    ("wait", "waits for the results and returns their list", [f"{CALLS}::test_a_pending_call_counts_down_and_gives_its_results_once"]),
    ("SleighResultIterator", "what imap and starmap return, an iterator", [f"{HERE}::test_streams_are_iterators_that_count"]),
    ("next", "the next result", [f"{HERE}::test_streams_are_iterators_that_count"]),
    ("shutdown", "nothing more is submitted, whatever the input has", [f"{CALLS}::test_shutdown_lets_what_was_submitted_be_retrieved"]),
    ("shutdown", "what was submitted can be retrieved", [f"{CALLS}::test_shutdown_lets_what_was_submitted_be_retrieved"]),
    ("shutdown", "the sleigh is occupied until it has been", [f"{STREAMS}::test_a_stream_occupies_its_sleigh_until_all_it_submitted_was_retrieved"]),
    ("stop", "a stream's: flushes what is pending", [f"{STREAMS}::test_a_stopped_stream_frees_its_sleigh_at_once_and_flushes_what_was_pending"]),
    ("stop", "a stream's: the sleigh is free afterwards", [f"{STREAMS}::test_a_stopped_stream_frees_its_sleigh_at_once_and_flushes_what_was_pending"]),
    ("buffered", "results that have come and were not returned", [f"{HERE}::test_streams_are_iterators_that_count", f"{STREAMS}::test_by_default_it_is_read_ten_tasks_a_worker_ahead_and_further_only_while_results_are_waited_for"]),
    ("returned", "results that were returned", [f"{HERE}::test_streams_are_iterators_that_count"]),
    ("stopped", "whether it is stopped", [f"{HERE}::test_streams_are_iterators_that_count"]),
    ("submitted", "tasks that were submitted", [f"{HERE}::test_streams_are_iterators_that_count"]),
]  # fmt: skip

FACTS = [*MODULE, *CLASS, *EACH_ELEM, *EACH_WORKER, *OTHERS]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact[0]}: {fact[1]}")
def test_a_fact_of_the_reference_has_its_test(fact: Fact) -> None:
    expect_tests(__file__, fact)


def test_every_name_of_the_reference_has_its_facts() -> None:
    options = [
        "launch",
        "workerCount",
        "nodeList",
        "nwsHost",
        "nwsPort",
        "nwsHostRemote",
        "nwsPortRemote",
        "scriptExec",
        "scriptDir",
        "scriptName",
        "modulePath",
        "workingDir",
        "logDir",
        "user",
        "wsNameTemplate",
        "userWsNameTemplate",
        "verbose",
    ]
    assert set(options) <= Options.__dataclass_fields__.keys()
    methods = [
        "__init__",
        "__str__",
        "eachElem",
        "eachWorker",
        "imap",
        "starmap",
        "status",
        "stop",
        "check",
        "wait",
        "next",
        "shutdown",
    ]
    arguments = [
        "fun",
        "elementArgs",
        "fixedArgs",
        "type",
        "blocking",
        "argPermute",
        "loadFactor",
        "accumulator",
        "workerArgs",
    ]
    properties = ["buffered", "returned", "stopped", "submitted"]
    ours = {"SleighOutput", "SleighPicklingException"}
    classes = [name for name in sleigh.__all__ if name.startswith("Sleigh") and name not in ours]
    missing = {*options, *methods, *arguments, *properties, *classes} - {place for place, _, _ in FACTS}
    assert not missing
