//! Help and usage errors.

use crate::support::Project;

const VERBS: [&str; 19] = [
    "init",
    "demo",
    "up",
    "produce",
    "bronze",
    "quarantine",
    "plan",
    "promote",
    "retry",
    "test",
    "load-warehouse",
    "run",
    "verify",
    "query",
    "export",
    "status",
    "maintain",
    "doctor",
    "functions",
];

#[test]
fn help_lists_every_verb_and_the_exit_codes() {
    let help = Project::empty().lake(&["--help"]).ok().stdout;
    for word in VERBS.into_iter().chain(["69 a service is unreachable", "lake demo"]) {
        assert!(help.contains(word), "`{word}` is missing in:\n{help}");
    }
}

#[test]
fn each_verb_explains_itself() {
    let project = Project::empty();
    for verb in VERBS {
        let help = project.lake(&[verb, "--help"]).ok().stdout;
        assert!(help.contains(&format!("Usage: lake {verb}")) && help.contains("--project <DIR>"), "{verb}:\n{help}");
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let table: [(&[&str], &str); 13] = [
        (&[], "Usage: lake"),
        (&["prodcue"], "'produce'"),
        (&["query", "select 1", "--outptu", "json"], "--output"),
        (&["promote", "copper"], "[possible values: silver, gold, all]"),
        (&["plan", "--graph", "png"], "[possible values: mermaid, dot, svg]"),
        (&["plan", "--graph", "svg", "--output", "json"], "`--graph` is text"),
        (&["bronze", "--start", "yesterday"], "write earliest, latest, offset:N or timestamp:"),
        (&["bronze", "--interval", "10"], "write a duration such as"),
        (&["produce", "books", "--file", "x.csv"], "cannot be used with"),
        (&["produce", "--topic", "t"], "--file <FILE>"),
        (&["produce", "--file", "x", "--rate", "0"], "write a number above 0"),
        (&["status", "--output", "csv"], "is for `lake query`"),
        (&["maintain", "--retain", "soon"], "write a duration such as"),
    ];
    let project = Project::empty();
    for (arguments, message) in table {
        let output = project.lake(arguments).fails_with(2);
        assert!(output.stderr.contains(message), "{arguments:?}:\n{}", output.stderr);
        assert_eq!(output.stdout, "", "{arguments:?}");
    }
}

#[test]
fn nothing_declared_says_what_to_write() {
    let output = Project::empty().lake(&["produce"]).fails_with(78);
    assert!(output.stderr.starts_with("error: the project declares nothing to produce\n\nhint: "), "{}", output.stderr);
    assert!(output.stderr.contains("[[produce]]"), "{}", output.stderr);
    let output = Project::empty().lake(&["demo"]).fails_with(78);
    assert!(output.stderr.contains("lake init"), "{}", output.stderr);
}
