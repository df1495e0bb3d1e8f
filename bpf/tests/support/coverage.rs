//! What generated programs went through: rows of the legality table by execution, forms of calls.

use std::collections::{BTreeMap, BTreeSet};

use bpf::insn::{RawInsn, legality};
use bpf::interp::Observer;
use bpf::program::ProgId;

use super::executed::Form;

/// Rows that no program here can go through, and why.
const NOT_HERE: [(&str, &str); 6] = [
    ("0x18 src 0x3", "the address of a variable of the kernel's"),
    ("0x85 src 0x2", "a function of the kernel's, by its number there"),
    ("0x85 src 0x2 off not 0", "a function of a kernel module's"),
    ("0x8d", "Linux refuses it"),
    ("0x8d imm a register", "Linux refuses it"),
    ("0xbf off 0x1", "between an arena and its users, which is refused by name"),
];

/// A row of the legality table: the opcode, and what other fields must hold to tell it from others.
fn name(form: &legality::Form) -> String {
    let mut name = format!("{:#04x}", form.opcode);
    for (field, rule) in [("src", form.src), ("off", form.off), ("imm", form.imm)] {
        match rule {
            legality::Rule::Is(value) if value != 0 => name += &format!(" {field} {value:#x}"),
            legality::Rule::Nonzero => name += &format!(" {field} not 0"),
            legality::Rule::Number => name += &format!(" {field} a register"),
            legality::Rule::Is(_) | legality::Rule::Any => {}
        }
    }
    name
}

/// Which slots of which program were executed.
#[derive(Default)]
pub struct Executed {
    running: Option<ProgId>,
    slots: BTreeSet<(Option<u32>, usize)>,
}

impl Executed {
    /// The main program begins anew.
    pub fn begin(&mut self) {
        self.running = None;
    }
}

impl Observer for Executed {
    const INSNS: bool = true;

    fn program(&mut self, program: Option<ProgId>) {
        self.running = program;
    }

    fn insn(&mut self, slot: usize) {
        self.slots.insert((self.running.map(|id| id.0), slot));
    }
}

/// How many sets of programs went through each row and have each form.
#[derive(Default)]
pub struct Coverage {
    pub rows: BTreeMap<String, u64>,
    pub forms: BTreeMap<Form, u64>,
}

impl Coverage {
    /// A set: the slots of its programs, the main one's first; what was executed; the forms in it.
    pub fn add(&mut self, programs: &[Vec<RawInsn>], executed: &Executed, forms: &[Form]) {
        let mut seen = BTreeSet::new();
        for (at, slots) in programs.iter().enumerate() {
            // The main program runs without a number first; the list of those with numbers begins with it again.
            let own = executed.slots.iter().filter(|(id, _)| id.map_or(at == 0, |id| id as usize == at));
            for (_, slot) in own {
                // A wide load is two slots.
                let last = if slots[*slot].opcode == 0x18 { slot + 1 } else { *slot };
                for raw in &slots[*slot..=last] {
                    seen.insert(name(legality::form(*raw).expect("generated programs are legal")));
                }
            }
        }
        seen.into_iter().for_each(|row| *self.rows.entry(row).or_default() += 1);
        let forms: BTreeSet<Form> = forms.iter().copied().collect();
        forms.into_iter().for_each(|form| *self.forms.entry(form).or_default() += 1);
    }

    /// Takes in another's.
    pub fn merge(&mut self, other: Coverage) {
        other.rows.into_iter().for_each(|(row, n)| *self.rows.entry(row).or_default() += n);
        other.forms.into_iter().for_each(|(form, n)| *self.forms.entry(form).or_default() += n);
    }

    /// Rows of the table and forms of calls that should have been met and were not.
    pub fn missing(&self) -> Vec<String> {
        let rows = legality::FORMS.iter().map(name).filter(|row| !self.rows.contains_key(row));
        let rows = rows.filter(|row| !NOT_HERE.iter().any(|(not_here, _)| not_here == row));
        let forms = Form::ALL.into_iter().filter(|form| !self.forms.contains_key(form));
        rows.chain(forms.map(|form| format!("{form:?}"))).collect()
    }

    /// The closing lines.
    pub fn report(&self) -> String {
        let least = self.rows.iter().min_by_key(|(_, n)| **n);
        let not_here: Vec<String> = NOT_HERE.iter().map(|(row, why)| format!("{row} ({why})")).collect();
        format!(
            "forms of calls: {:?}\nrows of the legality table executed: {} of {}, least often {least:?}: {:?}\nnot \
             executed: {:?}\nnot to be executed here: {}",
            self.forms,
            self.rows.len(),
            legality::FORMS.len(),
            self.rows,
            self.missing(),
            not_here.join(", "),
        )
    }
}
