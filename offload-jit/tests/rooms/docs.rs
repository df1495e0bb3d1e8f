//! `docs/offload-rules.md` is made of the rules themselves.

use std::fmt::Write as _;
use std::path::Path;

use offload_jit::Rule;

fn page() -> String {
    let mut page = String::from(
        "# Why a card refuses a program\n\n\
         A program is held against every rule at once. Each refusal has the code `offload-` and the rule's name, the place, \
         the\nlimit, the value that broke it, and what would lift it. What the limits are is in the card's profile; what the \
         translator\ncannot express is the same for every card in one mode. A refusal by size is lifted by a card with a \
         larger number; one\nby feature needs other firmware, or another program. The last column names the capabilities of a \
         card's profile\nthat lift it, `rules` standing for `rules: best`: a card that has them takes the program. Left is \
         what no card does:\nkernel functions, functions called by address, helpers of the host's stack, sockets and tags, \
         memory and maps of the\nhost's, fields that are known behind the program only, `may_goto`, verdicts that classify \
         again, and more words than\nbranches can address. A test lifts every refusal that it meets.\n\n\
         | rule | about | by | lifted by |\n|---|---|---|---|\n",
    );
    for rule in Rule::ALL {
        let names: Vec<_> = rule.lifted_by().iter().map(|name| format!("`{name}`")).collect();
        let lifted = if names.is_empty() { "no card".to_owned() } else { names.join(", ") };
        let about = rule.meaning().trim_end_matches('.');
        let _ = writeln!(page, "| `{rule}` | {about} | {} | {lifted} |", rule.cause().id());
    }
    page
}

#[test]
fn the_page_of_rules_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/offload-rules.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, page(), "set BLESS to write it anew");
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Rule::ALL.len());
}
