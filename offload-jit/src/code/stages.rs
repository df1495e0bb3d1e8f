//! Which pass runs when.

use super::{Code, Hints, banks, copies, dead, delay, early, flow, fuse, known, pointers, slots};

/// What the passes are told of the program.
pub(crate) struct Given<'a> {
    /// What is known before slots, by slot.
    pub hints: &'a Hints,
    /// The firmware's word for a return code.
    pub verdict: &'a dyn Fn(u32) -> u32,
}

/// A pass.
pub(super) struct Pass {
    /// What it is called in tables.
    pub name: &'static str,
    /// Leaves a program that does the same.
    pub run: fn(&mut Code, &Given),
}

/// Passes that run one behind the other.
pub(super) struct Stage {
    /// The passes, in order.
    pub passes: &'static [Pass],
    /// How often at most; a stage ends sooner when a round has made nothing shorter.
    pub rounds: usize,
}

/// Rounds of the passes that make work for each other. Few programs need more than four.
const ROUNDS: usize = 8;

const FLOW: Pass = Pass { name: "flow", run: |code, _| flow::tidy(code) };
const DEAD: Pass = Pass { name: "dead", run: |code, _| dead::remove(code) };

/// All of it. Behind the second stage nothing may ask for what is known of the program's registers: there an instruction
/// reads an original where the program reads a copy, and what was known was said of the copy.
pub(super) const STAGES: &[Stage] = &[
    Stage {
        passes: &[
            FLOW,
            Pass {
                name: "pointers",
                run: |code, _| {
                    pointers::share(code);
                    pointers::drop_needless(code);
                },
            },
        ],
        rounds: 1,
    },
    Stage {
        passes: &[
            Pass { name: "known", run: |code, given| known::simplify(code, given.hints, given.verdict) },
            DEAD,
            Pass { name: "fuse", run: |code, given| fuse::fuse(code, given.hints) },
            DEAD,
            FLOW,
        ],
        rounds: ROUNDS,
    },
    Stage {
        passes: &[
            Pass { name: "copies", run: |code, _| copies::forward(code) },
            DEAD,
            Pass { name: "known", run: |code, given| known::simplify(code, &Hints::default(), given.verdict) },
            DEAD,
            Pass { name: "fuse", run: |code, _| fuse::fuse(code, &Hints::default()) },
            DEAD,
            FLOW,
        ],
        rounds: ROUNDS,
    },
    Stage {
        passes: &[
            Pass { name: "banks", run: |code, _| banks::unmirror(code) },
            Pass { name: "early", run: |code, _| early::hoist(code) },
            Pass { name: "delay", run: |code, _| delay::wait_for_pointers(code) },
            Pass { name: "slots", run: |code, _| slots::fill(code) },
        ],
        rounds: 1,
    },
];

/// How many words of a program's own each pass took away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gains {
    /// Words as lowering wrote them, without what fills delays.
    pub plain: usize,
    /// Words after the last pass.
    pub words: usize,
    /// Each pass's name, and by how many words the program is longer for it, over all its runs; in the order of their first runs.
    pub passes: Vec<(&'static str, isize)>,
}

impl Gains {
    pub(super) fn from_plain(words: usize) -> Self {
        Self { plain: words, words, passes: Vec::new() }
    }

    pub(super) fn note(&mut self, name: &'static str, words: usize) {
        let change = words as isize - self.words as isize;
        self.words = words;
        match self.passes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += change,
            None => self.passes.push((name, change)),
        }
    }
}
