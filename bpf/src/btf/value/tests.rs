use proptest::prelude::*;

use super::text as value_text;
use super::*;
use crate::btf::Encoding::{self, Char, Signed, Unsigned};
use crate::btf::{EnumValue, NameOff, Type};

/// Types made by hand: strings and numbers as a compiler would give them.
struct Make {
    types: Vec<Type>,
    strings: Vec<u8>,
}

impl Make {
    fn new() -> Self {
        Make { types: vec![Type { name: NameOff(0), kind: Kind::Void }], strings: vec![0] }
    }

    fn name(&mut self, name: &str) -> NameOff {
        let at = self.strings.len() as u32;
        self.strings.extend(name.bytes().chain([0]));
        if name.is_empty() { NameOff(0) } else { NameOff(at) }
    }

    fn add(&mut self, name: &str, kind: Kind) -> TypeId {
        let name = self.name(name);
        self.types.push(Type { name, kind });
        TypeId(self.types.len() as u32 - 1)
    }

    fn int(&mut self, name: &str, size: u32, encoding: Encoding) -> TypeId {
        self.add(name, Kind::Int { size, encoding, bit_offset: 0, bits: 8 * size as u8 })
    }

    fn member(&mut self, name: &str, ty: TypeId, bit_offset: u32, bits: u8) -> Member {
        Member { name: self.name(name), ty, bit_offset, bits }
    }

    fn btf(self) -> Btf {
        Btf { types: self.types, strings: self.strings }
    }
}

fn text(text: &str) -> Written {
    Written::Text(text.to_owned())
}

fn fields(list: &[(&str, Written)]) -> Written {
    Written::Fields(list.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// What the structure below takes, checked against the layout a compiler gives it.
#[test]
fn a_structure_by_its_fields() {
    let mut make = Make::new();
    let (u8_, u16_, u32_) = (make.int("u8", 1, Unsigned), make.int("u16", 2, Unsigned), make.int("u32", 4, Unsigned));
    let be16 = make.add("__be16", Kind::Typedef(u16_));
    let int = make.int("int", 4, Signed);
    let mac = make.add("", Kind::Array { element: u8_, index: u32_, len: 6 });
    let action = {
        let values =
            [("DROP", 1u64), ("PASS", 2)].map(|(name, value)| EnumValue { name: make.name(name), value }).to_vec();
        make.add("action", Kind::Enum { size: 4, signed: false, values })
    };
    let inner = {
        let members = vec![make.member("hits", int, 0, 0)];
        make.add("", Kind::Struct { size: 4, members })
    };
    let members = vec![
        make.member("address", u32_, 0, 0),
        make.member("port", be16, 32, 0),
        make.member("mac", mac, 48, 0),
        make.member("low", u32_, 96, 3),
        make.member("high", u32_, 99, 5),
        make.member("", inner, 128, 0),
        make.member("action", action, 160, 0),
    ];
    let whole = make.add("rule", Kind::Struct { size: 24, members });
    let btf = make.btf();
    let encode = |written: &Written| encode(Some((&btf, whole)), 24, written, Endian::Little);
    let rule = fields(&[
        ("address", text("10.0.0.7")),
        ("port", Written::Number(80)),
        ("mac", text("02:00:00:00:00:07")),
        ("low", Written::Number(5)),
        ("high", Written::Number(17)),
        ("hits", Written::Number(-2)),
        ("action", text("PASS")),
    ]);
    let bytes = [10, 0, 0, 7, 0, 80, 2, 0, 0, 0, 0, 7, 17 << 3 | 5, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 2, 0, 0, 0];
    assert_eq!(encode(&rule), Ok(bytes.to_vec()));
    assert_eq!(encode(&fields(&[("action", text("0x1"))])).map(|bytes| bytes[20]), Ok(1));
    for (written, part) in [
        (fields(&[("port", Written::Number(65_536))]), "port: 65536 does not fit 2 bytes"),
        (fields(&[("low", Written::Number(8))]), "low: 8 does not fit 3 bits"),
        (fields(&[("colour", text("red"))]), "there is no field `colour`; there are: address, port"),
        (fields(&[("action", text("SEND"))]), "action: `SEND` is none of: DROP, PASS"),
        (Written::Number(7), "takes fields by name"),
    ] {
        let error = encode(&written).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn texts_that_are_bytes_by_themselves() {
    let encode = |written: &str, size| encode(None, size, &text(written), Endian::Little);
    let prefix = [8, 0, 0, 0, 10, 0, 0, 0].to_vec();
    assert_eq!(encode("10.0.0.0/8", 8), Ok(prefix));
    let mut v6 = vec![0; 20];
    (v6[0], v6[19]) = (128, 1);
    assert_eq!(encode("::1/128", 20), Ok(v6));
    assert_eq!(encode("258", 4), Ok(vec![2, 1, 0, 0]));
    assert_eq!(encode("-1", 2), Ok(vec![0xff; 2]));
    assert!(encode("10.0.0.0/33", 8).is_err() && encode("10.0.0.0/8", 20).is_err());
    assert!(encode("300", 1).is_err() && encode("rubbish", 4).is_err());
}

#[test]
fn a_dump_without_types_is_bytes() {
    let items = ["0x0a", "0x00", "0xff"].map(text).to_vec();
    assert_eq!(encode(None, 3, &Written::Items(items.clone()), Endian::Little), Ok(vec![10, 0, 255]));
    assert!(encode(None, 4, &Written::Items(items), Endian::Little).is_err());
}

#[test]
fn arrays_and_big_endian_machines() {
    let mut make = Make::new();
    let (char_, u32_) = (make.int("char", 1, Char), make.int("u32", 4, Unsigned));
    let name = make.add("", Kind::Array { element: char_, index: u32_, len: 8 });
    let words = make.add("", Kind::Array { element: u32_, index: u32_, len: 3 });
    let btf = make.btf();
    assert_eq!(encode(Some((&btf, name)), 8, &text("eth0"), Endian::Little), Ok(b"eth0\0\0\0\0".to_vec()));
    assert!(encode(Some((&btf, name)), 8, &text("a long name"), Endian::Little).is_err());
    let list = Written::Items(vec![Written::Number(1), Written::Number(2)]);
    assert_eq!(encode(Some((&btf, words)), 12, &list, Endian::Big), Ok(vec![0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0]));
}

#[test]
fn text_shows_what_was_written() {
    let mut make = Make::new();
    let (u32_, s16) = (make.int("u32", 4, Unsigned), make.int("s16", 2, Signed));
    let members = vec![
        make.member("port", u32_, 0, 11),
        make.member("delta", s16, 16, 5),
        make.member("", u32_, 21, 11),
        make.member("count", u32_, 32, 0),
    ];
    let flow = make.add("flow", Kind::Struct { size: 8, members });
    let btf = make.btf();
    proptest!(|(port in 0..2048i128, delta in -16..16i128, count in any::<u32>(), big in any::<bool>())| {
        let order = if big { Endian::Big } else { Endian::Little };
        let count = i128::from(count);
        let fields = [("port", port), ("delta", delta), ("count", count)];
        let written = fields.map(|(name, number)| (name.to_owned(), Written::Number(number)));
        let bytes = encode(Some((&btf, flow)), 8, &Written::Fields(written.to_vec()), order).unwrap();
        let shown = format!(r#"{{"port": {port},"delta": {delta},"(anon)": 0,"count": {count}}}"#);
        prop_assert_eq!(value_text(&btf, flow, &bytes, order), shown);
    });
}
