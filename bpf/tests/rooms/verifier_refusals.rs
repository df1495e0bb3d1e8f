//! What is said of programs that are refused: rule, place, path and advice, as `data/refusals` has them. With `BLESS` set
//! the files are written.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bpf::object::Object;
use bpf::verifier::{Class, Options, Rejection, Verdict, verify};

fn object() -> Object {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/object/refusals.bpf.o");
    Object::parse(&std::fs::read(path).expect("it stands beside its source")).expect("it is an object")
}

/// Every program of the object, with why it is refused.
fn refused() -> Vec<(String, Rejection)> {
    let object = object();
    let refused = |name: &str| match verify(object.program(Some(name), None).expect("it has it"), &Options::default()) {
        Verdict::Rejected(rejection) => rejection,
        Verdict::Accepted(_) => panic!("{name} is accepted"),
        Verdict::Unsupported(diagnostic) => panic!("{name}: {diagnostic}"),
    };
    object.programs().iter().map(|entry| (entry.name.clone(), refused(&entry.name))).collect()
}

#[test]
fn refusals_are_explained_as_they_were() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/refusals");
    let bless = std::env::var_os("BLESS").is_some();
    let mut classes = BTreeSet::new();
    for (name, rejection) in refused() {
        let path = directory.join(format!("{name}.txt"));
        let text = rejection.diagnostic.to_string();
        if bless {
            std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, &text)).expect("it can be written");
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}; BLESS=1 writes it"));
        assert_eq!(golden, text, "{name}; BLESS=1 writes it anew");
        classes.insert(rejection.class);
    }
    assert!(classes.len() >= 12, "programs of few kinds: {classes:?}");
}

#[test]
fn classes_have_codes_of_their_own() {
    let codes: BTreeSet<&str> = Class::ALL.iter().map(|class| class.code()).collect();
    assert_eq!(codes.len(), Class::ALL.len());
    for class in Class::ALL {
        assert!(class.code().starts_with("verifier-"), "{class}");
        assert!(!class.rule().ends_with('.') && !class.help().is_empty(), "{class}");
    }
}

#[test]
fn the_documentation_has_every_class() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/refusals.md");
    let text = std::fs::read_to_string(path).expect("it stands in docs");
    let missing: Vec<String> = Class::ALL
        .iter()
        .map(|class| format!("| `{}` | {} | {} |", class.code(), class.rule(), class.help()))
        .filter(|row| !text.contains(row.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/refusals.md lacks\n{}", missing.join("\n"));
}
