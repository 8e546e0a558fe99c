"""What ``equalize`` means, clause by clause, and the tests that hold each."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.whole_package("it reads the other tests")

TESTS = Path(__file__).parents[1]

# By clause: files (under tests/, without "test_" and ".py") and their tests (without "test_").
CLAUSES: dict[str, dict[str, str]] = {
    # The two modes
    "the first site of a group that runs is its owner, as if nothing were there": {
        "poutine/equalize_members": "the_owner_looks_as_if_nothing_were_there "
        "only_the_owner_takes_random_numbers",
        "poutine/equalize_params": "an_owner_is_read_from_the_store",
    },
    "every later one is a member and takes the owner's value": {
        "poutine/dogs_and_cats": "a_shared_std_is_one_latent_value a_shared_shift_is_one_parameter",
        "poutine/equalize_members": "the_shared_value_is_one_tensor",
    },
    "without keep_dist a member is a copy, and its own prior goes": {
        "poutine/equalize_members": "a_dropped_law_has_no_density "
        "arguments_of_a_dropped_law_go_with_it",
        "poutine/equalize_density": "tied_normals tied_bernoullis",
    },
    "with keep_dist it is evidence: y observed at x, unnormalised": {
        "poutine/equalize_members": "a_kept_law_is_the_members_own",
        "poutine/equalize_density": "tied_normals_in_closed_form tied_categoricals_in_a_plate",
    },
    "values are equal in the parametrisation as written": {
        "poutine/equalize_density": "equal_in_the_parametrisation_as_written",
    },
    # Which sites
    "a string is a name or matches the whole name; patterns, predicates, iterables, mappings": {
        "poutine/equalize": "which_names_form_a_group",
    },
    "sites are read once, at construction, and a predicate asked once a name": {
        "poutine/equalize": "sites_are_read_once a_predicate_is_asked_once_a_name",
        "perf/scaling": "a_site_takes_equalize_the_same_calls_however_many_patterns_there_are",
    },
    "a name in two groups is an error, and so is a site with two owners": {
        "poutine/equalize": "a_name_in_two_groups_is_refused "
        "two_nested_handlers_cannot_give_a_site_two_owners nested_handlers_may_chain_and_agree",
    },
    "type is sample, param or both, and a group never mixes them": {
        "poutine/equalize": "type_chooses_the_sites only_sample_sites_are_tied_by_default "
        "a_group_never_mixes_types",
    },
    "a pattern skips plates, factors, deterministic members and members of other groups": {
        "poutine/equalize": "patterns_skip_plates_factors_and_deterministic_members "
        "nested_patterns_leave_each_others_members_alone",
    },
    "a deterministic site may own; by its literal name as a member it is refused": {
        "poutine/equalize": "a_deterministic_site_may_own_a_group "
        "literal_names_of_such_sites_are_refused",
    },
    "matching happens once, at this handler's level; what is outside unties nothing": {
        "poutine/equalize": "names_count_as_they_are_at_the_handlers_level "
        "a_block_outside_unties_nothing a_block_inside_hides_a_site_from_the_group",
        "poutine/equalize_handlers": "a_handler_treats_an_equalized_model_like_its_twin",
    },
    # What a member looks like
    "it stays in the trace, observed, its infer kept, with the owner's name": {
        "poutine/equalize_members": "a_member_is_observed_and_keeps_its_hints "
        "the_hints_that_a_user_gave_are_not_written_into a_trace_inside_sees_the_shared_value "
        "infer_config_reaches_members",
        "poutine/equalize_params": "the_trace_shows_both",
    },
    "one function gives the owners and members of a trace, another fills samples out": {
        "poutine/dogs_and_cats": "handlers_stack_up",
        "poutine/equalize_plates": "samples_of_the_owner_are_filled_out_to_the_members_shape",
    },
    "the density is exact in both modes, and gradients flow through the owner": {
        "poutine/equalize_property": "density_and_gradient_are_those_of_a_hand_tied_twin "
        "density_and_gradient_of_many_more_models",
        "poutine/equalize_density": "gradients_equal_finite_differences "
        "vector_gradients_equal_finite_differences param_gradients_equal_finite_differences "
        "drawn_values_carry_gradients_to_the_laws_parameters a_scale_weighs_owner_and_member "
        "a_mask_on_a_member_takes_its_density_away",
        "infer/equalized": "losses_and_gradients a_run_is_that_of_the_twin",
        "poutine/enum_messenger": "a_tied_site_is_summed_out_with_its_owner",
    },
    "event shapes agree, and the value is expanded to the member's batch shape": {
        "poutine/equalize_plates": "shapes_that_do_not_agree_are_refused events_are_expanded_whole "
        "a_batch_without_a_plate_broadcasts a_value_that_does_not_expand_to_the_member_is_refused",
    },
    "an owner outside a plate and a member inside work in both modes": {
        "poutine/equalize_plates": "an_owner_outside_of_a_plate_and_a_member_inside "
        "a_member_in_nested_plates an_owner_outside_of_a_subsampled_plate "
        "a_plate_around_the_handler vectorised_particles_outside",
        "poutine/equalize_density": "a_member_in_a_plate_counts_once_an_element "
        "a_subsampled_member_is_weighed_for_all_elements",
        "infer/predictive": "equalized_members_are_shown_at_their_own_shape",
    },
    "a member that lacks a plate of its owner is refused": {
        "poutine/equalize_plates": "a_member_that_lacks_a_plate_of_its_owner_is_refused "
        "plates_of_other_sizes_or_dims_are_refused",
    },
    "full plates of one size pair up by position, subsampled ones do not": {
        "poutine/equalize_plates": "two_full_plates_of_one_size_pair_up_by_position "
        "subsampled_plates_do_not_pair_up one_subsampled_plate_around_both_is_fine "
        "a_sequential_plate_ties_its_iterations a_member_outside_of_the_owners_sequential_plate "
        "a_sequential_plate_of_vectorised_ones",
    },
    "an enumerated owner in another plate or outside of the markov scope is refused": {
        "docs/equalize_page": "what_the_page_says_is_refused_in_these_words",
        "poutine/enum_messenger": "a_tied_site_may_not_reach_behind_its_markov_context "
        "a_tied_site_hands_its_owners_dimension_on",
    },
    "guides know the owners alone; predictions and pictures show the members": {
        "infer/equalized": "a_guide_knows_the_owners_alone predictions_show_every_site "
        "a_guide_of_ones_own_joins_in a_fit_that_is_saved_and_gone_on_with",
        "infer/relations": "a_member_is_downstream_of_its_owner",
    },
    "a tied parameter is not created; its constraint admits the value, its shape agrees": {
        "poutine/equalize_params": "a_member_takes_the_owners_value_and_is_not_created "
        "constrained_values_are_shared a_constraint_that_excludes_the_value_is_refused "
        "a_shape_that_differs_is_refused a_members_initial_value_is_never_computed "
        "a_member_that_is_only_read params_in_a_subsampled_plate_share_their_rows "
        "a_subsampled_plate_around_the_handler",
    },
    "modules return the tied value, too": {
        "poutine/equalize_params": "a_module_computes_with_the_tied_values "
        "two_modules_share_a_parameter_with_its_gradient a_tied_module_copies "
        "the_next_run_without_equalize_has_the_modules_own_parameters tying_again_is_tying",
    },
    "outer reparam, lift and uncondition leave members alone": {
        "poutine/equalize_composition": "uncondition_outside_leaves_members_alone "
        "reparam_outside_rewrites_the_owner_and_leaves_members_alone "
        "lift_outside_lifts_the_owner_and_leaves_the_member_alone "
        "uncondition_outside_draws_an_observed_owner "
        "a_prior_for_a_member_alone_lifts_nothing lift_inside_makes_sample_sites_to_tie "
        "svi_runs_on_a_lifted_model_with_a_tied_parameter "
        "a_module_with_tied_parameters_is_lifted "
        "uncondition_inside_takes_the_datum_before_the_tie",
    },
    "reparam inside cannot keep the density of a member": {
        "poutine/equalize_composition": "reparam_inside_cannot_keep_the_density_of_a_member "
        "reparam_inside_is_fine_for_an_owner "
        "reparam_inside_of_a_copy_leaves_the_copy_a_copy auxiliary_sites_can_be_tied",
    },
    # Observed members
    "a member observed at the shared value is accepted, at another refused; no evidence is lost": {
        "poutine/equalize_members": "a_member_observed_at_the_shared_value_is_accepted "
        "a_member_observed_elsewhere_is_refused an_inner_condition_on_a_member "
        "an_outer_condition_on_a_member an_observed_site_that_runs_first_owns missing_values_agree "
        "a_condition_on_the_owner_reaches_the_member a_number_for_the_owner_will_do "
        "a_member_of_wider_shape_is_compared_element_by_element a_replay_inside_is_no_evidence "
        "a_member_keeps_its_shape_where_a_condition_says_the_same "
        "replaying_the_owner_reaches_the_member replaying_an_equalized_run "
        "replaying_a_run_in_which_the_sites_differed_is_refused "
        "a_value_set_on_the_way_back_is_refused",
        "poutine/equalize_params": "substituting_the_owner_reaches_the_member "
        "another_value_for_a_member_is_refused the_shared_value_for_a_member_is_accepted",
    },
    "do on a member cuts it out of the group": {
        "poutine/equalize_composition": "an_intervention_on_a_member_cuts_it_out "
        "an_intervention_on_a_member_tells_nothing_about_the_owner "
        "a_member_in_a_plate_is_cut_out_at_its_own_shape "
        "a_member_that_was_observed_stays_evidence "
        "condition_outside_speaks_to_the_member_that_was_cut_out "
        "each_run_ties_anew_after_an_intervention an_intervention_on_the_owner_reaches_the_members "
        "an_intervention_elsewhere_unties_nothing "
        "inside_an_intervention_the_sites_are_tied_as_they_are_without",
    },
    "obs_mask on a member is an error": {
        "poutine/equalize_members": "a_partly_observed_member_is_refused",
    },
    # Lifetime
    "a group begins anew at each call, and when its owner's name recurs": {
        "poutine/equalize_lifetime": "each_call_begins_anew each_with_block_begins_anew "
        "a_group_begins_anew_when_its_owner_recurs groups_of_one_handler_have_lives_of_their_own "
        "owner_and_members_may_come_from_different_calls_in_a_block "
        "nested_groups_end_with_their_own_handler a_handler_inside_a_model_inside_a_handler",
        "poutine/equalize_params": "reading_a_parameter_again_starts_no_new_group",
    },
    "an exception leaves nothing behind": {
        "poutine/equalize_lifetime": "an_exception_leaves_nothing_behind "
        "an_exception_at_a_site_that_the_model_survives a_run_that_is_left_and_begun_again "
        "a_generator_of_sites",
    },
    "a handler pickles, deep-copies and serves several threads": {
        "poutine/equalize_lifetime": "a_copy_ties_the_same_sites "
        "a_copy_made_in_mid_run_knows_nothing_of_the_run "
        "a_list_changed_after_construction_does_not_reach_copies "
        "threads_share_a_handler_and_not_its_groups a_thread_started_within_a_block_is_not_tied",
    },
    "around a whole inference run it is refused: wrap the model": {
        "infer/checks": "inference_inside_equalize_is_refused_with_the_remedy",
    },
    # Refused and warned about
    "what is refused at construction has a remedy": {
        "poutine/equalize": "what_is_refused_at_construction a_forgotten_model_is_pointed_out "
        "an_invalid_expression_still_works_as_an_escaped_name",
        "docs/equalize_page": "every_row_is_tested",
    },
    "each oddity is warned about once, under validation only": {
        "poutine/equalize_warnings": "each_cause_is_warned_about_once "
        "nothing_is_said_without_validation near_misses_do_not_make_a_second_warning "
        "what_matches_later_is_not_warned_about an_exception_keeps_its_own_story "
        "a_masked_owner_is_fine_where_a_density_is_left two_handlers_warn_each_for_themselves",
        "poutine/equalize_members": "supports_that_exclude_the_shared_value_are_refused",
    },
    "the handler works in a released Pyro": {
        "tools/upstream_patch": "equalize_works_in_a_released_pyro",
    },
}


def names_in(file: Path) -> set[str]:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    found = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return {name.removeprefix("test_") for name in found if name.startswith("test_")}


def path_of(file: str) -> Path:
    folder, name = file.split("/")
    return TESTS / folder / f"test_{name}.py"


@pytest.mark.parametrize("clause", CLAUSES)
def test_the_tests_of_a_clause_are_there(clause: str) -> None:
    for file, names in CLAUSES[clause].items():
        assert set(names.split()) <= names_in(path_of(file)), file


def test_every_test_of_equalize_belongs_to_a_clause() -> None:
    listed: dict[str, set[str]] = {}
    for files in CLAUSES.values():
        for file, names in files.items():
            listed.setdefault(file, set()).update(names.split())
    here = Path(__file__).stem
    about_itself = {"equalize_handlers": {"every_handler_is_here"}}
    for path in (TESTS / "poutine").glob("test_equalize*.py"):
        if path.stem != here:
            room = path.stem.removeprefix("test_")
            extra = names_in(path) - listed.get(f"poutine/{room}", set())
            assert extra <= about_itself.get(room, set()), path.name
