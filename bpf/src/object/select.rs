//! Which program of an object is meant, and of which type it is.

use super::functions::Function;
use super::sections::{self, Said};
use super::{Object, ProgramEntry, TypeGuess};
use crate::btf::Kind;
use crate::diag::{At, Diagnostic};
use crate::program::ProgType;

impl Object {
    pub(super) fn find_programs(&self) -> Vec<ProgramEntry> {
        self.entries()
            .map(|(i, f)| ProgramEntry { name: f.name.clone(), section: self.section(f).to_owned(), ty: self.guess(i) })
            .collect()
    }

    /// The functions that are programs.
    fn entries(&self) -> impl Iterator<Item = (usize, &Function)> {
        self.functions.iter().enumerate().filter(|(_, f)| f.global && self.section(f) != ".text")
    }

    pub(super) fn find(&self, name: Option<&str>) -> Result<usize, Diagnostic> {
        let known = || {
            const SHOWN: usize = 16;
            let shown = self.programs.iter().take(SHOWN).map(|p| format!("{} (in {})", p.name, p.section));
            let more = self.programs.len().saturating_sub(SHOWN);
            let more = (more > 0).then(|| format!("{more} more"));
            let names: Vec<String> = shown.chain(more).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let only = |found: &mut dyn Iterator<Item = usize>| match (found.next(), found.next()) {
            (Some(i), None) => Some(i),
            _ => None,
        };
        let Some(name) = name else {
            return only(&mut self.entries().map(|(i, _)| i)).ok_or_else(|| {
                let reason = if self.programs.is_empty() {
                    "the object has no program"
                } else {
                    "the object has several programs"
                };
                Diagnostic::new("object-program", reason).limit("one program", known()).help("say which by its name")
            });
        };
        // Any function can be asked for by name, also one that is meant to be called.
        only(&mut self.entries().filter(|(_, f)| f.name == name).map(|(i, _)| i))
            .or_else(|| only(&mut self.functions.iter().enumerate().filter(|(_, f)| f.name == name).map(|(i, _)| i)))
            .or_else(|| only(&mut self.entries().filter(|(_, f)| self.section(f) == name).map(|(i, _)| i)))
            .ok_or_else(|| {
                Diagnostic::new("object-program", format!("the object has no program {name}"))
                    .at(At::Named(name.to_owned()))
                    .limit("one program of that name or section", known())
            })
    }

    pub(super) fn type_of(&self, main: usize) -> Result<ProgType, Diagnostic> {
        let function = &self.functions[main];
        let section = self.section(function);
        let at = At::Named(function.name.clone());
        let types = || ProgType::ALL.map(ProgType::name).join(", ");
        match self.guess(main) {
            TypeGuess::Known(ty) => Ok(ty),
            TypeGuess::Unsupported(ty) => {
                let reason = format!("section {section} says that the program is of type {ty}, which is not supported");
                Err(Diagnostic::new("object-program-type", reason).at(at).limit(types(), ty))
            }
            TypeGuess::Ambiguous => {
                let context = self.context(main);
                let (reason, help) = match context.as_deref() {
                    Some("__sk_buff") => (
                        format!("section {section} does not say the program's type; its context is struct __sk_buff"),
                        "say the type: sched_cls for a tc classifier, sched_act for a tc action, or socket_filter",
                    ),
                    _ => (
                        format!("section {section} does not say the program's type"),
                        "say the type, or name the section xdp, tc, action or socket",
                    ),
                };
                Err(Diagnostic::new("object-program-type", reason).at(at).limit(types(), section).help(help))
            }
        }
    }

    /// The section's name says the type; if it does not for sure, a context of `struct xdp_md` does.
    fn guess(&self, main: usize) -> TypeGuess {
        match sections::said(self.section(&self.functions[main])) {
            Said::Surely(guess) => guess,
            weak => match (weak, self.context(main).as_deref()) {
                (_, Some("xdp_md")) => TypeGuess::Known(ProgType::Xdp),
                (Said::Likely(ty), Some("__sk_buff")) if !ty.is_skb() => TypeGuess::Ambiguous,
                (Said::Likely(ty), _) => TypeGuess::Known(ty),
                _ => TypeGuess::Ambiguous,
            },
        }
    }

    /// Name of the structure that a function's first parameter points to.
    fn context(&self, main: usize) -> Option<String> {
        let btf = self.btf.as_deref()?;
        let function = &self.functions[main];
        let ty = self.info.get(self.section(function))?.function(function.start)?;
        let Kind::Func { proto, .. } = btf.get(ty).kind else { return None };
        let Kind::FuncProto { params, .. } = &btf.get(proto).kind else { return None };
        let Kind::Ptr(to) = btf.get(btf.resolve(params.first()?.ty)?).kind else { return None };
        let context = btf.resolve(to)?;
        matches!(btf.get(context).kind, Kind::Struct { .. }).then(|| btf.type_name(context).into_owned())
    }
}
