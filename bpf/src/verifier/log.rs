//! The verifier's words: names of kinds, registers as the kernel's log shows them.

use std::fmt::Write;

use super::bounds::{Bounds, Range};
use super::explored::{Kind, Lender, SockKind};
use super::live_regs::LiveRegs;
use super::prove::{Setting, map_spec};
use super::state::{Added, PacketRange, StackByte, StackSlot, State, Value};
use super::verdict::Stop;
use crate::helpers;
use crate::insn::text::Names;
use crate::insn::{AluOp, Callee, Insn, Reg, Wide};
use crate::program::{MapIndex, Program};

/// The kernel's name of a kind.
pub(super) const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Uninit => "?",
        Kind::Scalar => "scalar",
        Kind::Ctx => "ctx",
        Kind::Packet => "pkt",
        Kind::PacketMeta => "pkt_meta",
        Kind::PacketEnd => "pkt_end",
        Kind::Stack { .. } => "fp",
        Kind::MapPtr(_) => "map_ptr",
        Kind::MapKey(_) => "map_key",
        Kind::MapValue(_) => "map_value",
        Kind::MapValueOrNull(_) => "map_value_or_null",
        Kind::Mem { lender: Lender::Caller | Lender::Dynptr, .. } => "mem",
        Kind::MemOrNull { lender: Lender::Caller | Lender::Dynptr, .. } => "mem_or_null",
        Kind::Mem { lender: Lender::RingBuffer, .. } => "ringbuf_mem",
        Kind::MemOrNull { lender: Lender::RingBuffer, .. } => "ringbuf_mem_or_null",
        Kind::Sock(SockKind::Common) => "sock_common",
        Kind::Sock(SockKind::Full) => "sock",
        Kind::Sock(SockKind::Tcp) => "tcp_sock",
        Kind::Sock(SockKind::Xdp) => "xdp_sock",
        Kind::SockOrNull(SockKind::Common) => "sock_common_or_null",
        Kind::SockOrNull(SockKind::Full) => "sock_or_null",
        Kind::SockOrNull(SockKind::Tcp) => "tcp_sock_or_null",
        Kind::SockOrNull(SockKind::Xdp) => "xdp_sock_or_null",
        Kind::Func(_) => "func",
        Kind::Dynptr(_) => "dynptr_ptr",
    }
}

/// The kernel's sign of an operation in its refusals, where signed and unsigned division look the same.
pub(super) const fn op_sign(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div | AluOp::Sdiv => "/=",
        AluOp::Mod | AluOp::Smod => "%=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Xor => "^=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Arsh => "s>>=",
    }
}

/// Signed, decimal if it fits 16 bits.
fn signed(v: i64) -> String {
    if i16::try_from(v).is_ok() { v.to_string() } else { format!("{v:#x}") }
}

/// Unsigned, decimal if it fits 16 bits.
fn unsigned(v: u64) -> String {
    if u16::try_from(v).is_ok() { v.to_string() } else { format!("{v:#x}") }
}

/// The ranges that say something, those with one value together: `smin=umin=1,smax=umax=5`.
fn ranges(b: &Bounds, parts: &mut Vec<String>) {
    // A 32-bit signed value is shown sign-extended only where it is shown in decimal.
    let low = |v: i64| if i16::try_from(v).is_ok() { v as u64 } else { Range::<32>::unsigned(v) };
    let (w, l) = (&b.wide, &b.low);
    let all = [
        ("smin", true, w.smin as u64, w.smin == i64::MIN),
        ("smax", true, w.smax as u64, w.smax == i64::MAX),
        ("umin", false, w.umin, w.umin == 0),
        ("umax", false, w.umax, w.umax == u64::MAX),
        ("smin32", true, low(l.smin), l.smin == Range::<32>::SMIN),
        ("smax32", true, low(l.smax), l.smax == Range::<32>::SMAX),
        ("umin32", false, l.umin, l.umin == 0),
        ("umax32", false, l.umax, l.umax == Range::<32>::UMAX),
    ];
    let mut shown = all.map(|(_, _, _, omit)| omit);
    for first in 0..all.len() {
        if shown[first] {
            continue;
        }
        let (name, is_signed, value, _) = all[first];
        let negative = |is_signed: bool, v: u64| is_signed && (v as i64) < 0;
        let mut part = format!("{name}=");
        // Every second entry is the same end of another range.
        for other in (first + 2..all.len()).step_by(2) {
            let (name, other_signed, v, _) = all[other];
            if !shown[other] && v == value && negative(other_signed, v) == negative(is_signed, value) {
                shown[other] = true;
                part += name;
                part += "=";
            }
        }
        part += &if is_signed { signed(value as i64) } else { unsigned(value) };
        parts.push(part);
    }
}

/// A register or spilled register as the log shows it; `depth` is the frame it is shown from.
pub(super) fn value(v: &Value, depth: usize, setting: Setting<'_>) -> String {
    let program = setting.program;
    let mark = if v.is_number() && (v.precise || setting.everything_matters()) { "P" } else { "" };
    if let Some(c) = v.constant() {
        return format!("{mark}{}", signed(c as i64));
    }
    let mut out = format!("{mark}{}", kind_name(v.kind));
    if let Kind::Stack { frame } = v.kind {
        if usize::from(frame) != depth {
            let _ = write!(out, "[{frame}]");
        }
        if let Some(off) = v.fixed_offset() {
            out += &signed(off);
            return out;
        }
    }
    let mut parts = Vec::new();
    if v.id != 0 {
        parts.push(if v.added == Added::No { format!("id={}", v.id) } else { format!("id={}{:+}", v.id, v.off) });
    }
    if v.reference != 0 {
        parts.push(format!("ref_obj_id={}", v.reference));
    }
    if let Kind::MapPtr(map) | Kind::MapKey(map) | Kind::MapValue(map) | Kind::MapValueOrNull(map) = v.kind
        && let Some(spec) = map_spec(program, map)
    {
        if !spec.name.is_empty() {
            parts.push(format!("map={}", spec.name));
        }
        parts.push(format!("ks={},vs={}", spec.key_size, spec.value_size));
    }
    if !v.is_number() && v.off != 0 {
        parts.push(format!("off={}", signed(i64::from(v.off))));
    }
    if v.kind.is_packet() {
        parts.push(match v.range {
            PacketRange::Bytes(n) => format!("r={n}"),
            PacketRange::AtEnd => format!("r={}", unsigned(-1i64 as u64)),
            PacketRange::BeyondEnd => format!("r={}", unsigned(-2i64 as u64)),
        });
    }
    if let Kind::Mem { size, .. } | Kind::MemOrNull { size, .. } = v.kind {
        parts.push(format!("sz={}", unsigned(u64::from(size))));
    }
    if let Kind::Dynptr(kind) = v.kind {
        parts.push(format!("type={}", kind.name()));
    }
    match v.var.constant() {
        Some(0) => {}
        Some(c) => parts.push(format!("imm={}", signed(c as i64))),
        None => {
            ranges(&v.var, &mut parts);
            if !v.var.bits.is_unknown() {
                parts.push(format!("var_off={}", v.var.bits));
            }
        }
    }
    format!("{out}({})", parts.join(","))
}

fn slot(slot: &StackSlot, index: usize, depth: usize, setting: Setting<'_>) -> Option<String> {
    let at = (index + 1) * 8;
    if let Some(half) = slot.dynptr() {
        return dynptr(half, at);
    }
    if slot.bytes.iter().all(|b| *b == StackByte::Invalid) {
        return None;
    }
    let letter = |b: &StackByte| match b {
        StackByte::Invalid => '?',
        StackByte::Misc => 'm',
        StackByte::Zero => '0',
        StackByte::Spill => 'r',
        StackByte::Dynptr => 'd',
    };
    let letters: String = slot.bytes.iter().rev().map(letter).collect();
    let what = if slot.is_spill() {
        // What lies above a spill of part of the slot, and the spill.
        format!("{}{}", letters.split('r').next().unwrap_or(""), value(&slot.spilled, depth, setting))
    } else {
        letters
    };
    Some(format!("fp-{at}={what}"))
}

/// A dynamic pointer, at its lower half.
fn dynptr(half: &Value, at: usize) -> Option<String> {
    let Kind::Dynptr(kind) = half.kind else { return None };
    if half.off != 0 {
        return None;
    }
    let mut parts = vec![format!("id={}", half.id)];
    if half.reference != 0 {
        parts.push(format!("ref_id={}", half.reference));
    }
    // Linux shows the mark of the lower half under this name.
    parts.push("dynptr_id=1".to_owned());
    Some(format!("fp-{at}=dynptr_{}({})", kind.name(), parts.join(",")))
}

/// Registers and stack slots to show, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub regs: u16,
    pub slots: u64,
}

impl Shown {
    pub(super) const NOTHING: Shown = Shown { regs: 0, slots: 0 };
    pub(super) const ALL: Shown = Shown { regs: u16::MAX, slots: u64::MAX };
}

/// The running function's registers and stack on one line, each with a space before it.
pub(super) fn state(state: &State, shown: Shown, setting: Setting<'_>) -> String {
    frame(state, state.depth(), shown, setting)
}

/// A frame's registers and stack on one line, each with a space before it.
pub(super) fn frame(state: &State, depth: usize, shown: Shown, setting: Setting<'_>) -> String {
    let frame = &state.frames[depth];
    let mut out = if depth == 0 { String::new() } else { format!(" frame{depth}:") };
    for reg in Reg::all().filter(|r| shown.regs & 1 << r.index() != 0 && frame.reg(*r).kind != Kind::Uninit) {
        let _ = write!(out, " R{}={}", reg.index(), value(frame.reg(reg), depth, setting));
    }
    for (i, s) in frame.stack.iter().enumerate().filter(|(i, _)| shown.slots >> i & 1 == 1) {
        if let Some(text) = slot(s, i, depth, setting) {
            let _ = write!(out, " {text}");
        }
    }
    let held: Vec<String> =
        state.references.iter().map(|r| r.id).chain(state.lock.map(|l| l.id)).map(|id| id.to_string()).collect();
    if !held.is_empty() {
        let _ = write!(out, " refs={}", held.join(","));
    }
    if frame.callback.is_some() {
        out += if frame.is_async { " async_cb" } else { " cb" };
    }
    out
}

/// What the log adds where only a mispredicted branch leads.
pub(super) const fn speculation(state: &State) -> &'static str {
    if state.speculative { " (speculative execution)" } else { "" }
}

/// Bytes after which a log takes no more; a walk of a million instructions would fill memory.
const LONGEST: usize = 16 << 20;

/// The log of an exploration, as Linux writes it: at level 1 the path that was refused, at level 2 every path.
#[derive(Debug)]
pub(super) struct Log {
    level: u8,
    text: String,
    /// Where the last line with an instruction ends and how long it is, while nothing follows it.
    last_insn: Option<(usize, usize)>,
    /// The line of source shown last, by its place in the program's.
    last_line: Option<usize>,
    /// What changed or was looked at since the last state was shown.
    pub touched: Shown,
}

impl Log {
    pub(super) fn new(level: u8) -> Self {
        // 4 asks for the closing lines alone.
        Self { level: level & 3, text: String::new(), last_insn: None, last_line: None, touched: Shown::ALL }
    }

    /// Whether anything is written: the level asks for it, and the log is not as long as it may get.
    pub(super) fn is_on(&self) -> bool {
        self.level > 0 && self.text.len() < LONGEST
    }

    /// Whether every path is written down.
    pub(super) fn has_everything(&self) -> bool {
        self.level & 2 != 0 && self.is_on()
    }

    /// Everything is to be shown with the next state.
    pub(super) fn touch_all(&mut self) {
        self.touched = Shown::ALL;
    }

    /// Where the log stands, to come back to when a path ended well.
    pub(super) fn position(&self) -> usize {
        self.text.len()
    }

    /// A path ended well: at level 1 it is forgotten.
    pub(super) fn rewind(&mut self, position: usize) {
        if self.level & 2 == 0 {
            self.text.truncate(position);
            self.last_insn = None;
        }
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: &str) {
        if self.is_on() {
            self.text += line;
            self.text.push('\n');
        }
    }

    /// Why a path ended.
    pub(super) fn stop(&mut self, stop: &Stop) {
        if let Stop::Refused(refusal) = stop {
            refusal.lines.iter().for_each(|line| self.line(line));
        }
    }

    /// Where functions start.
    pub(super) fn functions(&mut self, program: &Program) {
        if self.has_everything() {
            for (i, function) in program.functions.iter().enumerate() {
                self.line(&format!("func#{i} @{}", function.start));
            }
        }
    }

    /// What is known before the walk: where functions start, which registers are alive where, and the cycles there are.
    pub(super) fn header(&mut self, setting: Setting<'_>, live: &[LiveRegs], cycles: &[u32], opcodes: &[u8]) {
        if !self.has_everything() {
            return;
        }
        let program = setting.program;
        self.functions(program);
        self.line("Live regs before insn:");
        let mut slot = 0;
        while let Some(i) = program.insns.get(slot) {
            let regs: String =
                (0..10).map(|r| if live[slot].any >> r & 1 == 1 { char::from(b'0' + r) } else { '.' }).collect();
            let cycle = if cycles[slot] == 0 { "    ".to_owned() } else { format!("{:3} ", cycles[slot]) };
            let opcode = opcodes.get(slot).copied().unwrap_or(0);
            self.line(&format!("{cycle}{slot:3}: {regs} ({opcode:02x}) {}", insn(setting, slot)));
            slot += i.slots();
        }
    }

    /// A function is entered, or left.
    pub(super) fn crossing(&mut self, state_now: &State, from: (&str, usize), to: (&str, usize), setting: Setting<'_>) {
        if self.is_on() {
            for (what, depth) in [from, to] {
                self.line(&format!("{what}:"));
                self.line(&frame(state_now, depth, Shown::ALL, setting));
            }
        }
    }

    /// A path that was put off is taken up.
    pub(super) fn resumed(&mut self, from: usize, to: usize, state_now: &State, setting: Setting<'_>) {
        if self.has_everything() {
            let how = speculation(state_now);
            self.line(&format!("\nfrom {from} to {to}{how}:{}", state(state_now, Shown::ALL, setting)));
        }
    }

    /// An instruction is about to be walked.
    pub(super) fn insn(&mut self, slot: usize, opcode: u8, state: &State, setting: Setting<'_>) {
        let program = setting.program;
        if self.is_on() {
            if self.touched != Shown::NOTHING {
                self.state(slot, state, setting);
            }
            self.source(slot, program);
            let line = format!("{slot}: ({opcode:02x}) {}", insn(setting, slot));
            self.line(&line);
            self.last_insn = Some((self.text.len(), line.len() + 1));
        }
    }

    /// Shows the line of source of an instruction, if it is another than before. Linux knows only lines that it was told.
    fn source(&mut self, slot: usize, program: &Program) {
        if program.info.as_ref().is_none_or(|told| told.lines.list.is_empty()) {
            return;
        }
        let Some(at) = program.lines.partition_point(|l| l.slot <= slot).checked_sub(1) else { return };
        if self.last_line.replace(at) == Some(at) {
            return;
        }
        let line = &program.lines[at].line;
        let file = line.file.rsplit('/').next().unwrap_or_default();
        self.line(&format!("; {} @ {file}:{}", line.text.trim_start(), line.line));
    }

    /// Shows what was touched, behind the instruction if that is the last line.
    pub(super) fn state(&mut self, slot: usize, state_now: &State, setting: Setting<'_>) {
        if !self.is_on() {
            return;
        }
        match self.last_insn {
            Some((end, len)) if end == self.text.len() => {
                self.text.pop();
                let column = (len + 4).max(40).next_multiple_of(8);
                self.text += &" ".repeat(column - len - 1);
                self.text.push(';');
            }
            _ => {
                let _ = write!(self.text, "{slot}:");
            }
        }
        self.line(&state(state_now, self.touched, setting));
        self.touched = Shown::NOTHING;
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Names that occur in one instruction.
struct InsnNames<'a> {
    program: &'a Program,
    helper: Option<String>,
}

impl Names for InsnNames<'_> {
    fn helper(&self, _: u32) -> Option<&str> {
        self.helper.as_deref()
    }

    fn map(&self, map: MapIndex) -> Option<&str> {
        self.program.maps.get(map.0 as usize).map(|m| m.name.as_str())
    }
}

/// The instruction at a slot as the verifier prints it.
pub(super) fn insn(setting: Setting<'_>, slot: usize) -> String {
    let program = setting.program;
    // Who may not see addresses is shown none of a map.
    if let Insn::LoadImm64 { dst, value: Wide::Map(_) | Wide::MapValue { .. } } = program.insns[slot]
        && !setting.options.privileges.leaks_pointers()
    {
        return format!("r{} = 0x0", dst.index());
    }
    text(program, slot)
}

/// The same for who may see what maps are called.
pub(super) fn text(program: &Program, slot: usize) -> String {
    let insn = &program.insns[slot];
    let helper = match insn {
        Insn::Call { callee: Callee::Helper(id) } => helpers::name(*id),
        _ => None,
    };
    insn.verifier(&InsnNames { program, helper }).to_string()
}
