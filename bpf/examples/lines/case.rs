//! One case: a program, its maps, what it runs on and what is expected.

use std::collections::BTreeMap;
use std::sync::Arc;

use bpf::btf::info::ProgramInfo;
use bpf::btf::{Btf, FuncInfo, TypeId};
use bpf::engines::{Entry, Link, ProgramSet};
use bpf::insn::{Callee, Insn, Operand, RawInsn, Reg, Wide, Width};
use bpf::program::{Attach, Function, MapIndex, MapSpec, MapType, ProgType, Program};
use serde_json::Value;

use super::{encoding, json};

/// A case that could be read.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// The program with its maps, or what Linux would say before it verifies.
    pub program: Result<Program, Refused>,
    /// By slot, what Linux says of instructions that it does not take, where a path comes to them; the program has others
    /// in their place.
    pub malformed: BTreeMap<usize, String>,
    pub parts: Vec<Program>,
    pub entries: Vec<Entry>,
    pub links: Vec<Link>,
    /// `BPF_F_...` of the load.
    pub flags: u32,
    pub unprivileged: bool,
    pub runs: Vec<RunCase>,
    pub expect: Option<Expect>,
}

/// A program that is refused for its encoding.
#[derive(Debug, Clone)]
pub struct Refused {
    pub errno: u16,
    pub line: String,
}

/// One packet.
#[derive(Debug, Clone)]
pub struct RunCase {
    pub data: Vec<u8>,
    /// `struct xdp_md` or `struct __sk_buff`.
    pub context: Option<Vec<u8>>,
}

/// What a case expects; what it does not name is not looked at.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    pub verdict: Option<String>,
    pub errno: Option<u64>,
    pub errline: Option<String>,
    pub retvals: Option<Vec<u64>>,
}

const EINVAL: u16 = 22;
/// Flags of a load that there are (`BPF_F_STRICT_ALIGNMENT` to `BPF_F_TEST_REG_INVARIANTS`, and `BPF_F_TOKEN_FD`).
const LOAD_FLAGS: u32 = 0xff | 1 << 16;

/// Bytes of a packet where a case names none.
const PACKET: usize = 64;

/// Reads a line.
///
/// # Errors
/// What is malformed about it.
pub fn parse(line: &Value) -> Result<Case, String> {
    let name = json::text(line, "name")?.unwrap_or_default().to_owned();
    let ty = prog_type(json::get(line, "prog_type").ok_or("prog_type: not there")?)?;
    let bytes = json::bytes(line, "insns")?.ok_or("insns: not there")?;
    let mut slots = match bytes.as_chunks() {
        (slots, []) => slots.iter().map(|&slot| RawInsn::from_le_bytes(slot)).collect::<Vec<_>>(),
        (_, rest) => return Err(format!("insns: {} bytes behind the last slot", rest.len())),
    };
    let mut maps = Maps::default();
    for (at, map) in json::list(line, "maps")?.iter().enumerate() {
        maps.add(map, ty).map_err(|why| format!("maps[{at}].{why}"))?;
    }
    let mut fixed = vec![false; slots.len()];
    for (at, fixup) in json::list(line, "fixups")?.iter().enumerate() {
        fix(&mut slots, &mut fixed, fixup, maps.specs.len()).map_err(|why| format!("fixups[{at}].{why}"))?;
    }
    let flags = json::word(line, "prog_flags", 0)?;
    let decoded = match flags & !LOAD_FLAGS {
        0 => encoding::decoded(&slots, &fixed),
        _ => Err(Refused { errno: EINVAL, line: String::new() }),
    };
    let malformed = decoded.as_ref().map_or_else(|_| BTreeMap::new(), |decoded| decoded.malformed.clone());
    let mut program = decoded.map(|decoded| Program::from_insns(&name, ty, decoded.insns, maps.specs.clone()));
    if let Ok(program) = &mut program {
        json::text(line, "license")?.unwrap_or("GPL").clone_into(&mut program.license);
        program.attach = attach(json::word(line, "expected_attach_type", 0)?);
        types(program, line)?;
    }
    for part in &mut maps.parts {
        part.maps.clone_from(&maps.specs);
    }
    let runs = match json::get(line, "runs") {
        None => vec![RunCase { data: vec![0; PACKET], context: None }],
        Some(_) => json::list(line, "runs")?.iter().map(run).collect::<Result<_, _>>()?,
    };
    Ok(Case {
        name,
        program,
        malformed,
        parts: maps.parts,
        entries: maps.entries,
        links: maps.links,
        flags,
        unprivileged: json::truth(line, "unpriv"),
        runs,
        expect: json::get(line, "expect").map(expect).transpose()?,
    })
}

impl Case {
    /// What engines take; `main` is the program as it runs.
    pub fn set(&self, main: Program) -> ProgramSet {
        ProgramSet { main, parts: self.parts.clone(), entries: self.entries.clone(), links: self.links.clone() }
    }
}

fn prog_type(value: &Value) -> Result<ProgType, String> {
    let found = ProgType::ALL.into_iter().find(|ty| match value {
        Value::String(name) => name == ty.name(),
        value => json::whole(value) == Some(u64::from(ty.number())),
    });
    found.ok_or_else(|| format!("prog_type: {value} is not one of socket_filter, sched_cls, sched_act, xdp"))
}

/// The kernel's numbers of what an XDP program may be attached to (`BPF_XDP_DEVMAP`, `BPF_XDP_CPUMAP`).
fn attach(number: u32) -> Attach {
    match number {
        33 => Attach::XdpDevmap,
        35 => Attach::XdpCpumap,
        _ => Attach::default(),
    }
}

fn run(value: &Value) -> Result<RunCase, String> {
    let data = json::bytes(value, "data")?.unwrap_or_else(|| vec![0; PACKET]);
    Ok(RunCase { data, context: json::bytes(value, "ctx")? })
}

fn expect(value: &Value) -> Result<Expect, String> {
    let numbers =
        |values: &[Value]| values.iter().map(|v| json::whole(v).ok_or("retvals: not a number".to_owned())).collect();
    Ok(Expect {
        verdict: json::text(value, "verdict")?.map(str::to_owned),
        errno: json::get(value, "errno").map(|_| json::number(value, "errno", 0)).transpose()?,
        errline: json::text(value, "errline")?.map(str::to_owned),
        retvals: json::get(value, "retvals").map(|_| numbers(json::list(value, "retvals")?)).transpose()?,
    })
}

/// Names a map in a wide load.
fn fix(slots: &mut [RawInsn], fixed: &mut [bool], fixup: &Value, maps: usize) -> Result<(), String> {
    let slot = json::number(fixup, "insn", 0)? as usize;
    let map = json::number(fixup, "map", 0)? as usize;
    let off = json::number(fixup, "off", 0)?;
    if map >= maps {
        return Err(format!("map: there is no map {map}"));
    }
    let Some([first, second]) = slots.get_mut(slot..).and_then(|rest| rest.first_chunk_mut()) else {
        return Err(format!("insn: there is no wide load at {slot}"));
    };
    if first.opcode != 0x18 {
        return Err(format!("insn: there is no wide load at {slot}"));
    }
    first.imm = map as i32;
    (first.src, second.imm) = match json::text(fixup, "kind")?.unwrap_or("fd") {
        "fd" => (1, 0),
        "value" => (2, off as i32),
        kind => return Err(format!("kind: {kind} is neither fd nor value")),
    };
    fixed[slot] = true;
    Ok(())
}

/// Type information and which type each function has.
fn types(program: &mut Program, line: &Value) -> Result<(), String> {
    let Some(bytes) = json::bytes(line, "btf")? else { return Ok(()) };
    program.btf = Some(Arc::new(Btf::parse(&bytes).map_err(|e| format!("btf: {e}"))?));
    let pair = |value: &Value| {
        let (start, id) = match value {
            Value::Array(pair) => (pair.first()?, pair.get(1)?),
            value => (value.get("insn_off")?, value.get("type_id")?),
        };
        Some((json::whole(start)? as usize, json::whole(id)? as u32))
    };
    let mut functions = Vec::new();
    for value in json::list(line, "func_info")? {
        let (start, id) = pair(value).ok_or("func_info: neither [slot, type] nor {insn_off, type_id}")?;
        let of_type = |btf: &Arc<Btf>| btf.name(btf.get(TypeId(id)).name).into_owned();
        let name = program.btf.as_ref().filter(|_| start > 0).map_or_else(|| program.name.clone(), of_type);
        functions.push(Function { btf: Some(TypeId(id)), ..Function::new(name, start) });
    }
    let mut told = ProgramInfo::default();
    let record = |f: &Function| FuncInfo { offset: f.start as u32, ty: f.btf.unwrap_or(TypeId(0)) };
    told.functions.list.extend(functions.iter().map(record));
    program.info = Some(Arc::new(told));
    functions.sort_by_key(|function| function.start);
    if functions.first().is_some_and(|first| first.start == 0) {
        program.functions = functions;
    }
    Ok(())
}

#[derive(Default)]
struct Maps {
    specs: Vec<MapSpec>,
    entries: Vec<Entry>,
    links: Vec<Link>,
    parts: Vec<Program>,
}

impl Maps {
    fn add(&mut self, value: &Value, ty: ProgType) -> Result<(), String> {
        let at = self.specs.len();
        let mut spec = spec(value)?;
        if spec.name.is_empty() {
            spec.name = format!("map{at}");
        }
        let mut entries = Vec::new();
        for entry in json::list(value, "init")? {
            let field = |name| Ok::<_, String>(json::bytes(entry, name)?.unwrap_or_default());
            entries.push(Entry { map: at, key: field("key")?, value: field("value")? });
        }
        // What neither programs nor, once it is frozen, user space may change is known to the verifier.
        const RDONLY_PROG: u32 = 1 << 7;
        match entries.first() {
            Some(only) if json::truth(value, "frozen") && spec.flags & RDONLY_PROG != 0 && spec.max_entries == 1 => {
                spec.initial = Some(only.value.clone());
            }
            _ => self.entries.extend(entries),
        }
        if let Some(Value::Object(slots)) = json::get(value, "progs") {
            for (slot, what) in slots {
                let slot = slot.parse().map_err(|_| format!("progs: {slot:?} is no slot"))?;
                self.links.push(Link { map: at, slot, part: Some(self.parts.len()) });
                self.parts.push(part(at, what, ty).ok_or("progs: neither a result nor a loop")?);
            }
        }
        self.specs.push(spec);
        Ok(())
    }
}

fn spec(value: &Value) -> Result<MapSpec, String> {
    let ty = match json::get(value, "type").ok_or("type: not there")? {
        Value::String(name) => {
            let name = name.strip_prefix("BPF_MAP_TYPE_").unwrap_or(name).to_lowercase();
            let found = MapType::NAMES.iter().position(|known| *known == name);
            found.ok_or_else(|| format!("type: there is no {name}"))? as u32
        }
        number => json::whole(number).and_then(|n| u32::try_from(n).ok()).ok_or("type: neither name nor number")?,
    };
    Ok(MapSpec {
        name: json::text(value, "name")?.unwrap_or_default().to_owned(),
        ty: MapType(ty),
        key_size: json::word(value, "key_size", 0)?,
        value_size: json::word(value, "value_size", 0)?,
        max_entries: json::word(value, "max_entries", 0)?,
        flags: json::word(value, "map_flags", 0)?,
        extra: json::number(value, "map_extra", 0)?,
        inner: json::get(value, "inner").map(spec).transpose().map_err(|why| format!("inner.{why}"))?.map(Box::new),
        ..MapSpec::default()
    })
}

/// A program that returns a number, or calls the slot `loop` of its map and returns `ret` where that fails.
fn part(map: usize, what: &Value, ty: ProgType) -> Option<Program> {
    let mov = |dst, imm| Insn::Mov { width: Width::W64, dst, src: Operand::Imm(imm), sext: None };
    let number = |value: &Value| value.as_i64().map(|n| n as i32);
    let insns = match what {
        Value::Object(fields) => vec![
            mov(Reg::R3, number(fields.get("loop")?)?),
            Insn::LoadImm64 { dst: Reg::R2, value: Wide::Map(MapIndex(map as u32)) },
            Insn::Pad,
            Insn::Call { callee: Callee::Helper(12) },
            mov(Reg::R0, number(fields.get("ret")?)?),
            Insn::Exit,
        ],
        result => vec![mov(Reg::R0, number(result)?), Insn::Exit],
    };
    Some(Program::from_insns("part", ty, insns, Vec::new()))
}
