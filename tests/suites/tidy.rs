//! The rules about the code itself. Each names every place that breaks it; tighten, never loosen.

use cluster_tests::tidy::{self, Project, Violation};
use std::path::Path;

macro_rules! rules {
    ($($rule:ident),* $(,)?) => {
        $(#[test]
        fn $rule() {
            hold(tidy::$rule);
        })*
    };
}

rules![
    files_are_short,
    functions_are_short,
    unwrap_is_for_tests,
    unsafe_is_in_one_file,
    libraries_do_not_print,
    items_have_names_of_the_field,
    the_core_knows_no_world,
    documents_link_to_what_exists,
    documents_name_what_exists,
    no_text_names_a_path_of_some_machine,
    no_text_names_a_section_of_another_document,
    rules_are_listed_with_who_sees_to_them,
    the_top_level_is_the_list,
    every_dependency_has_a_reason,
    members_take_versions_from_the_workspace,
    every_source_file_is_a_module,
];

fn hold(rule: fn(&Project) -> Vec<Violation>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the project");
    let mut found = rule(&Project::open(root));
    found.sort();
    let list: Vec<String> = found.iter().map(Violation::to_string).collect();
    assert!(found.is_empty(), "{} places\n{}", list.len(), list.join("\n"));
}
