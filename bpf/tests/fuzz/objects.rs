//! Objects and their types: whatever the bytes are, an answer comes.

use std::borrow::Cow;

use bpf::btf::info::{self, ProgramInfo, Subprogram};
use bpf::btf::{Btf, Ext, FuncInfo, LineInfo, check, co_re, dump, value};
use bpf::dwarf::{self, Lines, Sections};
use bpf::insn::Endian;
use bpf::object::{Kernel, Object, types};
use bpf::program::ProgType;

/// An object file: everything that can be asked of it.
pub fn object(data: &[u8]) {
    if let Err(why) = types(data, None) {
        assert!(why.headline().lines().count() == 1, "{why:?}");
    }
    let Ok(object) = Object::parse(data) else { return };
    let own = object.btf().cloned().map(std::sync::Arc::new);
    let kernels = [Some(Kernel::default()), own.map(|types| Kernel { types, ..Kernel::default() })];
    for kernel in kernels.into_iter().flatten() {
        for entry in object.programs() {
            match object.program_for(Some(&entry.name), Some(ProgType::Xdp), &kernel) {
                Ok(program) => {
                    assert!(program.functions.first().is_some_and(|f| f.start == 0));
                    assert!(program.lines.is_sorted_by(|a, b| a.slot < b.slot));
                    assert!(program.unresolved.is_sorted());
                }
                Err(why) => assert!(!why.reason.contains('\n') && why.headline().lines().count() == 1, "{why:?}"),
            }
        }
    }
}

/// A `.BTF` section: read, checked as Linux does, and asked of every type what can be asked.
pub fn btf(data: &[u8]) {
    let taken = check::check(data);
    if let Err(why) = &taken {
        assert!(!why.reason.is_empty() && why.to_string().lines().count() == 1, "{why:?}");
    }
    let Ok(btf) = Btf::parse(data) else {
        assert!(taken.is_err(), "what Linux takes is read");
        return;
    };
    let _ = dump::c(&btf);
    assert!(dump::raw(&btf).lines().count() + 1 >= btf.types().len());
    for (id, _) in btf.iter() {
        assert!(!value::text(&btf, id, data, Endian::Little).is_empty());
        let (size, align) = (btf.size_of(id), btf.align_of(id));
        if taken.is_ok() && size.is_some_and(|size| size > 0) {
            assert!(align != Some(0));
        }
        for kind in bpf::btf::CoreKind::ALL {
            let relocation = bpf::btf::CoreRelocation { offset: 0, ty: id, access: 0, kind };
            let _ = co_re::resolve(&btf, &btf, &relocation, Endian::Little);
            assert!(!co_re::describe(&btf, &relocation).is_empty());
        }
    }
}

/// A piece of the input: its length in four bytes, then as much of it as there is.
fn piece<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let Some((len, rest)) = data.split_first_chunk() else { return &[] };
    let (piece, rest) = rest.split_at(rest.len().min(u32::from_le_bytes(*len) as usize));
    *data = rest;
    piece
}

/// A `.BTF` section, then a `.BTF.ext` section: read, and checked as what a program is loaded with.
pub fn ext(mut data: &[u8]) {
    let Ok(btf) = Btf::parse(piece(&mut data)) else { return };
    let Ok(ext) = Ext::parse(piece(&mut data), &btf) else { return };
    let mut told = ProgramInfo::default();
    let functions: Vec<Subprogram> =
        (0..4).map(|i| Subprogram { start: 8 * i, packet_load: i == 2, tail_call: i == 3 }).collect();
    for section in &ext.functions {
        told.functions.take(section, &(0..256), |f| (f.offset, FuncInfo { offset: f.offset / 8, ..f }));
    }
    for section in &ext.lines {
        told.lines.take(section, &(0..256), |l| (l.offset, LineInfo { offset: l.offset / 8, ..l }));
    }
    let answers = [info::early(&told, &btf), info::check(&told, &btf, &functions, 32, |slot| slot % 5 == 4)];
    for why in answers.into_iter().filter_map(Result::err) {
        assert!(!why.reason.is_empty() && why.to_string().lines().count() == 1, "{why:?}");
    }
}

/// The debug sections that are read, in the input's order.
const DEBUG: [&str; 8] = [
    ".debug_info",
    ".debug_abbrev",
    ".debug_line",
    ".debug_str",
    ".debug_line_str",
    ".debug_str_offsets",
    ".debug_addr",
    ".debug_rnglists",
];

/// Debug sections: the lines and the types in them.
pub fn debug(data: &[u8]) {
    let Some((order, mut data)) = data.split_first() else { return };
    let order = if order & 1 == 0 { Endian::Little } else { Endian::Big };
    let list = DEBUG.map(|name| (name.to_owned(), Cow::Borrowed(piece(&mut data))));
    let Ok(sections) = Sections::new(order, list) else { return };
    let (lines, _) = Lines::read(&sections);
    let rows = lines.within(0..u64::MAX);
    assert!(rows.is_sorted_by_key(|row| row.address));
    for row in rows.iter().take(1000) {
        let _ = (lines.file(*row), lines.text(*row));
    }
    let Ok(btf) = dwarf::types(&sections) else { return };
    assert!(dump::raw(&btf).lines().count() + 1 >= btf.types().len());
    let _ = dump::c(&btf);
    if let Ok(bytes) = btf.to_bytes(Endian::Little) {
        let _ = check::check(&bytes);
        assert!(Btf::parse(&bytes).is_ok_and(|again| again == btf), "what is written is read again");
    }
}
