//! The noun `net`: what is attached to network devices, and cards that run programs themselves.

use std::fmt::Write;

use bpf::diag::{At, Diagnostic};
use bpf::errno::Errno;
use bpf::syscall::Hook;
use serde_json::{Map as Fields, Value, json};

use super::words::Words;
use super::{Answer, Session};
use crate::state::CardDriver;

/// The verbs.
const VERBS: &str = "show, list, attach, detach, add or remove";

/// Hooks by bpftool's words.
const HOOKS: [(&str, Hook); 5] = [
    ("xdpgeneric", Hook::XdpGeneric),
    ("xdpdrv", Hook::XdpNative),
    ("xdpoffload", Hook::XdpOffload),
    ("tcx_ingress", Hook::TcIngress),
    ("tcx_egress", Hook::TcEgress),
];

/// Most cards of a state.
const MOST_CARDS: usize = 64;

/// Runs `net VERB ...`.
///
/// # Errors
/// Words that are none of a command's; what Linux or the driver refuses.
pub fn net(session: &mut Session<'_>, words: &[String]) -> Result<Answer, Diagnostic> {
    let mut words = Words::new(words);
    let words = &mut words;
    match words.peek() {
        None => show(session, words),
        Some(_) if words.take("show") || words.take("list") => show(session, words),
        Some(_) if words.take_exact("add") => add(session, words),
        Some(_) if words.take_exact("remove") => remove(session, words),
        Some(_) if words.take("attach") => attach(session, words),
        Some(_) if words.take("detach") => detach(session, words),
        Some(_) => Err(words.unexpected(VERBS)),
    }
}

impl Session<'_> {
    /// The name of a network device: that of its card with its place there.
    pub(super) fn device_name(&self, ifindex: u32) -> String {
        let cards = self.system.cards();
        let of = cards.iter().find_map(|card| {
            let place = card.ports.iter().position(|port| *port == ifindex)?;
            Some(format!("{}p{place}", card.name))
        });
        match (of, ifindex) {
            (Some(name), _) => name,
            (None, 1) => "lo".to_owned(),
            (None, other) => format!("if{other}"),
        }
    }

    /// The network device that the next word names.
    ///
    /// # Errors
    /// `usage`; none is called so.
    pub(super) fn device_of(&self, words: &mut Words<'_>) -> Result<u32, Diagnostic> {
        let name = words.need("the network device")?;
        let devices = &self.system.config().devices;
        devices.iter().copied().find(|ifindex| self.device_name(*ifindex) == name).ok_or_else(|| {
            let names: Vec<String> = devices.iter().map(|ifindex| self.device_name(*ifindex)).collect();
            Diagnostic::new("not-found", "there is no such network device")
                .at(At::Named(name.to_owned()))
                .help(format!("there are: {}; sim net add card PROFILE adds a card's", names.join(", ")))
        })
    }
}

/// Where a device is, as bpftool shows it. There is one namespace, whose numbers are Linux's of the first.
pub(super) fn device_fields(session: &Session<'_>, ifindex: u32) -> Value {
    json!({
        "ifindex": ifindex,
        "ns_dev": 4,
        "ns_inode": 4_026_531_840u64,
        "ifname": session.device_name(ifindex),
    })
}

fn show(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let devices = match words.take("dev") {
        true => vec![session.device_of(words)?],
        false => session.system.config().devices.clone(),
    };
    words.end()?;
    let (mut xdp, mut tc) = (Vec::new(), Vec::new());
    let (mut xdp_text, mut tc_text) = (String::new(), String::new());
    for ifindex in devices {
        let name = session.device_name(ifindex);
        for hook in Hook::ALL {
            for id in session.system.attached(ifindex, hook) {
                let mut fields = Fields::new();
                fields.insert("devname".into(), json!(name));
                fields.insert("ifindex".into(), json!(ifindex));
                let mode = match hook {
                    Hook::XdpGeneric => "generic",
                    Hook::XdpNative => "driver",
                    Hook::XdpOffload => "offload",
                    Hook::TcIngress => "tcx/ingress",
                    Hook::TcEgress => "tcx/egress",
                };
                if hook.is_xdp() {
                    fields.insert("mode".into(), json!(mode));
                    fields.insert("id".into(), json!(id));
                    xdp.push(Value::Object(fields));
                    let _ = writeln!(xdp_text, "{name}({ifindex}) {mode} id {id}");
                } else {
                    let program = session.system.prog_info(id).map_or(String::new(), |info| info.name);
                    fields.insert("kind".into(), json!(mode));
                    fields.insert("name".into(), json!(program));
                    fields.insert("prog_id".into(), json!(id));
                    tc.push(Value::Object(fields));
                    let _ = writeln!(tc_text, "{name}({ifindex}) {mode} {program} prog_id {id}");
                }
            }
        }
    }
    let json = json!([{ "xdp": xdp, "tc": tc, "flow_dissector": [], "netfilter": [] }]);
    let text = format!("xdp:\n{xdp_text}\ntc:\n{tc_text}\nflow_dissector:\n\nnetfilter:\n\n");
    Ok(Answer { text, json, ..Answer::default() })
}

fn hook_of(words: &mut Words<'_>) -> Result<Hook, Diagnostic> {
    let names = || HOOKS.map(|(name, _)| name).join(", ");
    let word = words.need("where to attach")?;
    // Without a mode the kernel takes the driver's hook where there is one.
    let hook = HOOKS.iter().find(|(name, _)| *name == word).map(|(_, hook)| *hook);
    hook.or((word == "xdp").then_some(Hook::XdpNative)).ok_or_else(|| {
        Diagnostic::new("usage", "there is no such hook")
            .at(At::Named(word.to_owned()))
            .help(format!("xdp, {}", names()))
    })
}

/// A refusal with the kernel's sentence, where it said one.
fn said(session: &Session<'_>, errno: Errno, what: &str, about: String) -> Diagnostic {
    let reason = session.system.extack().map_or(format!("{what}: {errno}"), |said| format!("{what}: {errno}: {said}"));
    Diagnostic::new("bpf-refused", reason).at(At::Named(about))
}

fn attach(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let hook = hook_of(words)?;
    let (fd, info) = session.prog_of(words)?;
    if !words.take("dev") {
        return Err(words.unexpected("dev NAME"));
    }
    let ifindex = session.device_of(words)?;
    let replace = words.take("overwrite");
    words.end()?;
    // bpftool attaches by netlink, which replaces if it is told to, or for tc as one more.
    let done = session.system.attach(session.actor, ifindex, hook, fd, replace);
    done.map_err(|errno| {
        let about = format!("program {} at {} of {}", info.id, hook.name(), session.device_name(ifindex));
        said(session, errno, "the program cannot be attached", about)
    })?;
    Ok(Answer::changed())
}

fn detach(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let hook = hook_of(words)?;
    if !words.take("dev") {
        return Err(words.unexpected("dev NAME"));
    }
    let ifindex = session.device_of(words)?;
    words.end()?;
    session.system.detach(ifindex, hook).map_err(|errno| {
        let about = format!("{} of {}", hook.name(), session.device_name(ifindex));
        super::refused("nothing can be taken off", errno, about)
    })?;
    Ok(Answer::changed())
}

/// `net add card PROFILE [name NAME]`: a card with a network device for each of its ports.
fn add(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    if !words.take_exact("card") {
        return Err(words.unexpected("card PROFILE"));
    }
    let profile = words.need("the card's profile")?.to_owned();
    let driver = CardDriver::of(&profile)?;
    let cards = session.system.cards();
    if cards.len() >= MOST_CARDS {
        return Err(Diagnostic::new("too-many-cards", "the state has as many cards as it may")
            .limit(format!("{MOST_CARDS} cards"), "one more"));
    }
    let name = match words.take_exact("name") {
        true => words.need("the card's name")?.to_owned(),
        false => {
            let free = |n: &usize| cards.iter().all(|card| card.name != format!("nic{n}"));
            format!("nic{}", (0..=MOST_CARDS).find(free).expect("there are fewer cards than names"))
        }
    };
    words.end()?;
    let good = (1..=10).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !good || cards.iter().any(|card| card.name == name) {
        return Err(Diagnostic::new("bad-name", "a card's name is its own, up to ten letters, digits and _")
            .at(At::Named(name)));
    }
    let devices = &session.system.config().devices;
    let ports: Vec<u32> = (2..).filter(|ifindex| !devices.contains(ifindex)).take(driver.ports().into()).collect();
    let added = session.system.add_card(&name, driver, &ports);
    added.map_err(|errno| super::refused("the card cannot be added", errno, name.as_str()))?;
    let names: Vec<String> = ports.iter().map(|port| session.device_name(*port)).collect();
    let json = json!({ "card": name, "profile": profile, "devices": names });
    Ok(Answer { text: format!("{name}: {profile}: {}\n", names.join(" ")), json, changed: true, ..Answer::default() })
}

/// `net remove DEV`: a network device goes, with the last of its card the card.
fn remove(session: &mut Session<'_>, words: &mut Words<'_>) -> Result<Answer, Diagnostic> {
    let ifindex = session.device_of(words)?;
    words.end()?;
    if ifindex == 1 {
        return Err(Diagnostic::new("usage", "the loopback device stays").at(At::Named("lo".to_owned())));
    }
    let about = session.device_name(ifindex);
    let gone = session.system.remove_device(ifindex);
    gone.map_err(|errno| super::refused("the device cannot be removed", errno, about))?;
    Ok(Answer::changed())
}
