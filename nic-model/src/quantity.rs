//! Quantities as people write them: a number and a unit.
//!
//! Every quantity is held as a whole number of its base unit, read and written in decimal without a float in between:
//! "1.2 GHz" is 1 200 000 000 Hz and prints as "1.2 GHz" again. What the base unit cannot hold is refused; only a
//! [`Duration`] is rounded, to the picosecond, because clock periods are written so ("833.3 ps").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::des::{Frequency, Time};
use crate::yaml;

/// Why a text is not the quantity it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantityError {
    /// What is wrong, one sentence without a full stop.
    pub reason: String,
    /// The units that are accepted, and an example.
    pub accepted: String,
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason, self.accepted)
    }
}

impl std::error::Error for QuantityError {}

/// How a kind of quantity is written.
struct Form {
    /// The kind with its article, for messages.
    what: &'static str,
    /// A value of it, for messages.
    example: &'static str,
    /// Units and what they are in base units, ascending. Of several names for one size the first is printed.
    units: &'static [(&'static str, u64)],
    /// Whether what is finer than the base unit is rounded rather than refused.
    rounds: bool,
    /// Whether it is printed with decimals: sizes in powers of two are not.
    decimals: bool,
}

impl Form {
    fn error(&self, reason: String) -> QuantityError {
        let mut names: Vec<&str> = self.units.iter().map(|(name, _)| *name).collect();
        names.dedup();
        QuantityError {
            reason,
            accepted: format!("write a number and one of {}, such as \"{}\"", names.join(", "), self.example),
        }
    }

    fn parse(&self, text: &str) -> Result<u64, QuantityError> {
        let shown: String = text.chars().take(40).collect();
        let text = text.trim();
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim_start());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| s.chars().filter(|c| *c != '_').collect::<String>();
        let (whole, fraction) = (digits(whole), digits(fraction));
        if whole.is_empty() || fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
            return Err(self.error(format!("\"{shown}\" is not {}: it does not begin with a number", self.what)));
        }
        let Some((_, scale)) = self.units.iter().find(|(name, _)| *name == unit) else {
            let reason = if unit.is_empty() { "it has no unit".to_owned() } else { format!("unknown unit \"{unit}\"") };
            return Err(self.error(format!("\"{shown}\" is not {}: {reason}", self.what)));
        };
        let too_large = || self.error(format!("\"{shown}\" is larger than {} can be", self.what));
        if whole.len() + fraction.len() > 36 {
            return Err(self.error(format!("\"{shown}\" has more digits than {} can hold", self.what)));
        }
        // 36 digits and a scale below 2^60 could pass 128 bits: the multiplication is checked.
        let mantissa: u128 = format!("{whole}{fraction}").parse().map_err(|_| too_large())?;
        let divisor = 10u128.pow(fraction.len() as u32);
        let scaled = mantissa.checked_mul(u128::from(*scale)).ok_or_else(too_large)?;
        let value = if scaled % divisor == 0 {
            scaled / divisor
        } else if self.rounds {
            (scaled + divisor / 2) / divisor
        } else {
            let base = self.units[0].0;
            return Err(self.error(format!("\"{shown}\" is not a whole number of {base}")));
        };
        u64::try_from(value).map_err(|_| too_large())
    }

    fn print(&self, value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |scale: u64| {
            if self.decimals {
                scale < 1_000 || value.is_multiple_of(scale / 1_000)
            } else {
                value.is_multiple_of(scale)
            }
        };
        let mut chosen = self.units[0];
        for unit in self.units {
            if unit.1 > chosen.1 && value >= unit.1 && fits(unit.1) {
                chosen = *unit;
            }
        }
        let (name, scale) = chosen;
        let (whole, rest) = (value / scale, value % scale);
        if rest == 0 {
            return write!(f, "{whole} {name}");
        }
        let thousandths = u128::from(rest) * 1_000 / u128::from(scale);
        write!(f, "{whole}.{} {name}", format!("{thousandths:03}").trim_end_matches('0'))
    }
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $form:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl $name {
            const FORM: Form = $form;
        }

        impl FromStr for $name {
            type Err = QuantityError;
            fn from_str(text: &str) -> Result<Self, QuantityError> {
                Self::FORM.parse(text).map($name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Self::FORM.print(self.0, f)
            }
        }

        quantity!(serde $name);
    };
    (serde $name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(QuantityVisitor(std::marker::PhantomData))
            }
        }

        impl Parsed for $name {
            fn parsed(text: &str) -> Result<Self, QuantityError> {
                text.parse()
            }
        }
    };
}

/// What the visitor reads: a text, or a bare number taken as a text without a unit, so that its message names the units.
trait Parsed: Sized {
    fn parsed(text: &str) -> Result<Self, QuantityError>;
}

struct QuantityVisitor<T>(std::marker::PhantomData<T>);

impl<T: Parsed> serde::de::Visitor<'_> for QuantityVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number and a unit")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        T::parsed(text).map_err(|e| E::custom(yaml::refusal(&e.reason, &e.accepted)))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

const K: u64 = 1_000;

quantity! {
    /// An amount of data, in bytes.
    Bytes, Form {
        what: "a size",
        example: "64 KiB",
        units: &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)],
        rounds: false,
        decimals: false,
    }
}

quantity! {
    /// A span of time, in picoseconds.
    Duration, Form {
        what: "a time",
        example: "25 ns",
        units: &[("ps", 1), ("ns", K), ("us", K * K), ("\u{b5}s", K * K), ("ms", K * K * K), ("s", K * K * K * K)],
        rounds: true,
        decimals: true,
    }
}

impl Duration {
    /// As a span of simulated time.
    pub const fn time(self) -> Time {
        Time::from_ps(self.0)
    }
}

quantity! {
    /// Data in time, in bits per second.
    BitRate, Form {
        what: "a bit rate",
        example: "40 Gbps",
        units: &[("bps", 1), ("kbps", K), ("Mbps", K * K), ("Gbps", K * K * K), ("Tbps", K * K * K * K)],
        rounds: false,
        decimals: true,
    }
}

impl BitRate {
    /// How long `bits` take, rounded up to the picosecond; [`Time::NEVER`] at rate zero.
    pub const fn time_of(self, bits: u64) -> Time {
        if self.0 == 0 {
            return Time::NEVER;
        }
        let ps = (bits as u128 * 1_000_000_000_000).div_ceil(self.0 as u128);
        Time::from_ps(if ps > u64::MAX as u128 { u64::MAX } else { ps as u64 })
    }
}

quantity! {
    /// Packets in time, in packets per second.
    PacketRate, Form {
        what: "a packet rate",
        example: "25 Mpps",
        units: &[("pps", 1), ("kpps", K), ("Mpps", K * K), ("Gpps", K * K * K)],
        rounds: false,
        decimals: true,
    }
}

quantity! {
    /// A share of a whole, in parts per billion.
    Ratio, Form {
        what: "a share",
        example: "10 %",
        units: &[("ppb", 1), ("ppm", K), ("%", 10 * K * K)],
        rounds: false,
        decimals: true,
    }
}

impl Ratio {
    /// The share of `amount`, rounded to nearest.
    pub const fn of(self, amount: u64) -> u64 {
        let part = (amount as u128 * self.0 as u128 + 500_000_000) / 1_000_000_000;
        if part > u64::MAX as u128 { u64::MAX } else { part as u64 }
    }
}

const FREQUENCY: Form = Form {
    what: "a frequency",
    example: "800 MHz",
    units: &[("Hz", 1), ("kHz", K), ("MHz", K * K), ("GHz", K * K * K)],
    rounds: false,
    decimals: true,
};

impl FromStr for Frequency {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let hz = FREQUENCY.parse(text)?;
        Frequency::from_hz(hz).ok_or_else(|| FREQUENCY.error("a frequency cannot be zero".to_owned()))
    }
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FREQUENCY.print(self.hz(), f)
    }
}

quantity!(serde Frequency);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn written_as_people_write_them() {
        assert_eq!("800 MHz".parse(), Ok(Frequency::from_hz(800_000_000).unwrap()));
        assert_eq!("1.2GHz".parse(), Ok(Frequency::from_hz(1_200_000_000).unwrap()));
        assert_eq!("64 KiB".parse(), Ok(Bytes(65_536)));
        assert_eq!("1.5 KiB".parse(), Ok(Bytes(1_536)));
        assert_eq!("833.3 ps".parse(), Ok(Duration(833)));
        assert_eq!("0.8335 ns".parse(), Ok(Duration(834)));
        assert_eq!("20 \u{b5}s".parse(), Ok(Duration(20_000_000)));
        assert_eq!("40 Gbps".parse(), Ok(BitRate(40_000_000_000)));
        assert_eq!("14.880952 Mpps".parse(), Ok(PacketRate(14_880_952)));
        assert_eq!("12.5 %".parse(), Ok(Ratio(125_000_000)));
        assert_eq!("1_000 B".parse(), Ok(Bytes(1_000)));
    }

    #[test]
    fn printed_in_the_largest_unit_that_is_exact() {
        for text in ["800 MHz", "1.2 GHz", "64 KiB", "1500 B", "833 ps", "25 ns", "20 us", "1.001 ms", "0 ps", "100 %"]
        {
            let printed = match text.rsplit(' ').next().unwrap() {
                "MHz" | "GHz" => text.parse::<Frequency>().unwrap().to_string(),
                "KiB" | "B" => text.parse::<Bytes>().unwrap().to_string(),
                "%" => text.parse::<Ratio>().unwrap().to_string(),
                _ => text.parse::<Duration>().unwrap().to_string(),
            };
            assert_eq!(printed, text);
        }
        assert_eq!(Duration(1_000_001).to_string(), "1000.001 ns");
        assert_eq!(BitRate(14_880_952_381).to_string(), "14880952.381 kbps");
    }

    #[test]
    fn a_wrong_unit_names_the_right_ones() {
        let e = "800 Mhz".parse::<Frequency>().unwrap_err();
        assert_eq!(e.reason, "\"800 Mhz\" is not a frequency: unknown unit \"Mhz\"");
        assert_eq!(e.accepted, "write a number and one of Hz, kHz, MHz, GHz, such as \"800 MHz\"");
        assert_eq!("64".parse::<Bytes>().unwrap_err().reason, "\"64\" is not a size: it has no unit");
        for bad in ["", "ns", ".5 ns", "5. ns", "1.2.3 ns", "-1 ns", "1e9 ns", "NaN ns", "25 ns!"] {
            assert!(bad.parse::<Duration>().is_err(), "{bad}");
        }
        assert!("0 Hz".parse::<Frequency>().is_err());
        assert!("0.5 B".parse::<Bytes>().is_err());
        assert!("99999999999999999999999999 GiB".parse::<Bytes>().is_err());
        assert!(format!("{} s", "9".repeat(5_000)).parse::<Duration>().is_err());
    }

    #[test]
    fn a_bit_rate_gives_times() {
        let line = BitRate(10_000_000_000);
        assert_eq!(line.time_of(84 * 8), Time::from_ps(67_200));
        assert_eq!(BitRate(0).time_of(1), Time::NEVER);
        assert_eq!(Ratio(500_000_000).of(3), 2);
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(value: u64) {
            prop_assert_eq!(Bytes(value).to_string().parse(), Ok(Bytes(value)));
            prop_assert_eq!(Duration(value).to_string().parse(), Ok(Duration(value)));
            prop_assert_eq!(BitRate(value).to_string().parse(), Ok(BitRate(value)));
            prop_assert_eq!(PacketRate(value).to_string().parse(), Ok(PacketRate(value)));
            prop_assert_eq!(Ratio(value).to_string().parse(), Ok(Ratio(value)));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Duration>();
            let _ = text.parse::<Frequency>();
            let _ = text.parse::<Bytes>();
        }
    }
}
