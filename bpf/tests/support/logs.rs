//! Logs of verifications, ours beside the kernel's.

/// What need not agree: addresses of maps, how long it took, and what Linux says of the stack's liveness on the way.
pub fn plain(log: &str) -> Vec<String> {
    let of_liveness = |l: &&str| {
        l.starts_with('(') && [" live stack", "+live", "-live", "+written", "-written"].iter().any(|of| l.contains(of))
    };
    let wide = |line: &str| {
        let Some(at) = line.find("(18) r") else { return line.trim_end().to_owned() };
        let (before, rest) = line.split_at(at);
        let state = rest.split_once(';').map_or("", |(_, state)| state);
        let name = rest.split(" = ").next().unwrap_or_default();
        format!("{before}{name};{state}").trim_end().to_owned()
    };
    let timed = |l: &&str| !l.starts_with("verification time");
    log.lines().filter(|l| !of_liveness(l)).filter(timed).map(wide).collect()
}
