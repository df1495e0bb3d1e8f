//! `prog dump xlated PROG visual`: the flow of a program as a graph for dot, as bpftool draws it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Range;

use bpf::insn::{Callee, Insn};

/// What every edge but one looks like.
const EDGE: &str = "[style=\"solid,bold\", color=black, weight=10, constraint=true];";
/// Numbers of the nodes at the two ends of a function; its blocks follow.
const ENTRY: usize = 0;
const EXIT: usize = 1;
const FIRST: usize = 2;

/// First slots of the functions that are called, ascending, the main one's first.
fn functions(insns: &[Insn]) -> Vec<usize> {
    let called = insns.iter().enumerate().filter_map(|(slot, insn)| match insn {
        Insn::Call { callee: Callee::Local(_) } => usize::try_from(insn.function(slot)?).ok(),
        _ => None,
    });
    let starts: BTreeSet<usize> = called.filter(|start| *start < insns.len()).chain([0]).collect();
    starts.into_iter().collect()
}

/// The stretches of a function that are run from end to end.
fn blocks(insns: &[Insn], function: Range<usize>) -> Vec<Range<usize>> {
    let mut leaders = BTreeSet::from([function.start]);
    for slot in function.clone().filter(|slot| insns[*slot].is_terminator()) {
        let target = insns[slot].target(slot).and_then(|slot| usize::try_from(slot).ok());
        leaders.extend(target.into_iter().chain([slot + 1]).filter(|slot| function.contains(slot)));
    }
    let leaders: Vec<usize> = leaders.into_iter().collect();
    let ends = leaders[1..].iter().copied().chain([function.end]);
    leaders.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// Text in the label of a record, where some characters shape it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '<' | '>' | '{' | '}' | '|' | '&' | '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The graph of a program; `text` is what an instruction's slot is shown as.
pub(super) fn graph(insns: &[Insn], text: impl Fn(usize) -> String) -> String {
    let mut out = String::from("digraph \"DOT graph for eBPF program\" {\n");
    let starts = functions(insns);
    let ends = starts[1..].iter().copied().chain([insns.len()]);
    for (number, (start, end)) in starts.iter().copied().zip(ends).enumerate() {
        let blocks = blocks(insns, start..end);
        let node = |block: usize| format!("fn_{number}_bb_{block}");
        let _ = writeln!(out, "subgraph \"cluster_{number}\" {{\n\tstyle=\"dashed\";\n\tcolor=\"black\";");
        let _ = writeln!(out, "\tlabel=\"func_{number} ()\";");
        let _ = writeln!(out, "\t{} [shape=Mdiamond,style=filled,label=\"ENTRY\"];\n", node(ENTRY));
        for (at, block) in blocks.iter().enumerate() {
            let shown = block.clone().filter(|slot| insns[*slot] != Insn::Pad);
            let lines: Vec<String> = shown.map(|slot| format!("{slot:4}: {}\\l\\\n", escaped(&text(slot)))).collect();
            let _ = write!(out, "\t{} [shape=record,style=filled,label=\"{{", node(FIRST + at));
            let _ = writeln!(out, "{}}}\"];\n", lines.join(" | "));
        }
        let _ = writeln!(out, "\t{} [shape=Mdiamond,style=filled,label=\"EXIT\"];\n", node(EXIT));
        let mut edge = |from: usize, to: usize| {
            let _ = writeln!(out, "\t{}:s -> {}:n {EDGE}", node(from), node(to));
        };
        let block_at = |slot: usize| blocks.iter().position(|block| block.start == slot).map(|at| FIRST + at);
        edge(ENTRY, FIRST);
        for (at, block) in blocks.iter().enumerate() {
            let last = block.end - 1;
            let next = insns[last].falls_through().then(|| block_at(block.end)).flatten();
            let target = insns[last].target(last).and_then(|slot| block_at(usize::try_from(slot).ok()?));
            next.into_iter().chain(target).for_each(|to| edge(FIRST + at, to));
            if insns[last] == Insn::Exit {
                edge(FIRST + at, EXIT);
            }
        }
        let _ = writeln!(out, "\t{}:s -> {}:n [style=\"invis\", constraint=true];\n}}", node(ENTRY), node(EXIT));
    }
    out.push_str("}\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_and_a_call_make_two_functions_of_blocks() {
        let words: [u64; 6] = [
            // if r1 > 0 goto +1; call +2; r0 = 0; exit; r0 = 1; exit
            0x0000_0000_0001_0125,
            0x0000_0002_0000_1085,
            0x0000_0000_0000_00b7,
            0x0000_0000_0000_0095,
            0x0000_0001_0000_00b7,
            0x0000_0000_0000_0095,
        ];
        let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        let insns = bpf::insn::decode_bytes(&bytes).expect("the program is well formed");
        let text = graph(&insns, |slot| format!("<{slot}>"));
        let nodes: Vec<&str> = text.lines().filter(|line| line.contains("label=")).map(str::trim).collect();
        let plain = ["fn_0_bb_2", "fn_0_bb_3", "fn_0_bb_4", "fn_1_bb_2"];
        assert!(plain.iter().all(|name| nodes.iter().any(|node| node.starts_with(name))), "{text}");
        assert!(text.contains("label=\"{   0: \\<0\\>\\l\\\n}\"];"), "{text}");
        let edges: Vec<&str> =
            text.lines().filter_map(|line| line.trim().split_once(" [style=\"solid")).map(|e| e.0).collect();
        let expected = [
            "fn_0_bb_0:s -> fn_0_bb_2:n",
            "fn_0_bb_2:s -> fn_0_bb_3:n",
            "fn_0_bb_2:s -> fn_0_bb_4:n",
            "fn_0_bb_3:s -> fn_0_bb_4:n",
            "fn_0_bb_4:s -> fn_0_bb_1:n",
            "fn_1_bb_0:s -> fn_1_bb_2:n",
            "fn_1_bb_2:s -> fn_1_bb_1:n",
        ];
        assert_eq!(edges, expected);
    }
}
