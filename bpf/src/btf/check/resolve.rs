//! What types refer to: the walk that gives each its size, and refuses loops.
//!
//! A type is resolved when what it refers to is, down to a sink; what a sink is depends on where the walk began. From a
//! pointer, structures are sinks; from a structure or array, pointers are: so that a structure may hold a pointer to
//! itself, and not itself.

use super::meta::Names;
use super::{Checked, Raw, kind, members, refuse, refuse_as};
use crate::errno::Errno;

/// Most types that wait for one another (`MAX_RESOLVE_DEPTH`).
const DEPTH: usize = 32;
/// Longest chain of modifiers in which tags are looked at.
const CHAIN: u32 = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    NotVisited,
    Visited,
    Resolved,
}

/// Where the walk began.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Undecided,
    Pointer,
    StructOrArray,
}

/// A type that waits for another.
struct Waiting {
    id: u32,
    /// Member to go on with.
    next: usize,
}

pub(super) struct Walk<'a> {
    types: &'a [Raw<'a>],
    states: Vec<State>,
    /// What a modifier, pointer or variable comes to.
    ids: Vec<u32>,
    /// Bytes of arrays.
    sizes: Vec<u32>,
    stack: Vec<Waiting>,
    mode: Mode,
}

/// Checks all types, in their order.
pub(super) fn all(types: &[Raw<'_>], strings: &[u8]) -> Checked {
    let count = types.len();
    let mut walk = Walk {
        types,
        states: vec![State::NotVisited; count],
        ids: vec![0; count],
        sizes: vec![0; count],
        stack: Vec::new(),
        mode: Mode::Undecided,
    };
    for (id, &ty) in types.iter().enumerate().skip(1) {
        let id = id as u32;
        if needs_resolve(ty) {
            walk.resolve_unless_done(id)?;
        }
        if ty.kind() == kind::FUNC_PROTO {
            walk.prototype(id, ty, Names(strings))?;
        }
    }
    tags_come_first(types)
}

fn needs_resolve(ty: Raw<'_>) -> bool {
    ty.is_modifier()
        || ty.is_composite()
        || ty.is(&[kind::PTR, kind::ARRAY, kind::VAR, kind::FUNC, kind::DECL_TAG, kind::DATASEC])
}

/// What nothing else may refer to but what is made for it.
fn source_only(ty: Raw<'_>) -> bool {
    ty.is(&[kind::VAR, kind::DECL_TAG, kind::DATASEC])
}

fn has_no_size(ty: Raw<'_>) -> bool {
    ty.is(&[0, kind::FWD, kind::FUNC, kind::FUNC_PROTO, kind::DECL_TAG])
}

/// A type may come to these without having a size.
fn may_be_sizeless(ty: Raw<'_>) -> bool {
    ty.is(&[0, kind::FWD, kind::FUNC_PROTO])
}

impl<'a> Walk<'a> {
    fn get(&self, id: u32) -> Option<Raw<'a>> {
        self.types.get(id as usize).copied()
    }

    fn is_resolved(&self, id: u32) -> bool {
        self.states.get(id as usize) == Some(&State::Resolved)
    }

    fn is_sink(&self, ty: Raw<'_>) -> bool {
        match self.mode {
            Mode::Undecided => !needs_resolve(ty),
            Mode::Pointer => !ty.is_modifier() && ty.kind() != kind::PTR,
            Mode::StructOrArray => !ty.is_modifier() && ty.kind() != kind::ARRAY && !ty.is_composite(),
        }
    }

    fn must_wait(&self, id: u32, ty: Raw<'_>) -> bool {
        !self.is_sink(ty) && !self.is_resolved(id)
    }

    /// The type that has the size of a type, and the size.
    pub fn sized(&self, id: u32) -> Option<(u32, u32)> {
        let direct = |id: u32| {
            let ty = self.get(id).filter(|ty| !has_no_size(*ty))?;
            match ty.kind() {
                kind::ARRAY => Some(Some(self.sizes[id as usize])),
                kind::PTR => Some(Some(8)),
                _ if ty.is_modifier() || ty.kind() == kind::VAR => Some(None),
                _ => Some(Some(ty.word)),
            }
        };
        match direct(id)? {
            Some(size) => Some((id, size)),
            None => {
                let to = self.ids[id as usize];
                direct(to)?.map(|size| (to, size))
            }
        }
    }

    /// What a type comes to, as far as that is known.
    pub fn comes_to(&self, id: u32) -> u32 {
        self.ids.get(id as usize).copied().unwrap_or(0)
    }

    pub fn ty(&self, id: u32) -> Raw<'a> {
        self.get(id).unwrap_or(self.types[0])
    }

    fn push(&mut self, id: u32) -> Checked {
        if self.stack.len() == DEPTH {
            return refuse_as(Errno::E2BIG, id, "");
        }
        if self.states[id as usize] != State::NotVisited {
            return refuse_as(Errno::EEXIST, id, "");
        }
        self.states[id as usize] = State::Visited;
        self.stack.push(Waiting { id, next: 0 });
        if self.mode == Mode::Undecided {
            let ty = self.ty(id);
            if ty.kind() == kind::PTR {
                self.mode = Mode::Pointer;
            } else if ty.is_composite() || ty.kind() == kind::ARRAY {
                self.mode = Mode::StructOrArray;
            }
        }
        Ok(())
    }

    fn pop(&mut self, to: u32, size: u32) -> Checked {
        if let Some(done) = self.stack.pop() {
            let at = done.id as usize;
            (self.ids[at], self.sizes[at], self.states[at]) = (to, size, State::Resolved);
        }
        Ok(())
    }

    fn resolve_unless_done(&mut self, id: u32) -> Checked {
        if self.is_resolved(id) {
            return Ok(());
        }
        self.stack.clear();
        self.mode = Mode::Undecided;
        self.push(id).and_then(|()| self.run()).map_err(|mut e| {
            match e.errno {
                Errno::E2BIG => (e.id, e.reason) = (id, format!("Exceeded max resolving depth:{DEPTH}")),
                Errno::EEXIST => (e.id, e.reason) = (id, "Loop detected".to_owned()),
                _ => {}
            }
            e
        })?;
        let ty = self.ty(id);
        let to = self.ty(self.comes_to(id));
        // A modifier, pointer or variable comes to something else.
        let settled = !(ty.is_modifier() || ty.is(&[kind::PTR, kind::VAR]))
            || !to.is_modifier() && !to.is(&[kind::VAR, kind::DATASEC]);
        if settled { Ok(()) } else { refuse(id, "Invalid resolve state") }
    }

    fn run(&mut self) -> Checked {
        while let Some(&Waiting { id, next }) = self.stack.last() {
            let ty = self.ty(id);
            match ty.kind() {
                kind::PTR => self.pointer(id, ty)?,
                kind::ARRAY => self.array(id, ty)?,
                kind::STRUCT | kind::UNION => self.structure(id, ty, next)?,
                kind::VAR => self.variable(id, ty)?,
                kind::DATASEC => self.section(id, ty, next)?,
                kind::FUNC => self.function(id, ty)?,
                kind::DECL_TAG => self.tag(id, ty)?,
                _ => self.modifier(id, ty)?,
            }
        }
        Ok(())
    }

    /// What a type refers to, if it may.
    fn target(&self, id: u32, ty: Raw<'_>) -> Checked<Raw<'a>> {
        match self.get(ty.word).filter(|to| !source_only(*to)) {
            Some(to) => Ok(to),
            None => refuse(id, "Invalid type_id"),
        }
    }

    /// The end of a modifier or a pointer: what has a size, or may be without.
    fn settle(&mut self, id: u32, mut next: u32, mut to: Raw<'a>) -> Checked {
        match self.sized(next) {
            Some((sized, _)) => next = sized,
            None => {
                if self.is_resolved(next) {
                    next = self.comes_to(next);
                    to = self.ty(next);
                }
                if !may_be_sizeless(to) {
                    return refuse(id, "Invalid type_id");
                }
            }
        }
        self.pop(next, 0)
    }

    fn modifier(&mut self, id: u32, ty: Raw<'_>) -> Checked {
        let to = self.target(id, ty)?;
        if self.must_wait(ty.word, to) { self.push(ty.word) } else { self.settle(id, ty.word, to) }
    }

    /// A pointer that a modifier stopped at when the walk came from a structure must be gone on with.
    fn last_pointer(&self, next: u32, to: Raw<'_>) -> Option<u32> {
        let reached = self.comes_to(next);
        let ty = self.ty(reached);
        (to.is_modifier() && ty.kind() == kind::PTR && self.must_wait(reached, ty)).then_some(reached)
    }

    fn pointer(&mut self, id: u32, ty: Raw<'_>) -> Checked {
        let to = self.target(id, ty)?;
        if self.must_wait(ty.word, to) {
            return self.push(ty.word);
        }
        match self.last_pointer(ty.word, to) {
            Some(pointer) => self.push(pointer),
            None => self.settle(id, ty.word, to),
        }
    }

    fn variable(&mut self, id: u32, ty: Raw<'_>) -> Checked {
        let to = self.target(id, ty)?;
        if self.must_wait(ty.word, to) {
            return self.push(ty.word);
        }
        if let Some(pointer) = self.last_pointer(ty.word, to) {
            return self.push(pointer);
        }
        match self.sized(ty.word) {
            Some((sized, _)) => self.pop(sized, 0),
            None => refuse(id, "Invalid type_id"),
        }
    }

    fn array(&mut self, id: u32, ty: Raw<'_>) -> Checked {
        let (element, index, len) = (ty.extra(0), ty.extra(1), ty.extra(2));
        let fits = |to: Option<Raw<'a>>| to.filter(|to| !has_no_size(*to) && !source_only(*to));
        let Some(to) = fits(self.get(index)) else { return refuse(id, "Invalid index") };
        if self.must_wait(index, to) {
            return self.push(index);
        }
        let number = |(id, _): (u32, u32)| members::is_regular(self.ty(id));
        if !self.sized(index).is_some_and(number) {
            return refuse(id, "Invalid index");
        }
        let Some(to) = fits(self.get(element)) else { return refuse(id, "Invalid elem") };
        if self.must_wait(element, to) {
            return self.push(element);
        }
        let Some((sized, size)) = self.sized(element) else { return refuse(id, "Invalid elem") };
        if self.ty(sized).kind() == kind::INT && !members::is_regular(self.ty(sized)) {
            return refuse(id, "Invalid array of int");
        }
        let Some(size) = size.checked_mul(len) else { return refuse(id, "Array size overflows U32_MAX") };
        self.pop(sized, size)
    }

    fn structure(&mut self, id: u32, ty: Raw<'_>, next: usize) -> Checked {
        // The member that was waited for has its size now.
        let waited = next.checked_sub(1);
        if let Some([_, to, place]) = waited.and_then(|i| ty.triples().nth(i)) {
            members::check(self, id, ty, to, place)?;
        }
        for (i, [_, to, place]) in ty.triples().enumerate().skip(next) {
            let Some(member) = self.get(to).filter(|to| !has_no_size(*to) && !source_only(*to)) else {
                return refuse(id, "Invalid member");
            };
            if self.must_wait(to, member) {
                self.go_on_with(i + 1);
                return self.push(to);
            }
            members::check(self, id, ty, to, place)?;
        }
        self.pop(0, 0)
    }

    fn go_on_with(&mut self, next: usize) {
        if let Some(top) = self.stack.last_mut() {
            top.next = next;
        }
    }

    fn section(&mut self, id: u32, ty: Raw<'_>, next: usize) -> Checked {
        self.mode = Mode::Undecided;
        for (i, [var, _, size]) in ty.triples().enumerate().skip(next) {
            let Some(to) = self.get(var).filter(|to| to.kind() == kind::VAR) else {
                return refuse(id, "Not a VAR kind member");
            };
            if self.must_wait(var, to) {
                self.go_on_with(i + 1);
                return self.push(var);
            }
            match self.sized(to.word) {
                None => return refuse(id, "Invalid type"),
                Some((_, known)) if size < known => return refuse(id, "Invalid size"),
                Some(_) => {}
            }
        }
        self.pop(0, 0)
    }

    fn function(&mut self, id: u32, ty: Raw<'_>) -> Checked {
        let Some(proto) = self.get(ty.word).filter(|to| to.kind() == kind::FUNC_PROTO) else {
            return refuse(id, "Invalid type_id");
        };
        for i in 0..proto.vlen() as usize {
            if proto.extra(2 * i) == 0 && proto.extra(2 * i + 1) != 0 {
                return refuse(id, format!("Invalid arg#{}", i + 1));
            }
        }
        self.pop(ty.word, 0)
    }

    fn tag(&mut self, id: u32, ty: Raw<'_>) -> Checked {
        let taggable = |to: &Raw<'_>| to.is_composite() || to.is(&[kind::FUNC, kind::VAR, kind::TYPEDEF]);
        let Some(to) = self.get(ty.word).filter(taggable) else { return refuse(id, "Invalid type_id") };
        if self.must_wait(ty.word, to) {
            return self.push(ty.word);
        }
        let component = ty.extra(0);
        if component != u32::MAX {
            let count = match to.kind() {
                kind::VAR | kind::TYPEDEF => 0,
                kind::FUNC => self.ty(to.word).vlen(),
                _ => to.vlen(),
            };
            if component >= count {
                return refuse(id, "Invalid component_idx");
            }
        }
        self.pop(ty.word, 0)
    }

    fn prototype(&mut self, id: u32, ty: Raw<'_>, names: Names<'_>) -> Checked {
        if ty.word != 0 && !self.is_value(ty.word)? {
            return refuse(id, "Invalid return type");
        }
        let mut count = ty.vlen() as usize;
        // A last one without type stands for `...`.
        if count > 0 && ty.extra(2 * count - 1) == 0 {
            if ty.extra(2 * count - 2) != 0 {
                return refuse(id, format!("Invalid arg#{count}"));
            }
            count -= 1;
        }
        for i in 0..count {
            let (name, to) = (ty.extra(2 * i), ty.extra(2 * i + 1));
            let named = name == 0 || names.has(name) && names.identifier(name);
            if !named || !self.is_value(to)? {
                return refuse(id, format!("Invalid arg#{}", i + 1));
            }
        }
        Ok(())
    }

    /// Whether a function may take or give it.
    fn is_value(&mut self, to: u32) -> Checked<bool> {
        let Some(ty) = self.get(to).filter(|ty| !source_only(*ty)) else { return Ok(false) };
        if needs_resolve(ty) {
            self.resolve_unless_done(to)?;
        }
        Ok(self.sized(to).is_some())
    }
}

/// `btf_type_tag` stands before other modifiers, and chains end.
fn tags_come_first(types: &[Raw<'_>]) -> Checked {
    for (id, &ty) in types.iter().enumerate().skip(1) {
        let id = id as u32;
        let mut in_tags = ty.kind() == kind::TYPE_TAG;
        let (mut at, mut left) = (ty, CHAIN);
        while at.is_modifier() {
            if left == 0 {
                return refuse_as(Errno::ELOOP, id, "Max chain length or cycle detected");
            }
            left -= 1;
            if at.kind() != kind::TYPE_TAG {
                in_tags = false;
            } else if !in_tags {
                return refuse(id, "Type tags don't precede modifiers");
            }
            match types.get(at.word as usize) {
                Some(&next) => at = next,
                None => break,
            }
        }
    }
    Ok(())
}
