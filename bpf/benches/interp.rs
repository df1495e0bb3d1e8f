//! The interpreter beside sbpf's, rbpf's and uBPF's on six programs, from an arithmetic loop to a packet classifier of 17
//! instructions.
//!
//! All run the same instructions; only how the packet is reached differs: here a 32-bit load from `struct xdp_md` yields
//! its address, there a 64-bit load from a header in front of it. For us a run includes loading packet and context. We and
//! sbpf count instructions, the other two do not.
//!
//! uBPF is in C: `UBPF_RUNNER` names the program that `benches/ubpf.c` is built into beside it; without, it is left out.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bpf::env::FixedEnv;
use bpf::insn::{AluOp, ByteOrder, Cond, Insn, Operand, Reg, Size, Width, encode_bytes};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, RunInput, XdpFields};
use bpf::program::{ProgType, Program};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use solana_sbpf::aligned_memory::AlignedMemory;
use solana_sbpf::ebpf;
use solana_sbpf::elf::Executable;
use solana_sbpf::memory_region::{MemoryMapping, MemoryRegion};
use solana_sbpf::program::{BuiltinProgram, FunctionRegistry, SBPFVersion};
use solana_sbpf::vm::{Config, ContextObject, EbpfVm};

const R0: Reg = Reg::R0;
const R1: Reg = Reg::R1;
const R2: Reg = Reg::R2;
const R3: Reg = Reg::R3;
const R4: Reg = Reg::R4;
const R5: Reg = Reg::R5;
const R10: Reg = Reg::R10;
const W64: Width = Width::W64;
const W32: Width = Width::W32;

fn alu(width: Width, op: AluOp, dst: Reg, src: Operand) -> Insn {
    Insn::Alu { width, op, dst, src }
}

fn mov(dst: Reg, src: Operand) -> Insn {
    Insn::Mov { width: W64, dst, src, sext: None }
}

fn imm(value: i32) -> Operand {
    Operand::Imm(value)
}

fn reg(reg: Reg) -> Operand {
    Operand::Reg(reg)
}

fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::Load { size, sext: false, dst, base, off }
}

fn store(base: Reg, off: i16, src: Reg) -> Insn {
    Insn::Store { size: Size::D, base, off, src: reg(src) }
}

fn branch(cond: Cond, dst: Reg, src: Operand, off: i16) -> Insn {
    Insn::Branch { width: W64, cond, dst, src, off }
}

/// `start`, then `body` 1,000 times with R1 counting down, then exit.
fn repeated(start: &[Insn], body: &[Insn]) -> Vec<Insn> {
    let mut insns = [start, &[mov(R1, imm(1000))], body].concat();
    let back = -(body.len() as i16) - 2;
    insns.extend([alu(W64, AluOp::Sub, R1, imm(1)), branch(Cond::Ne, R1, imm(0), back), Insn::Exit]);
    insns
}

/// R2 = start of the packet, R3 = its end.
type Entry = [Insn; 2];

fn programs(entry: Entry) -> Vec<(&'static str, Vec<Insn>)> {
    let arithmetic = |width| {
        vec![
            alu(width, AluOp::Add, R0, imm(7)),
            alu(width, AluOp::Mul, R0, imm(13)),
            alu(width, AluOp::Xor, R0, reg(R1)),
            alu(width, AluOp::Lsh, R2, imm(3)),
            alu(width, AluOp::Or, R2, reg(R0)),
            alu(width, AluOp::And, R2, imm(0xffff)),
            alu(width, AluOp::Add, R3, reg(R2)),
            alu(width, AluOp::Rsh, R3, imm(1)),
        ]
    };
    let zeros = [mov(R0, imm(0)), mov(R2, imm(1)), mov(R3, imm(2))];
    let memory = vec![
        store(R10, -8, R0),
        alu(W64, AluOp::Add, R0, reg(R1)),
        store(R10, -16, R0),
        load(Size::D, R2, R10, -8),
        load(Size::W, R3, R10, -16),
        alu(W64, AluOp::Add, R0, reg(R2)),
        alu(W64, AluOp::Xor, R0, reg(R3)),
    ];
    // Three branches on the bits of a generator's state.
    let branches = vec![
        mov(R3, reg(R0)),
        alu(W64, AluOp::Lsh, R3, imm(13)),
        alu(W64, AluOp::Xor, R0, reg(R3)),
        mov(R3, reg(R0)),
        alu(W64, AluOp::Rsh, R3, imm(7)),
        alu(W64, AluOp::Xor, R0, reg(R3)),
        branch(Cond::Set, R0, imm(1), 1),
        alu(W64, AluOp::Add, R2, imm(1)),
        branch(Cond::Gt, R0, reg(R2), 1),
        alu(W64, AluOp::Add, R2, imm(3)),
        branch(Cond::Slt, R0, imm(0), 1),
        alu(W64, AluOp::Add, R2, imm(5)),
    ];
    // The packet's 16-bit words, summed until its end.
    let mut sum = entry.to_vec();
    sum.extend([
        mov(R0, imm(0)),
        mov(R4, reg(R2)),
        alu(W64, AluOp::Add, R4, imm(2)),
        branch(Cond::Gt, R4, reg(R3), 4),
        load(Size::H, R5, R2, 0),
        alu(W64, AluOp::Add, R0, reg(R5)),
        mov(R2, reg(R4)),
        Insn::Jump { off: -6, long: false },
        Insn::Exit,
    ]);
    // An IPv4 packet to port 443 or 80 of TCP or UDP is dropped (1), all else passes (2): 17 instructions are executed.
    let mut classifier = entry.to_vec();
    classifier.extend([
        mov(R0, imm(2)),
        mov(R4, reg(R2)),
        alu(W64, AluOp::Add, R4, imm(42)),
        branch(Cond::Gt, R4, reg(R3), 11),
        load(Size::H, R5, R2, 12),
        branch(Cond::Ne, R5, imm(8), 9),
        load(Size::B, R5, R2, 23),
        branch(Cond::Eq, R5, imm(6), 1),
        branch(Cond::Ne, R5, imm(17), 6),
        load(Size::H, R5, R2, 36),
        Insn::End { order: ByteOrder::Be, dst: R5, bits: 16 },
        branch(Cond::Eq, R5, imm(443), 1),
        branch(Cond::Ne, R5, imm(80), 2),
        mov(R0, imm(1)),
        Insn::Exit,
        Insn::Exit,
    ]);
    vec![
        ("alu64 loop", repeated(&zeros, &arithmetic(W64))),
        ("alu32 loop", repeated(&zeros, &arithmetic(W32))),
        ("stack loop", repeated(&zeros, &memory)),
        ("branch loop", repeated(&[mov(R0, imm(88_172_645)), mov(R2, imm(0))], &branches)),
        ("packet sum", sum),
        ("classifier", classifier),
    ]
}

/// 1,000 bytes: IPv4 with UDP to port 80.
fn packet() -> Vec<u8> {
    let mut packet: Vec<u8> = (0..1000u32).map(|i| (i * 31) as u8).collect();
    packet[12..14].copy_from_slice(&[8, 0]);
    packet[23] = 17;
    packet[36..38].copy_from_slice(&[0, 80]);
    packet
}

/// sbpf's meter.
struct Meter(u64);

impl ContextObject for Meter {
    fn consume(&mut self, amount: u64) {
        self.0 = self.0.saturating_sub(amount);
    }

    fn get_remaining(&self) -> u64 {
        self.0
    }
}

const BUDGET: u64 = 1_000_000;

/// Runs `each` with sbpf ready to execute the program; `each` gets a function that returns R0 and the instructions.
fn with_sbpf(insns: &[Insn], packet: &[u8], each: impl FnOnce(&mut dyn FnMut() -> (u64, u64))) {
    let config = Config {
        enabled_sbpf_versions: SBPFVersion::V0..=SBPFVersion::V0,
        enable_instruction_meter: true,
        enable_stack_frame_gaps: false,
        ..Config::default()
    };
    let loader = Arc::new(BuiltinProgram::new_loader(config.clone()));
    let bytes = encode_bytes(insns).unwrap();
    let executable =
        Executable::<Meter>::new_from_text_bytes(&bytes, loader.clone(), SBPFVersion::V0, FunctionRegistry::default())
            .unwrap();
    let data = ebpf::MM_INPUT_START + 16;
    let mut input = [data, data + packet.len() as u64].map(u64::to_le_bytes).concat();
    input.extend_from_slice(packet);
    let mut stack = AlignedMemory::<{ ebpf::HOST_ALIGN }>::zero_filled(config.stack_size());
    let regions = vec![
        executable.get_ro_region(),
        MemoryRegion::new_writable(stack.as_slice_mut(), ebpf::MM_STACK_START),
        MemoryRegion::new_readonly(&[], ebpf::MM_HEAP_START),
        MemoryRegion::new_writable(&mut input, ebpf::MM_INPUT_START),
    ];
    let mapping = MemoryMapping::new(regions, &config, SBPFVersion::V0).unwrap();
    let mut meter = Meter(BUDGET);
    let mut vm = EbpfVm::new(loader, SBPFVersion::V0, &mut meter, mapping, config.stack_size());
    vm.registers[1] = ebpf::MM_INPUT_START;
    each(&mut || {
        vm.context_object_pointer.0 = BUDGET;
        let (retired, result) = vm.execute_program(&executable, true);
        (result.unwrap(), retired)
    });
}

/// Runs `each` with rbpf ready to execute the program.
fn with_rbpf(insns: &[Insn], packet: &[u8], each: impl FnOnce(&mut dyn FnMut() -> u64)) {
    let bytes = encode_bytes(insns).unwrap();
    let vm = rbpf::EbpfVmMbuff::new(Some(&bytes)).unwrap();
    let start = packet.as_ptr() as u64;
    let header = [start, start + packet.len() as u64].map(u64::to_le_bytes).concat();
    each(&mut || vm.execute_program(black_box(packet), &header).unwrap());
}

/// uBPF in a process of its own.
struct Ubpf {
    process: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl Ubpf {
    fn start(runner: &str, insns: &[Insn], packet: &[u8]) -> Ubpf {
        let piped = Command::new(runner).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = piped.unwrap_or_else(|e| panic!("{runner}: {e}"));
        let mut ask = process.stdin.take().unwrap();
        let answer = BufReader::new(process.stdout.take().unwrap());
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        writeln!(ask, "{}\n{}", hex(&encode_bytes(insns).unwrap()), hex(packet)).unwrap();
        Ubpf { process, ask, answer }
    }

    /// R0, and the time of all runs.
    fn run(&mut self, runs: u64) -> (u64, Duration) {
        writeln!(self.ask, "{runs}").unwrap();
        let mut line = String::new();
        self.answer.read_line(&mut line).unwrap();
        let (r0, time) = line.trim().split_once(' ').expect("R0 and nanoseconds");
        (r0.parse().unwrap(), Duration::from_nanos(time.parse().unwrap()))
    }
}

impl Drop for Ubpf {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn compare(c: &mut Criterion) {
    let runner = std::env::var("UBPF_RUNNER").ok();
    let packet = packet();
    let here = programs([load(Size::W, R2, R1, 0), load(Size::W, R3, R1, 4)]);
    let there = programs([load(Size::D, R2, R1, 0), load(Size::D, R3, R1, 8)]);
    let mut engine = Engine::new(EngineConfig { budget: BUDGET, ..EngineConfig::default() }, &[]).unwrap();
    let mut env = FixedEnv::default();
    for ((name, ours), (_, theirs)) in here.into_iter().zip(there) {
        let code = Code::new(&Program::from_insns(name, ProgType::Xdp, ours, vec![])).unwrap();
        let used = if name == "classifier" { &packet[..64] } else { &packet[..] };
        let context = ContextInput::Xdp(XdpFields::default());
        let mut run = || engine.run(&code, RunInput { context, packet: black_box(used) }, &mut env, &mut NoObserver);
        let outcome = run();
        assert_eq!(outcome.fault, None);
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(outcome.retired));
        group.bench_function(BenchmarkId::from_parameter("bpf"), |b| b.iter(&mut run));
        with_sbpf(&theirs, used, |sbpf| {
            assert_eq!(sbpf(), (outcome.retval, outcome.retired), "{name}");
            group.bench_function(BenchmarkId::from_parameter("sbpf"), |b| b.iter(&mut *sbpf));
        });
        with_rbpf(&theirs, used, |rbpf| {
            assert_eq!(rbpf(), outcome.retval, "{name}");
            group.bench_function(BenchmarkId::from_parameter("rbpf"), |b| b.iter(&mut *rbpf));
        });
        if let Some(runner) = &runner {
            let mut ubpf = Ubpf::start(runner, &theirs, used);
            assert_eq!(ubpf.run(1).0, outcome.retval, "{name}");
            group.bench_function(BenchmarkId::from_parameter("ubpf"), |b| b.iter_custom(|runs| ubpf.run(runs).1));
        }
        group.finish();
    }
}

criterion_group!(benches, compare);
criterion_main!(benches);
