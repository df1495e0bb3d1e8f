//! A scenario as it is written: the shape of the YAML, with nothing looked up yet.

use std::fmt;
use std::marker::PhantomData;

use indexmap::IndexMap;
use nic_model::quantity::{BitRate, Duration, PacketRate};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Deserialize as DeriveDeserialize, Serialize};

use crate::traffic::Pacing;

/// A scenario file.
#[derive(Debug, Clone, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name; the directory under `results/`.
    pub name: String,
    /// What the scenario shows, for people.
    #[serde(default)]
    pub description: String,
    /// Seed of everything random.
    #[serde(default = "one")]
    pub seed: u64,
    /// What arrives on the wire, one or more sources.
    pub traffic: Vec<Traffic>,
    /// Programs by the name that variants attach them under.
    #[serde(default)]
    pub programs: IndexMap<String, Program>,
    /// The card.
    pub nic: Profile,
    /// The host.
    pub host: Profile,
    /// The network around the host.
    #[serde(default)]
    pub environment: Environment,
    /// The placements to compare, in the order of the report.
    pub variants: IndexMap<String, Variant>,
    /// What must hold, such as `offload.throughput >= 25 Mpps`.
    #[serde(default)]
    pub expect: Vec<String>,
}

fn one() -> u64 {
    1
}

/// One source of frames.
#[derive(Debug, Clone, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// The trace, relative to the scenario's directory.
    pub pcap: String,
    /// Port of the card the frames arrive at.
    #[serde(default)]
    pub port: u8,
    /// When the source begins, from the run's beginning on.
    #[serde(default)]
    pub start: Option<Duration>,
    /// When each frame comes.
    #[serde(default, deserialize_with = "pacing")]
    pub pacing: Pacing,
    /// How often the trace is played.
    #[serde(default = "one", rename = "loop")]
    pub repeat: u64,
    /// Stop after that many frames, whatever is left of the trace.
    #[serde(default)]
    pub limit: Option<u64>,
}

/// A program of the scenario.
#[derive(Debug, Clone, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The object, relative to the scenario's directory.
    pub object: String,
    /// The function's symbol; may be left out where the object has one program.
    #[serde(default)]
    pub program: Option<String>,
    /// Program type, where the section's name does not tell: `xdp`, `tc`, `action`, `socket`.
    #[serde(default, rename = "type")]
    pub ty: Option<String>,
    /// What is in its maps before the first packet.
    #[serde(default)]
    pub maps: IndexMap<String, MapContents>,
    /// What user space does to its maps while packets flow.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// Ring buffers of it that user space reads while packets flow.
    #[serde(default)]
    pub readers: Vec<Reader>,
}

/// A reader of a ring buffer.
#[derive(Debug, Clone, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// The map.
    pub map: String,
    /// Time between two looks; each takes all that is there.
    pub every: Duration,
}

/// Something user space does at a time; one of an update, a deletion, a look-up and a walk through the whole map.
#[derive(Debug, Clone, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// When, from the run's beginning on.
    pub at: Duration,
    /// The map.
    pub map: String,
    /// The entry to write.
    #[serde(default)]
    pub update: Option<Entry>,
    /// The entry to delete.
    #[serde(default)]
    pub delete: Option<Key>,
    /// The entry to read.
    #[serde(default)]
    pub lookup: Option<Key>,
    /// Whether all entries are read.
    #[serde(default)]
    pub dump: bool,
    /// Which process does it; what one does follows each other.
    #[serde(default)]
    pub process: u16,
}

/// The key of an entry.
#[derive(Debug, Clone, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key.
    pub key: serde_yaml::Value,
}

/// Contents of one map.
#[derive(Debug, Clone, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct MapContents {
    /// A JSON or CSV file of entries, relative to the scenario's directory; they come first.
    #[serde(default)]
    pub file: Option<String>,
    /// Entries, written in order.
    #[serde(default)]
    pub entries: Vec<Entry>,
}

/// One entry; both sides in the notation of [`super::bytes`], or as values of their types.
#[derive(Debug, Clone, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The key.
    pub key: serde_yaml::Value,
    /// The value. Of an array of programs or of maps it is `{program: NAME}` or `{map: NAME}`, of the same
    /// object; of devices and processors with programs `{ifindex: N, program: NAME}` and `{qsize: N, program: NAME}`.
    pub value: serde_yaml::Value,
}

/// Devices, routes, neighbours and sockets; ports of the card have devices without being named.
#[derive(Debug, Clone, Default, PartialEq, Eq, DeriveDeserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Devices of ports to describe, and virtual ones.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Routes beside those that addresses bring.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Rules beside the three that are always there.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Stations on the links.
    #[serde(default)]
    pub neighbours: Vec<Neighbour>,
    /// Sockets of the host.
    #[serde(default)]
    pub sockets: Vec<Socket>,
}

/// What a device says of the checksums of packets it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, DeriveDeserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReceiveChecksum {
    /// Nothing: the stack computes them (`CHECKSUM_NONE`).
    None,
    /// The sum of all that follows the link-layer header (`CHECKSUM_COMPLETE`).
    Complete,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, DeriveDeserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// The port it is of; a device of none is virtual.
    #[serde(default)]
    pub port: Option<u8>,
    /// Its number; those of ports are 2 and on, virtual ones follow in the order written.
    #[serde(default)]
    pub ifindex: Option<u32>,
    /// Hardware address.
    #[serde(default)]
    pub mac: Option<String>,
    /// Longest packet in bytes.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// What it says of the checksums of packets it receives; nothing if nothing is said.
    #[serde(default)]
    pub receive_checksum: Option<ReceiveChecksum>,
    /// Whether it is up, which it is if nothing is said.
    #[serde(default)]
    pub up: Option<bool>,
    /// Whether what comes in by it is forwarded, which it is if nothing is said.
    #[serde(default)]
    pub forwarding: Option<bool>,
    /// The other end of a virtual pair, by name.
    #[serde(default)]
    pub peer: Option<String>,
    /// Addresses with lengths.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, DeriveDeserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Where to: an address with a length, `default` or `default6`.
    pub to: String,
    /// The device, by name.
    #[serde(default)]
    pub dev: Option<String>,
    /// The gateway.
    #[serde(default)]
    pub via: Option<String>,
    /// `unicast`, `local`, `broadcast`, `blackhole`, `unreachable`, `prohibit` or `throw`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Table, 254 (`main`) if nothing is said.
    #[serde(default)]
    pub table: Option<u32>,
    /// The lower, the better.
    #[serde(default)]
    pub metric: Option<u32>,
    /// Type of service it is for.
    #[serde(default)]
    pub tos: Option<u8>,
    /// Address to send from.
    #[serde(default)]
    pub src: Option<String>,
    /// Longest packet.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Whether that is final (`mtu lock`).
    #[serde(default)]
    pub mtu_lock: bool,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, DeriveDeserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The lower, the sooner it is asked.
    pub preference: u32,
    /// Sources, `default` or `default6` if nothing is said.
    #[serde(default)]
    pub from: Option<String>,
    /// Destinations.
    #[serde(default)]
    pub to: Option<String>,
    /// The device packets came in by, by name.
    #[serde(default)]
    pub iif: Option<String>,
    /// Mark.
    #[serde(default)]
    pub mark: Option<u32>,
    /// Table to ask.
    pub table: u32,
}

/// A station on a link.
#[derive(Debug, Clone, PartialEq, Eq, DeriveDeserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbour {
    /// The device, by name.
    pub dev: String,
    /// Its address.
    pub address: String,
    /// Its hardware address.
    pub mac: String,
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq, DeriveDeserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Socket {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Address and port: `10.0.0.1:80`, `[::]:80`.
    pub local: String,
    /// Whom it is connected to; a TCP socket of nobody listens.
    #[serde(default)]
    pub remote: Option<String>,
}

/// A profile by name or file, and what is changed in it.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Name of a built-in profile, or a path (it ends in `.yaml`) relative to the scenario's directory.
    pub profile: String,
    /// Values by dotted path, in the order written.
    pub set: IndexMap<String, serde_yaml::Value>,
}

/// One placement.
#[derive(Debug, Clone, DeriveDeserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Which programs run where; nothing means that the host's stack gets every packet.
    #[serde(default)]
    pub attach: Attach,
    /// Receive queues of the host, each with a core of its own.
    #[serde(default)]
    pub queues: Option<u32>,
    /// Whose translation puts the program on the card; the card's own rules say, where it is left out.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// What replaces the program on the card while packets flow, by time.
    #[serde(default)]
    pub replace: Vec<Replace>,
}

/// A program that replaces the one on the card.
#[derive(Debug, Clone, DeriveDeserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// When, from the run's beginning on.
    pub at: Duration,
    /// The program.
    pub with: String,
}

/// Whose translation, by the names of [`offload_jit::Mode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, DeriveDeserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The Linux driver's.
    Driver,
    /// This project's.
    Best,
}

impl From<Mode> for offload_jit::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Driver => offload_jit::Mode::Driver,
            Mode::Best => offload_jit::Mode::Best,
        }
    }
}

/// Hooks, in the order a packet meets them.
#[derive(Debug, Clone, Default, DeriveDeserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Attach {
    /// On the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xdp_offload: Option<String>,
    /// In the driver's receive path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xdp_native: Option<String>,
    /// At the clsact qdisc's ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tc_ingress: Option<String>,
}

impl Attach {
    /// Hook names with what is attached there, in the order a packet meets them.
    pub fn hooks(&self) -> [(&'static str, Option<&str>); 3] {
        [
            ("xdp-offload", self.xdp_offload.as_deref()),
            ("xdp-native", self.xdp_native.as_deref()),
            ("tc-ingress", self.tc_ingress.as_deref()),
        ]
    }
}

/// Reads a value that is written as a word or as a mapping.
struct WordOr<T, F>(F, &'static str, PhantomData<T>);

impl<'de, T: Deserialize<'de>, F: FnOnce(&str) -> Result<T, String>> Visitor<'de> for WordOr<T, F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
        (self.0)(word).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[derive(DeriveDeserialize)]
#[serde(deny_unknown_fields)]
struct ProfileTable {
    profile: String,
    #[serde(default)]
    set: IndexMap<String, serde_yaml::Value>,
}

/// The mapping form; apart from [`Profile`] so that one derives and the other chooses.
struct ProfileForm(ProfileTable);

impl<'de> Deserialize<'de> for ProfileForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ProfileTable::deserialize(deserializer).map(ProfileForm)
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = |w: &str| Ok(ProfileForm(ProfileTable { profile: w.to_owned(), set: IndexMap::new() }));
        let expected = "a profile's name, a file, or {profile: NAME, set: {PATH: VALUE}}";
        let ProfileForm(table) = deserializer.deserialize_any(WordOr(word, expected, PhantomData))?;
        Ok(Profile { profile: table.profile, set: table.set })
    }
}

#[derive(DeriveDeserialize)]
#[serde(deny_unknown_fields)]
struct PacingTable {
    rate: Option<String>,
    speed: Option<u32>,
}

const PACING_FORMS: &str = "recorded, line-rate, {rate: 40 Gbps}, {rate: 25 Mpps} or {speed: 10}";

fn pacing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pacing, D::Error> {
    struct Form(Pacing);
    impl<'de> Deserialize<'de> for Form {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let table = PacingTable::deserialize(deserializer)?;
            match (table.rate, table.speed) {
                (Some(rate), None) => rate_of(&rate).map(Form).map_err(de::Error::custom),
                (None, Some(0)) => Err(de::Error::custom("speed is 0; the replay would never end")),
                (None, Some(speed)) => Ok(Form(Pacing::Speed(speed))),
                _ => Err(de::Error::custom(format!("pacing is one of {PACING_FORMS}"))),
            }
        }
    }
    let word = |w: &str| match w {
        "recorded" => Ok(Form(Pacing::Recorded)),
        "line-rate" => Ok(Form(Pacing::LineRate)),
        other => Err(format!("`{other}` is no pacing; use {PACING_FORMS}")),
    };
    deserializer.deserialize_any(WordOr(word, PACING_FORMS, PhantomData)).map(|Form(pacing)| pacing)
}

fn rate_of(text: &str) -> Result<Pacing, String> {
    let pacing = match (text.parse::<BitRate>(), text.parse::<PacketRate>()) {
        (Ok(bits), _) => Pacing::Bits(bits),
        (_, Ok(packets)) => Pacing::Packets(packets),
        (Err(e), Err(_)) => return Err(format!("{e}; a rate may also be in packets: 25 Mpps")),
    };
    match pacing {
        Pacing::Bits(BitRate(0)) | Pacing::Packets(PacketRate(0)) => Err(format!("rate `{text}` is zero")),
        rate => Ok(rate),
    }
}
