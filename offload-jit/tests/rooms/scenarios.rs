//! The programs of the scenarios on the cards that come with the project.

use std::path::{Path, PathBuf};

use bpf::facts::Facts;
use bpf::object::Object;
use bpf::verifier::{self, Options, Verdict, VerifiedProgram};
use nic_model::profile::{self, Capabilities};
use offload_jit::{Image, Mode, Refusal, Rule, compile, compile_for_tables};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn verified(object: &str) -> VerifiedProgram {
    let path = root().join("scenarios/programs").join(object).with_extension("bpf.o");
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let program = Object::parse(&bytes).and_then(|object| object.program(None, None)).expect("the object is good");
    match verifier::verify(program, &Options { device_bound: true, ..Options::default() }) {
        Verdict::Accepted(program) => program,
        Verdict::Rejected(rejection) => panic!("{object}: {}", rejection.diagnostic),
        Verdict::Unsupported(diagnostic) => panic!("{object}: {diagnostic}"),
    }
}

fn agilio() -> Capabilities {
    profile::builtin("agilio-cx-2x40").expect("it comes with the project").capabilities
}

fn compiled(object: &str) -> Result<Image, Vec<Refusal>> {
    let program = verified(object);
    compile(&program, &Facts::of(&program), &agilio(), Mode::Driver)
}

fn translated(object: &str) -> Image {
    compiled(object).unwrap_or_else(|refusals| panic!("{object}: {}", refusals[0]))
}

fn refused(object: &str) -> Vec<Refusal> {
    match compiled(object) {
        Ok(_) => panic!("{object} is translated"),
        Err(refusals) => refusals,
    }
}

/// Compares with a file beside this one, or writes it where `BLESS` is set.
fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, actual).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != actual {
        let line = expected.lines().zip(actual.lines()).take_while(|(a, b)| a == b).count();
        let show = |text: &str| text.lines().nth(line).unwrap_or("<end>").to_owned();
        panic!("{name}:{}: expected\n{}\nbut got\n{}\nSet BLESS to accept.", line + 1, show(&expected), show(actual));
    }
}

#[test]
fn the_drop_program_is_translated() {
    let image = translated("drop");
    assert_eq!((image.body_words(), image.words().len()), (3, 26));
    golden("drop.lst", &image.listing().to_string());
}

#[test]
fn firewall_and_load_balancer_are_translated() {
    for object in ["firewall", "l4lb"] {
        let image = translated(object);
        golden(&format!("{object}.lst"), &image.listing().to_string());
        assert_eq!(image.notes(), [], "{object}");
        assert_eq!(image.tagged_words().len(), image.origins().len());
    }
}

#[test]
fn both_spellings_of_a_map_give_the_same_words() {
    // The two sections list the maps in different orders, so the card numbers them by name here.
    let words = |object: &str| {
        let program = verified(object);
        let maps = &program.program().maps;
        let number = |name: &str| maps.iter().filter(|map| map.name.as_str() < name).count() as u32 + 1;
        let tables: Vec<u32> = maps.iter().map(|map| number(&map.name)).collect();
        compile_for_tables(&program, &Facts::of(&program), &agilio(), Mode::Driver, &tables)
            .map(|image| image.words().to_vec())
    };
    assert_eq!(words("l4lb"), words("l4lb_legacy"));
}

#[test]
fn the_tc_programs_are_refused_for_every_reason_at_once() {
    for (object, rules) in [
        ("firewall_tc", [Rule::TcExit, Rule::MapType].as_slice()),
        ("l4lb_tc", &[Rule::Helper, Rule::TcExit, Rule::MapType]),
    ] {
        let refusals = refused(object);
        for rule in rules {
            assert!(refusals.iter().any(|refusal| refusal.rule == *rule), "{object}: {rule} of {refusals:#?}");
        }
        golden(&format!("{object}.refusals"), &refusals.iter().map(Refusal::to_string).collect::<String>());
    }
}
