//! What is answered to a case on a card.

use bpf::engines::{Interpreter, Runner};
use bpf::env::FixedEnv;
use bpf::interp::{ContextInput, EngineConfig};
use bpf::program::ProgType;
use bpf::verifier::{Options, VerifiedProgram};
use nic_model::core::Fate;
use nic_model::profile::{CardProfile, Sourced};
use offload_jit::{Image, Mode, Refusal};
use serde_json::{Map, Value, json};

use super::lines::answer::{Judged, judge, verify};
use super::lines::case::{Case, RunCase};
use super::lines::context::{self, ETH_HLEN};
use super::lines::json;
use super::loaded::{Group, Loaded, Translation, holds_values};

/// What every case is asked of.
pub struct Setting {
    pub card: CardProfile,
    pub mode: Mode,
    pub log_level: u8,
}

/// What a case has of the Linux driver's.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Words before relocation, with the relocation's number in bits 56 to 63.
    words: Option<Vec<u64>>,
    /// The device's number of each map.
    table_ids: Vec<u32>,
    /// The driver does not take it.
    refused: bool,
}

impl Recorded {
    /// Reads it out of a line.
    ///
    /// # Errors
    /// What is malformed about it.
    pub fn parse(line: &Value) -> Result<Recorded, String> {
        let word = |value: &Value| {
            let text = value.as_str().ok_or("words: not a text")?;
            u64::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|_| format!("words: {text:?} is no word"))
        };
        // No program has no words.
        let words = json::list(line, "words")?.iter().map(word).collect::<Result<Vec<_>, _>>()?;
        let words = Some(words).filter(|words| !words.is_empty());
        let number = |value: &Value| {
            let number = json::whole(value).and_then(|n| u32::try_from(n).ok());
            number.ok_or_else(|| format!("table_ids: {value} is no number of a map"))
        };
        let table_ids = json::list(line, "table_ids")?.iter().map(number).collect::<Result<_, _>>()?;
        Ok(Recorded { words, table_ids, refused: json::get(line, "refused").is_some() })
    }
}

/// Verified, and run if the card takes it; and whether that is what the case expects.
pub fn answer(case: &Case, recorded: &Recorded, setting: &Setting) -> (Map<String, Value>, Judged) {
    let driver = setting.mode == Mode::Driver;
    // The driver's words are of Linux 6.12, whose verifier does not know yet that a constant key finds its array's entry.
    let of_driver = driver && (recorded.words.is_some() || recorded.refused);
    let options = Options { device_bound: true, constant_array_keys: !of_driver, ..Options::default() };
    let (mut out, verified) = verify(case, setting.log_level, &options);
    let words = match verified {
        None => None,
        Some(verified) => offload(case, verified, recorded, setting, &options, &mut out).unwrap_or_else(|why| {
            out.insert("error".to_owned(), json!(why));
            None
        }),
    };
    let judged = judged(case, recorded, driver, words.as_deref(), &out);
    (out, judged)
}

/// Whether an answer is what the case expects.
fn judged(case: &Case, recorded: &Recorded, driver: bool, words: Option<&[u64]>, out: &Map<String, Value>) -> Judged {
    let mut expect = case.expect.clone();
    if words.is_none()
        && let Some(expect) = &mut expect
    {
        // What is not run returns nothing.
        expect.retvals = None;
    }
    let judged = judge(expect.as_ref(), out);
    let unsupported = out.get("verdict").is_some_and(|verdict| verdict == "UNSUPPORTED");
    if unsupported || matches!(judged, Judged::Failed(_)) {
        return judged;
    }
    if let Some(why) = out.get("error").and_then(Value::as_str) {
        return Judged::Failed(why.to_owned());
    }
    if !driver {
        return judged;
    }
    match (&recorded.words, words) {
        (Some(expected), Some(words)) if expected == words => Judged::Passed,
        (Some(expected), Some(words)) => Judged::Failed(difference(expected, words)),
        (Some(_), None) => Judged::Failed("the card does not take it, the driver did".to_owned()),
        (None, Some(_)) if recorded.refused => Judged::Failed("the card takes it, the driver did not".to_owned()),
        (None, None) if recorded.refused => Judged::Passed,
        _ => judged,
    }
}

fn difference(expected: &[u64], words: &[u64]) -> String {
    let at = (0..expected.len().max(words.len())).find(|&at| expected.get(at) != words.get(at)).unwrap_or(0);
    let text = |words: &[u64]| match words.get(at) {
        None => "no word".to_owned(),
        Some(word) => match nic_model::isa::decode(word & nic_model::isa::PAYLOAD) {
            Ok(op) => format!("{word:016x} {op}"),
            Err(error) => format!("{word:016x} {error}"),
        },
    };
    format!("word {at}: expected {}, not {}", text(expected), text(words))
}

/// Asks the card, and runs what it takes: the words, if it does.
fn offload(
    case: &Case,
    verified: VerifiedProgram,
    recorded: &Recorded,
    setting: &Setting,
    options: &Options,
    out: &mut Map<String, Value>,
) -> Result<Option<Vec<u64>>, String> {
    let Setting { card, mode, .. } = setting;
    let ty = verified.program().ty;
    let set = case.set(verified.xlated().clone());
    let host = set.clone();
    let group = Group::new(verified, set, options)?;
    // The recorded words are of a device that takes maps of any number and size, so that only the translation counts.
    let capabilities = match (&recorded.words, mode) {
        (Some(_), Mode::Driver) => roomy(card),
        _ => card.capabilities.clone(),
    };
    let maps = group.members[0].verified.program().maps.len();
    let translated = group.translate(&capabilities, Translation::As(*mode), &vec![0; maps]);
    out.insert("admitted".to_owned(), json!(translated.is_ok()));
    let images = match translated {
        Ok(images) => images,
        Err(refusals) => {
            out.insert("refusals".to_owned(), refusals.iter().map(refusal).collect());
            return Ok(None);
        }
    };
    let numbers = match recorded.table_ids.is_empty() {
        true => group.tables(&images),
        false => (0..maps).map(|map| recorded.table_ids.get(map).copied().unwrap_or(0)).collect(),
    };
    let again = |translation, numbers: &[u32]| {
        let images = group.translate(&capabilities, translation, numbers);
        images.map_err(|refusals| refusals.iter().map(|r| r.diagnostic.headline()).collect::<Vec<_>>().join("; "))
    };
    let shown = again(Translation::As(*mode), &numbers)?;
    let words: Vec<u64> = shown.iter().flat_map(Image::tagged_words).collect();
    out.insert("refusals".to_owned(), json!([]));
    out.insert("words".to_owned(), words.iter().map(|word| json!(format!("{word:016x}"))).collect());
    out.insert("body".to_owned(), json!(shown.iter().map(Image::body_words).sum::<usize>()));
    let notes = shown.iter().flat_map(Image::notes);
    let notes: Vec<Value> =
        notes.map(|n| json!({"slot": n.slot, "code": n.fault.code(), "what": n.fault.to_string()})).collect();
    if !notes.is_empty() {
        out.insert("notes".to_owned(), json!(notes));
    }
    // The simulated card numbers its maps from 1 on.
    let numbers = group.tables(&images);
    let roomy = CardProfile { capabilities: capabilities.clone(), ..card.clone() };
    let mut loaded = Loaded::new(&roomy, &group, &again(Translation::As(*mode), &numbers)?, &numbers)?;
    // The verdict does not say which return code it is of; the lowering before the passes keeps that in a register. What
    // is too long for the code store without the passes goes without.
    let plain = match mode {
        Mode::Driver => None,
        Mode::Best => {
            let images = again(Translation::Plain, &numbers).ok();
            images.and_then(|images| Loaded::new(&roomy, &group, &images, &numbers).ok())
        }
    };
    runs(case, ty, &mut loaded, plain, out);
    contents(host, &mut loaded, out);
    Ok(Some(words))
}

/// The card with room for any map.
fn roomy(card: &CardProfile) -> nic_model::profile::Capabilities {
    fn raise<T: PartialOrd>(value: &mut Sourced<T>, to: T) {
        if value.value < to {
            value.value = to;
        }
    }
    const BYTES: u64 = 1 << 20;
    let mut room = card.capabilities.clone();
    raise(&mut room.max_maps, u32::MAX);
    raise(&mut room.max_elements, u64::MAX);
    for bytes in [&mut room.max_key, &mut room.max_value, &mut room.max_element] {
        raise(bytes, nic_model::quantity::Bytes(BYTES));
    }
    room
}

fn refusal(refusal: &Refusal) -> Value {
    let diagnostic = &refusal.diagnostic;
    json!({
        "rule": refusal.rule.id(),
        "insn": refusal.slot(),
        "reason": diagnostic.reason,
        "limit": diagnostic.limit,
        "actual": diagnostic.actual,
        "help": diagnostic.help,
    })
}

fn runs(case: &Case, ty: ProgType, loaded: &mut Loaded, mut plain: Option<Loaded>, out: &mut Map<String, Value>) {
    let (mut runs, mut cycles) = (Vec::new(), Vec::new());
    for run in &case.runs {
        let (run, spent) = run_once(ty, run, loaded, plain.as_mut());
        runs.push(run);
        cycles.push(spent);
    }
    out.insert("runs".to_owned(), json!(runs));
    out.insert("cycles".to_owned(), json!(cycles));
}

fn run_once(ty: ProgType, run: &RunCase, loaded: &mut Loaded, plain: Option<&mut Loaded>) -> (Value, u64) {
    let fault = |why: String| (json!({"fault": why}), 0);
    if run.data.len() < ETH_HLEN {
        return fault("EINVAL: the packet is shorter than an Ethernet header".to_owned());
    }
    if run.data.len() > loaded.bench.room as usize {
        return fault(format!("EINVAL: the packet is longer than the {} bytes of a buffer", loaded.bench.room));
    }
    if let Some(what) = run.context.as_deref().and_then(|given| beyond(ty, given)) {
        return fault(format!("EINVAL: ctx: packets of the card have no {what}"));
    }
    let protocol = match context::of(ty, &run.data, None) {
        ContextInput::Skb(fields) => fields.protocol,
        _ => u32::from(run.data.get(12..14).map_or(0, |ty| u16::from_le_bytes([ty[0], ty[1]]))),
    };
    let Some(ran) = loaded.bench.run(&run.data, protocol) else {
        return fault("the packet has not left its context".to_owned());
    };
    let whole = plain.and_then(|plain| plain.bench.run(&run.data, protocol));
    let verdict = match ran.fate {
        Fate::Trapped(trap) => {
            let fault = json!({"retval": 0, "data_out": json::to_hex(&ran.packet), "insns": ran.instructions, "fault": trap.to_string()});
            return (fault, ran.cycles);
        }
        Fate::Verdict(verdict) => verdict,
    };
    let low = match &whole {
        // Where the passes have changed the verdict, the code of another verdict would hide it.
        Some(whole) => matches!(whole.fate, Fate::Verdict(plain) if plain.word == verdict.word).then_some(whole.low),
        None => Some(ran.low),
    };
    let retval = low.unwrap_or_else(|| code((verdict.word >> 16) as u8, ty));
    let run = json!({"retval": retval, "data_out": json::to_hex(&ran.packet), "insns": ran.instructions});
    (run, ran.cycles)
}

/// The first return code of a verdict's byte.
fn code(byte: u8, ty: ProgType) -> u32 {
    match (ty, byte) {
        (ProgType::Xdp, 0x22) => 1,
        (ProgType::Xdp, 0x11) => 2,
        (ProgType::Xdp, 0x44) => 3,
        (ProgType::Xdp, 0x48) => 4,
        (ProgType::Xdp, _) => 0,
        (_, 0x22) => 2,
        (_, 0x02) => 4,
        (_, 0x48) => 7,
        _ => 0,
    }
}

/// What a context has that no packet of the card has.
fn beyond(ty: ProgType, given: &[u8]) -> Option<&'static str> {
    let xdp: &[(&'static str, usize, usize)] =
        &[("rx_queue_index before the program", 16, 4), ("egress_ifindex", 20, 4)];
    let skb = &[
        ("mark", 8, 4),
        ("priority", 32, 4),
        ("ingress_ifindex", 36, 4),
        ("cb", 48, 20),
        ("tstamp", 152, 8),
        ("wire_len", 160, 4),
        ("gso_segs", 164, 4),
        ("gso_size", 176, 4),
        ("hwtstamp", 184, 8),
    ];
    let fields = if ty == ProgType::Xdp { xdp } else { &skb[..] };
    let set = |(_, at, len): &&(&str, usize, usize)| given.iter().skip(*at).take(*len).any(|byte| *byte != 0);
    fields.iter().find(set).map(|(name, ..)| *name)
}

/// What maps hold at the end; those that the card has not got hold what they began with.
fn contents(host: bpf::engines::ProgramSet, loaded: &mut Loaded, out: &mut Map<String, Value>) {
    let specs = host.maps().to_vec();
    let mut beside = Interpreter::new(EngineConfig::default(), FixedEnv::default());
    let there = beside.load(&host).is_ok();
    let mut maps = Vec::new();
    for (at, spec) in specs.iter().enumerate().filter(|(_, spec)| holds_values(spec.ty)) {
        let entries = match loaded.tables[at] {
            Some(table) => {
                let mut entries = loaded.bench.memories.user_entries(table);
                entries.sort();
                entries
            }
            None if there => beside.contents(at).unwrap_or_default(),
            None => continue,
        };
        let entries: Vec<Value> = entries
            .iter()
            .map(|(key, value)| json!({"key": json::to_hex(key), "value": json::to_hex(value)}))
            .collect();
        maps.push(json!({"name": spec.name, "entries": entries}));
    }
    out.insert("maps".to_owned(), json!(maps));
}
