//! The programs of this project are accepted, and every instruction that stays was walked.

use bpf::object::Object;
use bpf::verifier::{Options, Verdict, verify_logged};

#[test]
fn the_scenarios_programs_are_accepted() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs");
    let mut seen = 0;
    for entry in std::fs::read_dir(&dir).expect("the programs are part of the project") {
        let path = entry.expect("a directory can be read").path();
        if path.extension().is_none_or(|e| e != "o") {
            continue;
        }
        let object = Object::parse(&std::fs::read(&path).expect("a file can be read")).expect("it is an object");
        for entry in object.programs() {
            let name = format!("{} {}", path.display(), entry.name);
            let program = object.program(Some(&entry.name), None).expect("it is a program");
            let verified = [false, true].into_iter().map(|device_bound| {
                let options = Options { log_level: 1, device_bound, ..Options::default() };
                match verify_logged(program.clone(), &options) {
                    (Verdict::Accepted(verified), _) => Ok(verified),
                    (other, log) => Err(format!("{name}: {other:?}\n{log}")),
                }
            });
            // Some are only good for a card.
            let verified = verified.reduce(|host, card| host.or_else(|refused| card.map_err(|_| refused)));
            let verified = verified.expect("it was asked twice").unwrap_or_else(|refused| panic!("{refused}"));
            let slots = verified.explored().slots();
            assert!(verified.origin().iter().all(|slot| slots[*slot].visited()), "{name}");
            assert_eq!(verified.origin().len(), verified.xlated().insns.len(), "{name}");
            seen += 1;
        }
    }
    assert!(seen > 0, "there are objects in {}", dir.display());
}
