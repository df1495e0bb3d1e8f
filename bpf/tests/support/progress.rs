//! How far a long test is. The lines go past the harness, which holds back what tests print.

use std::cell::Cell;
use std::io::Write;
use std::time::{Duration, Instant};

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(10);

/// Of one thread: when its work began, when it last said something, what is done.
#[derive(Clone, Copy)]
struct Work {
    began: Instant,
    told: Instant,
    done: u64,
}

thread_local!(static WORK: Cell<Option<Work>> = const { Cell::new(None) });

/// One more of `what` is done by the test that this thread runs. A test that takes longer than ten seconds says how many
/// there are, every ten seconds.
pub fn one_more(what: &str) {
    let now = Instant::now();
    let mut work = WORK.get().unwrap_or(Work { began: now, told: now, done: 0 });
    work.done += 1;
    if now - work.told >= PAUSE {
        work.told = now;
        let thread = std::thread::current();
        let (name, seconds) = (thread.name().unwrap_or("a thread"), (now - work.began).as_secs());
        // Nobody may be there to read it.
        let _ = writeln!(std::io::stderr(), "{name}: {} {what} in {seconds} s", work.done);
    }
    WORK.set(Some(work));
}
