//! The larger programs of `scenarios/programs`: what their scenarios give is what an independent count of the trace says, and
//! every frame that leaves has right checksums in the eyes of tshark; the running kernel does the same packet by packet.

mod fanout;
mod linux;

use std::path::Path;
use std::process::{Command, Output};

use linux::Case;

use crate::support::scenario::scenarios;

/// Whether a tool that a check needs is there. `variable` says that this machine has it: then its absence is a failure.
fn has(tool: &str, variable: &str, test: &str) -> bool {
    if Command::new(tool).arg("--version").output().is_ok() {
        return true;
    }
    assert!(std::env::var_os(variable).is_none(), "{test}: {tool} is not there");
    eprintln!("SKIPPED {test}: {tool} is not there");
    false
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Runs a scenario, its check, and tshark over all that left.
fn checked(name: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let at = directory.path();
    let run = Command::new(env!("CARGO_BIN_EXE_sim"))
        .current_dir(at)
        .arg("run")
        .arg(scenarios().join(format!("{name}.yaml")))
        .args(["--quiet", "--results", ".", "--capture", "."])
        .output()
        .expect("the tool runs");
    assert!(run.status.success(), "{name}: {}", text(&run));
    if has("python3", "REQUIRE_PYTHON", name) {
        let check = scenarios().join(format!("check/{name}.py"));
        let check = Command::new("python3").arg("-B").arg(check).arg(at).output().expect("python3 runs");
        assert!(check.status.success(), "{}", text(&check));
    }
    if has("tshark", "REQUIRE_TSHARK", name) {
        assert!(sound(at) > 1_000 || ["telemetry", "steer", "guard"].contains(&name), "{name}: frames have left");
    }
}

/// Every frame that left has sound checksums, of headers and of what they carry. How many bytes of them there are.
fn sound(directory: &Path) -> u64 {
    let mut frames = 0;
    for entry in std::fs::read_dir(directory).expect("the directory is there") {
        let path = entry.expect("a directory can be read").path();
        if path.extension().is_none_or(|e| e != "pcap") {
            continue;
        }
        // A sum of 0xffff is one of 0 (RFC 1071), though tshark takes it so for UDP alone: the trace has one of TCP.
        let bad = "ip.checksum.status == Bad || (tcp.checksum.status == Bad && !(tcp.checksum == 0xffff)) || udp.checksum.status == Bad \
                   || icmp.checksum.status == Bad || icmpv6.checksum.status == Bad || _ws.malformed";
        let mut tshark = Command::new("tshark");
        tshark.args(["-n", "-r"]).arg(&path);
        for check in ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"] {
            tshark.args(["-o", &format!("{check}:TRUE")]);
        }
        let shown = tshark.args(["-Y", bad]).output().expect("tshark runs");
        assert!(shown.status.success(), "{}", text(&shown));
        let lines = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert_eq!(lines.lines().next(), None, "{}: {} frames", path.display(), lines.lines().count());
        frames += std::fs::metadata(&path).expect("the file is there").len();
    }
    frames
}

#[test]
fn balancer() {
    checked("balancer");
}

#[test]
fn balancer_in_linux() {
    // When a connection was seen last.
    let blank = &[("connections", 8..16)];
    linux::agree(Case { scenario: "balancer", program: "xdp_balancer", behind: None, blank, instead: &[] });
}

#[test]
fn stateful() {
    checked("stateful");
}

#[test]
fn stateful_in_linux() {
    let blank = &[("connections", 8..16), ("fragments", 0..8)];
    const AN_HOUR: &[u8] = &3_600_000_000_000u64.to_le_bytes();
    let instead = &[("lifetimes", AN_HOUR)];
    linux::agree(Case { scenario: "stateful", program: "xdp_stateful", behind: None, blank, instead });
}

#[test]
fn router() {
    checked("router");
}

#[test]
fn router_in_linux() {
    linux::agree(Case { scenario: "router", program: "xdp_router", behind: None, blank: &[], instead: &[] });
}

#[test]
fn tunnel() {
    checked("tunnel");
}

#[test]
fn tunnel_in_linux() {
    for program in ["tc_wrap", "xdp_unwrap"] {
        linux::agree(Case { scenario: "tunnel", program, behind: None, blank: &[], instead: &[] });
    }
}

#[test]
fn nat64() {
    checked("nat64");
}

#[test]
fn nat64_in_linux() {
    linux::agree(Case { scenario: "nat64", program: "tc_nat64", behind: None, blank: &[], instead: &[] });
}

#[test]
fn telemetry() {
    checked("telemetry");
}

#[test]
fn telemetry_in_linux() {
    // When things were seen; the first bytes of a record are its time.
    let blank = &[("flows", 16..32), ("events", 0..8)];
    linux::agree(Case { scenario: "telemetry", program: "xdp_telemetry", behind: None, blank, instead: &[] });
}

#[test]
fn steer() {
    checked("steer");
}

#[test]
fn steer_in_linux() {
    linux::agree(Case { scenario: "steer", program: "tc_steer", behind: None, blank: &[], instead: &[] });
}

#[test]
fn guard() {
    checked("guard");
}

#[test]
fn guard_in_linux() {
    let (program, behind) = ("xdp_gate", Some("tc_judge"));
    linux::agree(Case { scenario: "guard", program, behind, blank: &[], instead: &[] });
}

#[test]
fn fanout() {
    checked("fanout");
}

/// Test runs send nothing: here frames do go where the programs send them.
#[test]
fn fanout_in_linux() {
    fanout::agree();
}
