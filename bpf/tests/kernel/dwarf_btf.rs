//! BTF made of DWARF, held against the compiler's own BTF of the same source, against `pahole`'s, and against the running
//! kernel.

use crate::support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use bpf::btf::check::check;
use bpf::btf::{Btf, Kind, TypeId};
use bpf::object::{TypeSource, types};
use bpf::program::Endian;
use support::kernel::{Kernel, kernel};

fn both(file: &Path) -> (Btf, Btf) {
    let bytes = std::fs::read(file).unwrap();
    let read = |source| types(&bytes, Some(source)).unwrap_or_else(|e| panic!("{}: {e}", file.display())).btf;
    (read(TypeSource::Dwarf), read(TypeSource::Btf))
}

/// Two sets of types being compared.
struct Same<'a> {
    ours: &'a Btf,
    theirs: &'a Btf,
    what: String,
    /// `pahole` says of every function that it is static, and makes one dimension of several.
    pahole: bool,
    seen: BTreeSet<(TypeId, TypeId)>,
}

impl Same<'_> {
    /// What is behind tags, which DWARF says elsewhere.
    fn bare(btf: &Btf, mut id: TypeId) -> TypeId {
        while let Kind::TypeTag(to) = btf.get(id).kind {
            id = to;
        }
        id
    }

    fn same(&mut self, a: TypeId, b: TypeId) {
        let (a, b) = (Self::bare(self.ours, a), Self::bare(self.theirs, b));
        if !self.seen.insert((a, b)) {
            return;
        }
        let (ours, theirs) = (self.ours, self.theirs);
        let (x, y) = (ours.get(a), theirs.get(b));
        let at = format!("{}: [{}] {:?} and [{}] {:?}", self.what, a.0, x.kind, b.0, y.kind);
        assert_eq!(ours.name(x.name), theirs.name(y.name), "{at}");
        match (&x.kind, &y.kind) {
            (Kind::Void, Kind::Void) => {}
            (Kind::Int { .. }, Kind::Int { .. }) | (Kind::Float { .. }, Kind::Float { .. }) => {
                assert_eq!(x.kind, y.kind, "{at}");
            }
            (Kind::Ptr(x), Kind::Ptr(y))
            | (Kind::Typedef(x), Kind::Typedef(y))
            | (Kind::Volatile(x), Kind::Volatile(y))
            | (Kind::Const(x), Kind::Const(y))
            | (Kind::Restrict(x), Kind::Restrict(y)) => self.same(*x, *y),
            (Kind::Array { element: x, len: n, .. }, Kind::Array { element: y, len: m, .. }) => {
                let (mut x, mut n) = (*x, *n);
                while let (true, Kind::Array { element, len, .. }) = (self.pahole, &ours.get(x).kind) {
                    (x, n) = (*element, n * len);
                }
                assert_eq!(n, *m, "{at}");
                self.same(x, *y);
            }
            (Kind::Struct { size: n, members: xs }, Kind::Struct { size: m, members: ys })
            | (Kind::Union { size: n, members: xs }, Kind::Union { size: m, members: ys }) => {
                assert_eq!((n, xs.len()), (m, ys.len()), "{at}");
                for (x, y) in xs.iter().zip(ys) {
                    assert_eq!(ours.name(x.name), theirs.name(y.name), "{at}");
                    let name = ours.name(x.name);
                    assert_eq!((x.bit_offset, x.bits), (y.bit_offset, y.bits), "{at}, {name}");
                    self.same(x.ty, y.ty);
                }
            }
            (Kind::Enum { size: n, values: xs, .. }, Kind::Enum { size: m, values: ys, .. }) => {
                let mask = u64::MAX >> (64 - 8 * n);
                let values = |btf: &Btf, of: &[bpf::btf::EnumValue]| -> Vec<(String, u64)> {
                    of.iter().map(|v| (btf.name(v.name).into_owned(), v.value & mask)).collect()
                };
                assert_eq!((n, values(ours, xs)), (m, values(theirs, ys)), "{at}");
            }
            // The compiler leaves out what only a pointer leads to.
            (Kind::Struct { .. }, Kind::Fwd { is_union: false })
            | (Kind::Union { .. }, Kind::Fwd { is_union: true }) => {}
            (Kind::Fwd { .. }, Kind::Fwd { .. }) => assert_eq!(x.kind, y.kind, "{at}"),
            (Kind::Func { linkage: l, proto: x }, Kind::Func { linkage: k, proto: y }) => {
                assert!(self.pahole || l == k, "{at}");
                self.same(*x, *y);
            }
            (Kind::FuncProto { result: r, params: xs }, Kind::FuncProto { result: s, params: ys }) => {
                assert_eq!(xs.len(), ys.len(), "{at}");
                for (x, y) in xs.iter().zip(ys) {
                    assert_eq!(ours.name(x.name), theirs.name(y.name), "{at}");
                    self.same(x.ty, y.ty);
                }
                self.same(*r, *s);
            }
            _ => panic!("{at}"),
        }
    }
}

/// Types with a name that others can know them by.
fn is_named(btf: &Btf, id: TypeId) -> bool {
    let ty = btf.get(id);
    !btf.name(ty.name).is_empty()
        && matches!(
            ty.kind,
            Kind::Struct { .. } | Kind::Union { .. } | Kind::Enum { .. } | Kind::Typedef(_) | Kind::Func { .. }
        )
}

fn class(kind: &Kind) -> u8 {
    match kind {
        Kind::Struct { .. } => 0,
        Kind::Union { .. } => 1,
        Kind::Enum { .. } => 2,
        Kind::Typedef(_) => 3,
        _ => 4,
    }
}

/// Every named type of theirs is among ours and has the same layout. Says how many there are.
fn covers(ours: &Btf, theirs: &Btf, what: &str) -> usize {
    let mut count = 0;
    let pahole = what.ends_with("pahole");
    let mut same = Same { ours, theirs, what: what.to_owned(), pahole, seen: BTreeSet::new() };
    for (id, ty) in theirs.iter().filter(|(id, _)| is_named(theirs, *id)) {
        // Functions from outside are declarations, and DWARF has none of functions without a name for what they take.
        if matches!(&ty.kind, Kind::Func { linkage: bpf::btf::FuncLinkage::Extern, .. }) {
            continue;
        }
        let name = theirs.name(ty.name);
        let found = ours.iter().find(|(_, t)| class(&t.kind) == class(&ty.kind) && ours.name(t.name) == name);
        let (own, _) = found.unwrap_or_else(|| panic!("{what}: {name} {:?} is missing", ty.kind));
        same.same(own, id);
        count += 1;
    }
    count
}

/// Our own check takes them, the kernel does, and reading them again gives the same.
fn is_sound(btf: &Btf, kernel: Option<Kernel>, what: &str) {
    let bytes = btf.to_bytes(Endian::Little).unwrap();
    check(&bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(Btf::parse(&bytes).unwrap() == *btf, "{what}");
    assert!(Btf::parse(&btf.to_bytes(Endian::Big).unwrap()).unwrap() == *btf, "{what}");
    if let Some(kernel) = kernel {
        kernel.check_btf(&bytes).unwrap_or_else(|e| panic!("{what}: {} {}", e.errno, e.log));
    }
}

fn scenarios() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs");
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|p| p.to_string_lossy().ends_with(".bpf.o")).collect();
    files.sort();
    files
}

/// `pahole`'s types of an object, made of its DWARF.
fn pahole(file: &Path) -> Option<Btf> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.pahole.btf", file.file_name()?.display()));
    let ran =
        Command::new("pahole").arg(format!("--btf_encode_detached={}", out.display())).arg("-J").arg(file).output();
    if !ran.ok()?.status.success() {
        return None;
    }
    Some(Btf::parse(&std::fs::read(out).ok()?).unwrap())
}

#[test]
fn types_of_the_scenarios_are_the_compilers() {
    let kernel = kernel("types_of_the_scenarios_are_the_compilers, the kernel's part");
    let (mut named, mut witnessed) = (0, 0);
    for file in scenarios() {
        let what = file.file_name().unwrap().to_string_lossy().into_owned();
        let (ours, theirs) = both(&file);
        is_sound(&ours, kernel, &what);
        named += covers(&ours, &theirs, &what);
        if let Some(pahole) = pahole(&file) {
            witnessed += covers(&ours, &pahole, &format!("{what}, pahole"));
        }
    }
    assert!(named >= 50, "{named} named types");
    if witnessed == 0 {
        eprintln!("skipped: types_of_the_scenarios_are_the_compilers, pahole's part: pahole is not installed");
    }
}

/// A section that the compiler wrote and one that is written here of the same types: the same bytes.
#[test]
fn sections_are_written_as_they_were_read() {
    for file in scenarios() {
        let bytes = std::fs::read(&file).unwrap();
        let btf = types(&bytes, Some(TypeSource::Btf)).unwrap().btf;
        let written = btf.to_bytes(Endian::Little).unwrap();
        assert!(bytes.windows(written.len()).any(|w| w == written), "{}", file.display());
        // Nothing is in there twice, but for the prototypes that clang writes for each function anew.
        let others = |btf: &Btf| btf.types().iter().filter(|ty| !matches!(ty.kind, Kind::FuncProto { .. })).count();
        assert_eq!(others(&btf.unified()), others(&btf), "{}", file.display());
    }
}

/// Compiles a source with types in both forms; `None` where there is no compiler.
fn compile(name: &str, source: &str, target: &str, version: u32) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (text, object) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.{target}.{version}.o")));
    std::fs::write(&text, source).unwrap();
    let flags = ["-O2", "-g", "-std=gnu11", "-w", "-mcpu=v3", "-fno-standalone-debug", "-c"];
    let output = Command::new("clang-19")
        .args(["-target", target, &format!("-gdwarf-{version}")])
        .args(flags)
        .arg(&text)
        .arg("-o")
        .arg(&object)
        .output()
        .ok()?;
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Some(object)
}

#[test]
fn generated_types_are_the_compilers() {
    let kernel = kernel("generated_types_are_the_compilers, the kernel's part");
    let cases = std::env::var("DWARF_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4u64);
    let first = std::env::var("DWARF_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0u64);
    let (mut named, mut witnessed) = (0, 0);
    for seed in first..first + cases {
        let (target, version) = (["bpfel", "bpfeb"][seed as usize % 3 / 2], 3 + (seed / 2 % 3) as u32);
        let source = support::c_types::source(seed, 40);
        let Some(file) = compile(&format!("types{seed}"), &source, target, version) else {
            eprintln!("skipped: generated_types_are_the_compilers: clang-19 is not installed");
            return;
        };
        let what = format!("seed {seed}, {target}, DWARF {version}");
        let (ours, theirs) = both(&file);
        is_sound(&ours, kernel, &what);
        named += covers(&ours, &theirs, &what);
        // It reads the machine's own order alone.
        if let Some(pahole) = pahole(&file).filter(|_| target == "bpfel") {
            witnessed += covers(&ours, &pahole, &format!("{what}, pahole"));
        }
        std::fs::remove_file(file).unwrap();
    }
    println!("{named} named types, {witnessed} of pahole's");
    assert!(named as u64 >= 40 * cases, "{named} named types");
}

/// What `pahole` shows of the structures and unions of a file, those without members left out: of each its size, and
/// the places of its members, with holes and padding in between, as words.
fn shown_by_pahole(file: &Path) -> Option<Vec<(String, Vec<String>)>> {
    let output = Command::new("pahole").args(["-F", "btf"]).arg(file).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if !line.starts_with(['\t', '}']) && line.ends_with('{') {
            found.push((line.trim_end_matches(" {").to_owned(), Vec::new()));
            continue;
        }
        // What stands deeper belongs to a structure without a name.
        let Some(line) = line.strip_prefix('\t').filter(|line| !line.starts_with('\t')) else { continue };
        let Some((before, comment)) = line.rsplit_once("/*") else { continue };
        let (_, parts) = found.last_mut()?;
        let words: Vec<&str> = comment.trim_end_matches("*/").split([' ', ',']).filter(|w| !w.is_empty()).collect();
        match words[..] {
            // A mark stands before the number.
            [_, number, "byte" | "bytes", "hole", ..] => parts.push(format!("hole {number}")),
            [_, number, "bit" | "bits", "hole", ..] => parts.push(format!("bit hole {number}")),
            ["padding:", number] => parts.push(format!("padding {number}")),
            ["bit_padding:", number, ..] => parts.push(format!("bit padding {number}")),
            ["size:", number, ..] => parts.push(format!("size {number}")),
            [offset, size] if !before.is_empty() => parts.push(format!("{offset} {size}")),
            [offset, bit, size] if !before.is_empty() && offset.ends_with(':') => {
                parts.push(format!("{offset}{bit} {size}"))
            }
            _ => {}
        }
    }
    Some(found)
}

fn shown_here(btf: &Btf, id: TypeId) -> Vec<String> {
    use bpf::btf::dump::{Piece, offsets};
    let parts = offsets(btf, id).unwrap();
    let is_union = matches!(btf.get(id).kind, Kind::Union { .. });
    let mut words: Vec<String> = parts
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Member { offset, size, bits: None, .. } => format!("{offset} {size}"),
            Piece::Member { offset, size, bits: Some((first, _)), .. } => format!("{offset}:{first} {size}"),
            Piece::Hole(bytes) => format!("hole {bytes}"),
            Piece::BitHole(bits) => format!("bit hole {bits}"),
        })
        .collect();
    words.extend((!is_union).then(|| format!("size {}", parts.size)));
    words.extend((parts.padding > 0).then(|| format!("padding {}", parts.padding)));
    words.extend((parts.bit_padding > 0).then(|| format!("bit padding {}", parts.bit_padding)));
    words
}

#[test]
fn structures_are_shown_as_pahole_shows_them() {
    let mut files = scenarios();
    for seed in 100..102 {
        files.extend(compile(&format!("offsets{seed}"), &support::c_types::source(seed, 60), "bpfel", 5));
    }
    let mut compared = 0;
    for file in files {
        let (_, btf) = both(&file);
        let Some(theirs) = shown_by_pahole(&file) else {
            eprintln!("skipped: structures_are_shown_as_pahole_shows_them: pahole is not installed");
            return;
        };
        for (head, theirs) in theirs {
            let Some((word, name)) = head.split_once(' ') else { continue };
            let of_kind =
                |k: &Kind| matches!((k, word), (Kind::Struct { .. }, "struct") | (Kind::Union { .. }, "union"));
            let Some((id, _)) = btf.iter().find(|(id, t)| of_kind(&t.kind) && btf.type_name(*id) == name) else {
                continue;
            };
            let has_bits = btf.members(id).unwrap().iter().any(|m| m.bits != 0);
            // Of bits that are free it says here what is left of the unit, there of the largest that begins there.
            let is_told = |part: &String| !has_bits || part.starts_with(|c: char| c == 's' || c.is_ascii_digit());
            let told = |parts: Vec<String>| parts.into_iter().filter(is_told).collect::<Vec<_>>();
            let text = bpf::btf::dump::offsets_text(&btf, id).unwrap();
            assert_eq!(told(shown_here(&btf, id)), told(theirs), "{} {head}\n{text}", file.display());
            compared += 1;
        }
    }
    assert!(compared >= 15, "{compared}");
}
