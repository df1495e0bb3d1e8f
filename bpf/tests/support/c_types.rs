//! Random declarations of C: structures with all that makes their layout hard.

use std::fmt::Write;

use super::rng::Rng;

const BASE: &[(&str, u32)] = &[
    ("char", 8),
    ("signed char", 8),
    ("unsigned char", 8),
    ("short", 16),
    ("unsigned short", 16),
    ("int", 32),
    ("unsigned int", 32),
    ("long", 64),
    ("unsigned long", 64),
    ("long long", 64),
    ("_Bool", 1),
];

const ATTRIBUTES: &[&str] = &["", "", "", "", " __attribute__((packed))", " __attribute__((aligned(16)))"];

/// A source of `count` types `t0`, `t1` ..., each with a variable that keeps it in the object, and a function that has
/// parameters.
pub fn source(seed: u64, count: usize) -> String {
    let mut rng = Rng::new(seed);
    let mut text = String::from("struct later;\nunion later_too;\ntypedef unsigned int u32;\n");
    for i in 0..count {
        let before = i as u64;
        match rng.below(8) {
            0 => {
                let wide = rng.once_in(4);
                let _ = write!(text, "enum t{i} {{ ");
                for v in 0..1 + rng.below(4) {
                    let sign = if rng.once_in(4) { "-" } else { "" };
                    let number = rng.below(1000) + if wide && v == 0 { 1 << 40 } else { 0 };
                    let _ = write!(text, "E{i}_{v} = {sign}{number}, ");
                }
                let _ = writeln!(text, "}};\ntypedef enum t{i} t{i};");
            }
            1 => {
                let (to, name) = (ty(&mut rng, before), format!("t{i}"));
                let _ = writeln!(text, "typedef {};", declare(&mut rng, &to, &name));
            }
            n => {
                let word = if n == 2 { "union" } else { "struct" };
                let body = members(&mut rng, before, 3);
                let attribute = rng.pick(ATTRIBUTES);
                let _ = writeln!(text, "{word} t{i} {{\n{body}}}{attribute};\ntypedef {word} t{i} t{i};");
            }
        }
        let _ = writeln!(text, "t{i} v{i};");
    }
    let (a, b) = (ty(&mut rng, count as u64), ty(&mut rng, count as u64));
    let _ = writeln!(
        text,
        "__attribute__((noinline)) static int inner({a} *one, const {b} *two) {{ return one != (void *)two; }}"
    );
    let _ = writeln!(text, "int outer({a} *one, {b} *two, int n) {{ return inner(one, two) + n; }}");
    text
}

/// A type by name, of those that there are.
fn ty(rng: &mut Rng, before: u64) -> String {
    match rng.below(8) {
        0..3 if before > 0 => format!("t{}", rng.below(before)),
        3 => "struct later *".to_owned(),
        4 => "u32".to_owned(),
        5 => "void *".to_owned(),
        _ => rng.pick(BASE).0.to_owned(),
    }
}

fn declare(rng: &mut Rng, ty: &str, name: &str) -> String {
    match rng.below(10) {
        0 => format!("{ty} {name}[{}]", 1 + rng.below(5)),
        1 => format!("{ty} {name}[{}][{}]", 1 + rng.below(3), 1 + rng.below(4)),
        2 => format!("const {ty} *{name}"),
        3 => format!("{ty} *volatile {name}"),
        4 => format!("int (*{name})({ty} *, int, ...)"),
        5 => format!("{ty} *restrict {name}"),
        _ => format!("{ty} {name}"),
    }
}

fn members(rng: &mut Rng, before: u64, depth: u32) -> String {
    let mut text = String::new();
    for m in 0..1 + rng.below(6) {
        let name = format!("m{depth}_{m}_{}", rng.below(1 << 30));
        match rng.below(9) {
            0..3 => {
                let (base, bits) = rng.pick(BASE);
                let width = 1 + rng.below(u64::from(bits));
                let _ = writeln!(text, "{base} {name} : {width};");
                if rng.once_in(6) {
                    let _ = writeln!(text, "{base} : 0;");
                }
            }
            3 if depth > 0 => {
                let word = rng.pick(&["struct", "union"]);
                let name = if rng.once_in(2) { "" } else { &name };
                let _ = writeln!(text, "{word} {{\n{}}} {name};", members(rng, before, depth - 1));
            }
            _ => {
                let ty = ty(rng, before);
                let _ = writeln!(text, "{};", declare(rng, &ty, &name));
            }
        }
    }
    text
}
