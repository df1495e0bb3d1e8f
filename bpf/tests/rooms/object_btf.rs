//! BTF, held against `bpftool btf dump`: of the objects here and of the running kernel.

use std::path::{Path, PathBuf};
use std::process::Command;

use bpf::btf::{Btf, Encoding, FuncLinkage, Kind, Member, Type, VarLinkage, dump, value};
use serde_json::{Value, json};

/// A type as bpftool writes it; enumerations of 32 and of 64 bits are one kind here.
fn ours(btf: &Btf, id: usize, ty: &Type) -> Value {
    let anonymous = |name: &str| if name.is_empty() { "(anon)".to_owned() } else { name.to_owned() };
    let named = |name| anonymous(&btf.name(name));
    let list = |members: &[Member]| {
        let one = |m: &Member| {
            let mut member = json!({"name": named(m.name), "type_id": m.ty.0, "bits_offset": m.bit_offset});
            if m.bits != 0 {
                member["bitfield_size"] = json!(m.bits);
            }
            member
        };
        members.iter().map(one).collect::<Vec<_>>()
    };
    let (kind, mut value) = match &ty.kind {
        Kind::Void => ("VOID", json!({})),
        Kind::Int { size, encoding, bit_offset, bits } => {
            let encoding = match encoding {
                Encoding::Unsigned => "(none)",
                Encoding::Signed => "SIGNED",
                Encoding::Char => "CHAR",
                Encoding::Bool => "BOOL",
            };
            ("INT", json!({"size": size, "bits_offset": bit_offset, "nr_bits": bits, "encoding": encoding}))
        }
        Kind::Ptr(to) => ("PTR", json!({"type_id": to.0})),
        Kind::Array { element, index, len } => {
            ("ARRAY", json!({"type_id": element.0, "index_type_id": index.0, "nr_elems": len}))
        }
        Kind::Struct { size, members } => {
            ("STRUCT", json!({"size": size, "vlen": members.len(), "members": list(members)}))
        }
        Kind::Union { size, members } => {
            ("UNION", json!({"size": size, "vlen": members.len(), "members": list(members)}))
        }
        Kind::Enum { size, signed, values } => {
            let one = |v: &bpf::btf::EnumValue| {
                let val = if *signed { json!(v.value as i64) } else { json!(v.value) };
                json!({"name": named(v.name), "val": val})
            };
            let values: Vec<Value> = values.iter().map(one).collect();
            let encoding = if *signed { "SIGNED" } else { "UNSIGNED" };
            ("ENUM", json!({"encoding": encoding, "size": size, "vlen": values.len(), "values": values}))
        }
        Kind::Fwd { is_union } => ("FWD", json!({"fwd_kind": if *is_union { "union" } else { "struct" }})),
        Kind::Typedef(to) => ("TYPEDEF", json!({"type_id": to.0})),
        Kind::Volatile(to) => ("VOLATILE", json!({"type_id": to.0})),
        Kind::Const(to) => ("CONST", json!({"type_id": to.0})),
        Kind::Restrict(to) => ("RESTRICT", json!({"type_id": to.0})),
        Kind::TypeTag(to) => ("TYPE_TAG", json!({"type_id": to.0})),
        Kind::Func { linkage, proto } => {
            let linkage = match linkage {
                FuncLinkage::Static => "static",
                FuncLinkage::Global => "global",
                FuncLinkage::Extern => "extern",
            };
            ("FUNC", json!({"type_id": proto.0, "linkage": linkage}))
        }
        Kind::FuncProto { result, params } => {
            let one = |p: &bpf::btf::Param| json!({"name": named(p.name), "type_id": p.ty.0});
            let params: Vec<Value> = params.iter().map(one).collect();
            ("FUNC_PROTO", json!({"ret_type_id": result.0, "vlen": params.len(), "params": params}))
        }
        Kind::Var { linkage, ty } => {
            let linkage = match linkage {
                VarLinkage::Static => "static",
                VarLinkage::Global => "global",
                VarLinkage::Extern => "extern",
            };
            ("VAR", json!({"type_id": ty.0, "linkage": linkage}))
        }
        Kind::DataSec { size, vars } => {
            let one = |v: &bpf::btf::DataVar| json!({"type_id": v.var.0, "offset": v.offset, "size": v.size});
            let vars: Vec<Value> = vars.iter().map(one).collect();
            ("DATASEC", json!({"size": size, "vlen": vars.len(), "vars": vars}))
        }
        Kind::Float { size } => ("FLOAT", json!({"size": size})),
        Kind::DeclTag { ty, component } => {
            let component = component.map_or(-1, i64::from);
            ("DECL_TAG", json!({"type_id": ty.0, "component_idx": component}))
        }
    };
    value["id"] = json!(id);
    value["kind"] = json!(kind);
    value["name"] = json!(named(ty.name));
    value
}

/// bpftool's types, or `None` where it is not installed or cannot read the file.
fn theirs(file: &Path) -> Option<Vec<Value>> {
    let output = Command::new("bpftool").args(["-j", "btf", "dump", "file"]).arg(file).output().ok()?;
    let mut dump: Value = serde_json::from_slice(&output.stdout).ok()?;
    let Value::Array(mut types) = dump["types"].take() else { return None };
    for ty in &mut types {
        if ty["kind"] == "ENUM64" {
            ty["kind"] = json!("ENUM");
        } else if ty["kind"] == "ENUM" && ty["encoding"] == "UNSIGNED" {
            // bpftool 7.1 sign-extends these values.
            for value in ty["values"].as_array_mut().unwrap() {
                value["val"] =
                    json!(value["val"].as_i64().map_or_else(|| value["val"].as_u64().unwrap() as u32, |v| v as u32));
            }
        }
    }
    Some(types)
}

fn compare(file: &Path, btf: &Btf) -> bool {
    let Some(theirs) = theirs(file) else { return false };
    assert_eq!(btf.types().len(), theirs.len() + 1, "{}", file.display());
    for ((id, ty), theirs) in btf.types().iter().enumerate().skip(1).zip(&theirs) {
        let ours = ours(btf, id, ty);
        assert_eq!(ours, *theirs, "{}", file.display());
    }
    true
}

fn objects() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dirs = [root.join("tests/data/object"), root.join("../scenarios/programs")];
    let files = dirs.iter().flat_map(|d| std::fs::read_dir(d).unwrap()).map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|p| p.to_string_lossy().ends_with(".bpf.o")).collect();
    files.sort();
    files
}

#[test]
fn types_of_objects_are_those_bpftool_reads() {
    let mut compared = 0;
    for file in objects() {
        let Ok(object) = bpf::object::Object::parse(&std::fs::read(&file).unwrap()) else { continue };
        let Some(btf) = object.btf() else { continue };
        if !compare(&file, btf) {
            eprintln!("skipped: types_of_objects_are_those_bpftool_reads: bpftool is not installed");
            return;
        }
        compared += 1;
    }
    assert!(compared >= 7);
}

#[test]
fn types_of_the_kernel_are_those_bpftool_reads() {
    let file = Path::new("/sys/kernel/btf/vmlinux");
    let Ok(bytes) = std::fs::read(file) else {
        eprintln!("skipped: types_of_the_kernel_are_those_bpftool_reads: the kernel shows no BTF");
        return;
    };
    let btf = Btf::parse(&bytes).unwrap();
    if !compare(file, &btf) {
        eprintln!("skipped: types_of_the_kernel_are_those_bpftool_reads: bpftool is not installed");
    }
}

#[test]
fn sizes_are_the_compilers() {
    let object = bpf::object::Object::parse(include_bytes!("../data/object/types.bpf.o")).unwrap();
    let btf = object.btf().unwrap();
    let find = |name: &str| btf.iter().find(|(id, _)| btf.type_name(*id) == name).unwrap().0;
    let all = find("all");
    // x86-64's and BPF's layout of the structure, counted by hand from types.bpf.c.
    assert_eq!(btf.size_of(all), Some(136));
    let size = |member: &str| {
        let member = btf.members(all).unwrap().iter().find(|m| btf.name(m.name) == member).unwrap();
        btf.size_of(member.ty)
    };
    assert_eq!(size("grid"), Some(3 * 4 * 4));
    assert_eq!(
        (size("p"), size("e"), size("n"), size("yes"), size("wide")),
        (Some(8), Some(8), Some(4), Some(1), Some(8))
    );
    assert_eq!(btf.size_of(find("declared")), None);
    assert_eq!(btf.size_of(find("sub")), None);
    let vars = btf.data_section(".bss").unwrap();
    assert_eq!(vars.iter().map(|v| btf.size_of(v.var).unwrap()).sum::<u32>(), 136 + 4);
}

/// What `bpftool btf dump file … format …` prints, or `None` where it is not installed or cannot read the file.
fn printed(file: &Path, format: &str) -> Option<String> {
    let output =
        Command::new("bpftool").args(["btf", "dump", "file"]).arg(file).args(["format", format]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first line that differs.
fn same(ours: &str, theirs: &str, what: &str) {
    for (n, (a, b)) in ours.lines().zip(theirs.lines()).enumerate() {
        let before = || theirs.lines().skip(n.saturating_sub(4)).take(4).collect::<Vec<_>>();
        assert!(a == b, "{what} line {}: {a:?}, bpftool {b:?}, after {:#?}", n + 1, before());
    }
    assert_eq!(ours.lines().count(), theirs.lines().count(), "{what}");
}

fn printed_like_bpftool(file: &Path, btf: &Btf) -> bool {
    let (Some(raw), Some(c)) = (printed(file, "raw"), printed(file, "c")) else { return false };
    same(&dump::raw(btf), &raw, &format!("{} raw", file.display()));
    same(&dump::c(btf).unwrap(), &c, &format!("{} c", file.display()));
    true
}

#[test]
fn types_are_printed_as_bpftool_prints_them() {
    let mut compared = 0;
    for file in objects() {
        let Ok(object) = bpf::object::Object::parse(&std::fs::read(&file).unwrap()) else { continue };
        let Some(btf) = object.btf() else { continue };
        // The tool reads the machine's own byte order alone.
        compared += usize::from(printed_like_bpftool(&file, btf));
    }
    if compared == 0 {
        eprintln!("skipped: types_are_printed_as_bpftool_prints_them: bpftool is not installed");
    }
}

#[test]
fn types_of_the_kernel_are_printed_as_bpftool_prints_them() {
    let file = Path::new("/sys/kernel/btf/vmlinux");
    let compared = std::fs::read(file).is_ok_and(|bytes| printed_like_bpftool(file, &Btf::parse(&bytes).unwrap()));
    if !compared {
        eprintln!("skipped: types_of_the_kernel_are_printed_as_bpftool_prints_them: no types, or no bpftool");
    }
}

/// A structure of types.bpf.c, byte by byte.
#[test]
fn values_are_written_by_their_types() {
    let object = bpf::object::Object::parse(include_bytes!("../data/object/types.bpf.o")).unwrap();
    let btf = object.btf().unwrap();
    let all = btf.iter().find(|(id, _)| btf.type_name(*id) == "all").unwrap().0;
    let mut bytes = [0u8; 136];
    // Bit-fields of 3 and 5 bits with a sign: -1 and 9; a float of 1.5 at byte 80; the enumerator NEGATIVE at 104.
    bytes[0] = 9 << 3 | 7;
    bytes[32..36].copy_from_slice(&(-7i32).to_le_bytes());
    bytes[80..84].copy_from_slice(&1.5f32.to_le_bytes());
    bytes[104..108].copy_from_slice(&(-1i32).to_le_bytes());
    bytes[108] = 1;
    let text = value::text(btf, all, &bytes, bpf::insn::Endian::Little);
    for part in [
        "{\"a\": -1,\"b\": 9,\"p\": \"0x0\"",
        "\"grid\": [[-7,0,0,0],[0,0,0,0],[0,0,0,0]],\"real\": 1.5,",
        "\"n\": \"NEGATIVE\",\"yes\": true,",
        "\"(anon)\": {\"x\": 0,\"y\": 0},\"q\": 0}",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // What is missing is null.
    assert_eq!(value::text(btf, all, &bytes[..100], bpf::insn::Endian::Little), "null");
}
