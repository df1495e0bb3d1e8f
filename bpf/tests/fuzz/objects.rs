//! Objects and their types: whatever the bytes are, an answer comes.

use bpf::btf::{Btf, check, co_re, dump};
use bpf::object::{Kernel, Object};
use bpf::program::ProgType;

/// An object file: everything that can be asked of it.
pub fn object(data: &[u8]) {
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
        assert!(!dump::value(&btf, id, data, bpf::insn::Endian::Little).is_empty());
        let (size, align) = (btf.size_of(id), btf.align_of(id));
        if taken.is_ok() && size.is_some_and(|size| size > 0) {
            assert!(align != Some(0));
        }
        for kind in bpf::btf::CoreKind::ALL {
            let relocation = bpf::btf::CoreRelocation { offset: 0, ty: id, access: 0, kind };
            let _ = co_re::resolve(&btf, &btf, &relocation, bpf::insn::Endian::Little);
            assert!(!co_re::describe(&btf, &relocation).is_empty());
        }
    }
}
