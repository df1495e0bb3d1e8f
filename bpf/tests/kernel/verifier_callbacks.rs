//! Programs with functions that helpers call back: verdict, error number and whole log are the running kernel's.

use super::verifier_logs;
use crate::support;

use bpf::insn::Insn;
use bpf::program::Program;
use bpf::verifier::{Options, Verdict, verify, verify_logged};
use support::kernel::LoadRequest;
use support::logs::plain;
use support::{both, callbacks, functions, generate, kernel, seeds};

#[test]
fn logs_of_programs_that_are_called_back() {
    let Some(kernel) = kernel::kernel("logs_of_programs_that_are_called_back") else { return };
    let mut specs = generate::maps();
    specs.iter_mut().for_each(|spec| spec.name = String::new());
    let maps: Vec<_> = specs.iter().map(|spec| kernel.create(spec).expect("plain maps")).collect();
    let plain_options = Options { processors: Some(kernel::possible_cpus() as u32), ..Options::default() };
    let options = Options { log_level: 2, processors: Some(kernel::possible_cpus() as u32), ..Options::default() };
    let (mut accepted, mut refused, mut wrong) = (0usize, 0usize, Vec::<String>::new());
    for seed in seeds(20) {
        let program = callbacks::program(seed);
        for mutation in 0..4 {
            let mutated = match mutation {
                0 => program.clone(),
                n => generate::mutated(seed * 16 + n, &program),
            };
            if bpf::insn::encode(&mutated.insns).is_err() {
                continue;
            }
            let mutated = Program { maps: specs.clone(), ..mutated };
            // Longer logs than these have room nowhere.
            if let Verdict::Accepted(verified) = verify(mutated.clone(), &plain_options)
                && verified.explored().processed() > 3000
            {
                continue;
            }
            let starts = functions::starts(&mutated.insns);
            let (types, numbers) = functions::types(kernel, starts.len());
            let records: Vec<[u32; 2]> = starts.iter().zip(&numbers).map(|(start, id)| [*start, *id]).collect();
            let bytes = both::kernel_bytes(&mutated.insns, &maps);
            let request = LoadRequest {
                prog_type: mutated.ty.number(),
                bytes: &bytes,
                log_level: 2,
                types: Some(&types),
                functions: &records,
                ..LoadRequest::default()
            };
            let (loaded, theirs) = kernel.request(&request);
            const ENOSPC: i32 = 28;
            if loaded.as_ref().err() == Some(&ENOSPC) {
                // The log is longer than the room for it.
                continue;
            }
            // Linux does not follow what an atomic operation fetches from the stack, and ties a number that was loaded with
            // its sign to the one that was stored.
            let mistaken =
                |insn: &Insn| matches!(insn, Insn::Atomic { fetch: true, .. } | Insn::Load { sext: true, .. });
            let mistaken = mutated.insns.iter().any(mistaken);
            let (verdict, ours) = verify_logged(mutated, &options);
            let errno = match verdict {
                Verdict::Accepted(_) => None,
                Verdict::Rejected(r) => Some(i32::from(r.errno.0)),
                // What a map is inside only the kernel's own types say.
                Verdict::Unsupported(d) if d.code == "verifier-map-struct" => continue,
                Verdict::Unsupported(d) => panic!("{seed} mutation {mutation}: {d}"),
            };
            // Linux looks at what matters before it refuses, which is then said first. Where it finds a function gone it
            // counts slots of the program as it was rewritten for the machine.
            let said = |log: &str| -> Vec<String> {
                let kept = |l: &String| errno.is_none() || !l.starts_with("mark_precise:");
                let gone = "verifier bug: No program to jit at insn ";
                let line = |l: String| if l.starts_with(gone) { gone.to_owned() } else { l };
                plain(log).into_iter().filter(kept).map(line).collect()
            };
            let (log, here) = (said(&theirs), said(&ours));
            let at = here.iter().zip(&log).position(|(o, t)| o != t).unwrap_or(here.len().min(log.len()));
            let theirs = loaded.err();
            if errno != theirs || here != log && !mistaken {
                let lines = |log: &[String]| log[at.saturating_sub(2)..(at + 3).min(log.len())].join("\n    ");
                wrong.push(format!(
                    "{seed} mutation {mutation}: kernel {theirs:?}\n    {}\n  here {errno:?}\n    {}",
                    lines(&log),
                    lines(&here)
                ));
                if std::env::var_os("SHOW").is_some() {
                    println!("{}\n----\n{}", said(&ours).join("\n"), log.join("\n"));
                }
            }
            if errno.is_none() { accepted += 1 } else { refused += 1 }
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(wrong.is_empty(), "{} logs differ:\n{}", wrong.len(), wrong[..wrong.len().min(6)].join("\n"));
}

/// Logs of those programs, which the other test holds against the kernel's.
#[test]
fn their_logs_are_as_they_were() {
    let options = Options { log_level: 2, ..Options::default() };
    let mut written = [0; 2];
    for seed in 0..20 {
        for mutation in 0..2 {
            let program = callbacks::program(seed);
            let program = if mutation == 0 { program } else { generate::mutated(seed * 16 + mutation, &program) };
            let mut maps = generate::maps();
            maps.iter_mut().for_each(|spec| spec.name = String::new());
            let (verdict, log) = verify_logged(Program { maps, ..program }, &options);
            let accepted = matches!(verdict, Verdict::Accepted(_));
            if log.len() < 12_000 && written[usize::from(accepted)] < 3 && log.contains(" cb\n") {
                written[usize::from(accepted)] += 1;
                verifier_logs::golden(&format!("callbacks-{seed}-{mutation}"), &log);
            }
        }
    }
    assert!(written.iter().all(|count| *count > 0), "logs of both kinds: {written:?}");
}
