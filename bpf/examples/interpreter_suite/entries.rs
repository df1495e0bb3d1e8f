//! The tables' entries.

use crate::linux::c::{Definitions, Expr, Image, Machine, Node, Parser, Struct, Token, Type, split};

/// An entry of the table of plain programs.
pub struct Entry {
    pub name: String,
    /// Its members' cells.
    cells: Vec<(usize, Expr)>,
    layout: std::rc::Rc<Struct>,
}

/// A slot of either instruction set: its members in the order of their structure.
pub type Slot = Vec<u64>;

/// What an entry asks for.
pub struct Asked {
    pub classic: bool,
    pub slots: Vec<Slot>,
    /// `FLAG_*` of the table.
    pub flags: u64,
    pub data: Vec<u8>,
    pub more: Vec<u8>,
    /// Bytes of data, and what is returned.
    pub runs: Vec<(usize, u32)>,
    /// What refuses it, if anything is to.
    pub errno: Option<i32>,
}

/// An entry of the table of programs that call each other.
pub struct Linked {
    pub name: String,
    pub slots: Vec<Slot>,
    /// The first argument points to a word.
    pub state: bool,
    /// What counts is that word.
    pub in_state: bool,
    pub result: u32,
}

const CLASSIC: u64 = 1 << 6;
const EXPECTED_FAIL: u64 = 1 << 1;

/// Each item of a table, with its layout.
fn items(
    definitions: &Definitions,
    table: &str,
    structure: &str,
) -> Result<(Vec<Vec<Token>>, std::rc::Rc<Struct>), String> {
    let items = &definitions.table(table).ok_or_else(|| format!("there is no table {table}"))?.items;
    let Some(Type::Struct(layout)) = definitions.structure(structure) else {
        return Err(format!("there is no struct {structure}"));
    };
    let expanded = definitions.expand(items);
    Ok((split(&expanded).into_iter().map(<[Token]>::to_vec).collect(), layout.clone()))
}

fn entry(definitions: &Definitions, item: &[Token], layout: &std::rc::Rc<Struct>) -> Result<Entry, String> {
    let value = Parser::new(definitions, item).braces(Type::Struct(layout.clone()))?;
    let Node::Aggregate(cells) = value.node else { return Err("an entry without braces".to_owned()) };
    let name = cells.iter().find_map(|(at, value)| match &value.node {
        Node::Text(text) if *at == 0 => Some(text.clone()),
        _ => None,
    });
    Ok(Entry { name: name.ok_or("an entry without a name")?, cells, layout: layout.clone() })
}

/// The entries of the table of plain programs.
pub fn plain(definitions: &Definitions) -> Vec<Result<Entry, String>> {
    match items(definitions, "tests", "bpf_test") {
        Ok((items, layout)) => items.iter().map(|item| entry(definitions, item, &layout)).collect(),
        Err(why) => vec![Err(why)],
    }
}

/// First cell of a member, by way of others.
fn place(layout: &Struct, path: &[&str]) -> Result<(usize, Type), String> {
    let (mut at, mut ty) = layout.member(path[0]).ok_or_else(|| format!("there is no member {}", path[0]))?;
    for name in &path[1..] {
        let Type::Struct(inner) = &ty else { return Err(format!("{name} is a member of nothing")) };
        let (own, next) = inner.member(name).ok_or_else(|| format!("there is no member {name}"))?;
        (at, ty) = (at + own, next);
    }
    Ok((at, ty))
}

/// An array of structures or numbers, without the zeros at its end.
fn array(layout: &Struct, path: &[&str], image: &Image) -> Result<Vec<Slot>, String> {
    let (at, ty) = place(layout, path)?;
    let Type::Array(of, count) = ty else { return Err(format!("{path:?} is no array")) };
    let width = of.cells();
    let cell = |cell: usize| image.get(&(at + cell)).copied().unwrap_or(0);
    let mut out: Vec<Slot> = (0..count).map(|n| (0..width).map(|own| cell(n * width + own)).collect()).collect();
    let used = out.iter().rposition(|slot| slot.iter().any(|cell| *cell != 0)).map_or(0, |last| last + 1);
    out.truncate(used);
    Ok(out)
}

impl Entry {
    /// What it asks for; a function of the table fills in its program if it has one.
    ///
    /// # Errors
    /// What of it cannot be read or walked through.
    pub fn asked(&self, definitions: &Definitions, machine: &mut Machine<'_>) -> Result<Asked, String> {
        let layout = &self.layout;
        let image = machine.image(&self.cells)?;
        let number = |path: &[&str]| Ok::<u64, String>(image.get(&place(layout, path)?.0).copied().unwrap_or(0));
        let flags = number(&["aux"])?;
        let classic = flags & CLASSIC != 0;
        let fill = number(&["fill_helper"])?;
        let slots = if fill == 0 {
            array(layout, if classic { &["u", "insns"] } else { &["u", "insns_int"] }, &image)?
        } else {
            self.filled(definitions, machine, &image, fill, classic)?
        };
        let bytes = |path: &[&str]| -> Result<Vec<u8>, String> {
            Ok(array(layout, path, &image)?.into_iter().map(|cells| cells[0] as u8).collect())
        };
        let (mut data, mut more) = (bytes(&["data"])?, bytes(&["frag_data"])?);
        let (Type::Array(_, most), _) = (place(layout, &["data"])?.1, ()) else { return Err("data".to_owned()) };
        data.resize(most, 0);
        more.resize(most, 0);
        let mut runs: Vec<(usize, u32)> =
            array(layout, &["test"], &image)?.iter().map(|run| (run[0] as usize, run[1] as u32)).collect();
        if runs.is_empty() {
            runs.push((0, 0));
        }
        let errno = (flags & EXPECTED_FAIL != 0).then_some(number(&["expected_errcode"])? as i32);
        Ok(Asked { classic, slots, flags, data, more, runs, errno })
    }

    fn filled(
        &self,
        definitions: &Definitions,
        machine: &mut Machine<'_>,
        image: &Image,
        fill: u64,
        classic: bool,
    ) -> Result<Vec<Slot>, String> {
        machine.clear();
        let own = machine.allocate(self.layout.cells)?;
        for (at, value) in image {
            machine.store(own + at, *value)?;
        }
        let returned = machine.call(fill, &[own as u64])?;
        if returned != 0 {
            return Err(format!("its function returns {}", returned as i64));
        }
        let insns = machine.load(own + place(&self.layout, &["u", "ptr", "insns"])?.0)? as usize;
        let len = machine.load(own + place(&self.layout, &["u", "ptr", "len"])?.0)? as usize;
        let slot = definitions.structure(if classic { "sock_filter" } else { "bpf_insn" });
        let width = slot.ok_or("there is no structure of instructions")?.cells();
        (0..len).map(|n| (0..width).map(|cell| machine.load(insns + n * width + cell)).collect()).collect()
    }
}

/// The entries of the table of programs that call each other.
///
/// # Errors
/// What of it cannot be read.
pub fn linked(definitions: &Definitions) -> Result<Vec<Linked>, String> {
    let (items, layout) = items(definitions, "tail_call_tests", "tail_call_test")?;
    let one = |item: &Vec<Token>| {
        let entry = entry(definitions, item, &layout)?;
        let image = Machine::new(definitions).image(&entry.cells)?;
        let number = |name: &str| Ok::<u64, String>(image.get(&place(&layout, &[name])?.0).copied().unwrap_or(0));
        let flags = number("flags")?;
        let slots = array(&layout, &["insns"], &image)?;
        let (state, in_state, result) = (flags & 1 != 0, flags & 2 != 0, number("result")? as u32);
        Ok(Linked { name: entry.name, slots, state, in_state, result })
    };
    items.iter().map(one).collect()
}
