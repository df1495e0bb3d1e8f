//! What maps hold before the first packet: entries of a scenario, or of a file beside it.
//!
//! A key or value is bytes in the notation of [`super::bytes`], or a value of its type ([`bpf::btf::value`]). Text that is
//! both is bytes: `12` is a byte of 0x12 where one byte is wanted, and the number twelve where more are. A number that is
//! written as one is always a number.
//!
//! A JSON file is a list of objects with `key` and `value`, as maps are dumped. A CSV file has a line of names: `key` and
//! `value`, or `key.FIELD` and `value.FIELD` for structures; cells that look like numbers are numbers.

use bpf::btf::value::{Written, encode};
use bpf::btf::{Btf, TypeId};
use bpf::program::{MapSpec, MapType, Program};
use serde_yaml::Value;

use super::bytes;

/// A key and a value in bytes.
pub type Entry = (Vec<u8>, Vec<u8>);

/// One side of an entry, as its map takes it.
struct Side<'a> {
    name: &'static str,
    map: &'a str,
    types: Option<(&'a Btf, TypeId)>,
    size: u32,
}

impl Side<'_> {
    fn bytes(&self, program: &Program, value: &Written) -> Result<Vec<u8>, String> {
        let (name, map, size) = (self.name, self.map, self.size);
        let plain = match value {
            Written::Text(text) => Some(bytes::parse(text)),
            _ => None,
        };
        if let Some(Ok(bytes)) = &plain
            && bytes.len() == size as usize
        {
            return Ok(bytes.clone());
        }
        encode(self.types, size, value, program.byte_order).map_err(|typed| match plain {
            Some(Ok(bytes)) => {
                let len = bytes.len();
                format!("a {name} of map `{map}` takes {size} bytes, and that is {len} bytes; as a value: {typed}")
            }
            Some(Err(notation)) if self.types.is_none() => notation,
            _ => format!("{name} of map `{map}`: {typed}"),
        })
    }
}

fn sides<'a>(program: &'a Program, spec: &'a MapSpec) -> [Side<'a>; 2] {
    let typed = |ty: Option<TypeId>| program.btf.as_deref().zip(ty);
    let map = spec.name.as_str();
    [
        Side { name: "key", map, types: typed(spec.key_type), size: spec.key_size },
        Side { name: "value", map, types: typed(spec.value_type), size: spec.value_size },
    ]
}

/// The bytes of a key of a scenario.
///
/// # Errors
/// Why it is none.
pub fn key(program: &Program, spec: &MapSpec, key: &Value) -> Result<Vec<u8>, String> {
    let [side, _] = sides(program, spec);
    side.bytes(program, &from_yaml(key)?)
}

/// The bytes of a value of a scenario.
///
/// # Errors
/// Why it is none.
pub fn value(program: &Program, spec: &MapSpec, value: &Value) -> Result<Vec<u8>, String> {
    let value = from_yaml(value)?;
    // A record is as long as it is.
    if let (MapType::USER_RINGBUF, Written::Text(text)) = (spec.ty, &value) {
        return bytes::parse(text);
    }
    let [_, side] = sides(program, spec);
    side.bytes(program, &value)
}

/// A YAML value as a value of a map.
fn from_yaml(value: &Value) -> Result<Written, String> {
    Ok(match value {
        Value::Bool(truth) => Written::Bool(*truth),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Written::Number(number.into()),
            (None, Some(number)) => Written::Number(number.into()),
            (None, None) => return Err(format!("{number} is no whole number of 64 bits")),
        },
        Value::String(text) => Written::Text(text.clone()),
        Value::Sequence(items) => Written::Items(items.iter().map(from_yaml).collect::<Result<_, _>>()?),
        Value::Mapping(map) => {
            let field = |(name, value): (&Value, &Value)| match name {
                Value::String(name) => Ok((name.clone(), from_yaml(value)?)),
                _ => Err("names of fields are text".to_owned()),
            };
            Written::Fields(map.iter().map(field).collect::<Result<_, _>>()?)
        }
        Value::Null | Value::Tagged(_) => return Err("is missing".to_owned()),
    })
}

/// The entries of a file, by its name's ending.
///
/// # Errors
/// The place in the file, and why.
pub fn file(program: &Program, spec: &MapSpec, name: &str, text: &str) -> Result<Vec<Entry>, String> {
    let rows = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("json") => json(text)?,
        Some("csv") => csv(text)?,
        _ => return Err("the name ends in neither .json nor .csv".to_owned()),
    };
    let [key, value] = sides(program, spec);
    let bytes = |(place, written_key, written_value): (String, Written, Written)| {
        let at = |reason: String| format!("{place}: {reason}");
        Ok((key.bytes(program, &written_key).map_err(at)?, value.bytes(program, &written_value).map_err(at)?))
    };
    rows.into_iter().map(bytes).collect()
}

/// Where a row stands, its key, its value.
type Row = (String, Written, Written);

fn json(text: &str) -> Result<Vec<Row>, String> {
    let whole: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Value::Sequence(entries) = whole else { return Err("the file is no list of entries".to_owned()) };
    let row = |(at, entry): (usize, Value)| {
        let place = format!("entry {at}");
        let side = |name: &str| match entry.get(name) {
            Some(value) => from_yaml(value).map_err(|reason| format!("{place}: {name}: {reason}")),
            None => Err(format!("{place}: there is no `{name}`")),
        };
        Ok((place.clone(), side("key")?, side("value")?))
    };
    entries.into_iter().enumerate().map(row).collect()
}

fn csv(text: &str) -> Result<Vec<Row>, String> {
    let mut lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let Some((names, _)) = lines.next() else { return Err("line 1: there is no line of names".to_owned()) };
    let names = cells(names).map_err(|reason| format!("line 1: {reason}"))?;
    for name in &names {
        if !matches!(name.split('.').next(), Some("key" | "value")) {
            return Err(format!("line 1: `{name}` is neither key nor value, nor a field of one"));
        }
    }
    let row = |(line, number): (&str, usize)| {
        let place = format!("line {number}");
        let cells = cells(line).map_err(|reason| format!("{place}: {reason}"))?;
        if cells.len() != names.len() {
            return Err(format!("{place}: {} cells for {} names", cells.len(), names.len()));
        }
        let side = |wanted: &str| {
            let mine: Vec<_> =
                names.iter().zip(&cells).filter(|(name, _)| name.split('.').next() == Some(wanted)).collect();
            match mine[..] {
                [] => Err(format!("{place}: there is no `{wanted}`")),
                [(name, cell)] if name == wanted => Ok(cell_value(cell)),
                _ => Ok(fields(mine.iter().map(|(name, cell)| (&name[wanted.len()..], cell_value(cell))))),
            }
        };
        Ok((place.clone(), side("key")?, side("value")?))
    };
    lines.map(row).collect()
}

/// Fields by dotted names, `.port` and the like, one level.
fn fields<'a>(named: impl Iterator<Item = (&'a str, Written)>) -> Written {
    Written::Fields(named.map(|(name, value)| (name.trim_start_matches('.').to_owned(), value)).collect())
}

fn cell_value(cell: &str) -> Written {
    cell.parse::<i64>().map_or_else(|_| Written::Text(cell.to_owned()), |number| Written::Number(number.into()))
}

/// The cells of a line; those with commas stand in double quotes, a quote in them is doubled (RFC 4180).
fn cells(line: &str) -> Result<Vec<String>, String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                cell.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            c => cell.push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    cells.push(cell.trim().to_owned());
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpf::program::ProgType;

    fn program(key_size: u32, value_size: u32) -> (Program, MapSpec) {
        let spec = MapSpec { name: "m".into(), ty: MapType::HASH, key_size, value_size, ..MapSpec::default() };
        (Program::from_insns("p", ProgType::Xdp, Vec::new(), vec![spec.clone()]), spec)
    }

    #[test]
    fn a_dump_and_a_table_say_the_same() {
        let (program, spec) = program(4, 2);
        let wanted = vec![(vec![10, 0, 0, 7], vec![1, 0]), (vec![10, 0, 0, 8], vec![0, 2])];
        let json =
            r#"[{"key": "10.0.0.7", "value": 1}, {"key": ["0x0a","0x00","0x00","0x08"], "value": ["0x00","0x02"]}]"#;
        assert_eq!(file(&program, &spec, "a.json", json), Ok(wanted.clone()));
        assert_eq!(file(&program, &spec, "a.csv", "key,value\n10.0.0.7,1\n\n\"10.0.0.8\", 512\n"), Ok(wanted));
    }

    #[test]
    fn what_is_wrong_is_placed() {
        let (program, spec) = program(4, 2);
        for (name, text, part) in [
            ("a.json", "[{\"key\": 1}]", "entry 0: there is no `value`"),
            ("a.json", "{}", "no list"),
            ("a.csv", "key,colour\n", "line 1: `colour`"),
            ("a.csv", "key,value\n1,2\n1,70000\n", "line 3: value of map `m`: 70000 does not fit 2 bytes"),
            ("a.csv", "key,value\n1\n", "line 2: 1 cells for 2 names"),
            ("a.csv", "key,value\n\"1,2\n", "line 2: a quote"),
            ("a.txt", "", "neither"),
        ] {
            let error = file(&program, &spec, name, text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn records_are_as_long_as_they_are() {
        let (program, spec) = program(0, 0);
        let spec = MapSpec { ty: MapType::USER_RINGBUF, ..spec };
        assert_eq!(key(&program, &spec, &Value::from("")), Ok(vec![]));
        assert_eq!(value(&program, &spec, &Value::from("10.0.0.7 1le16")), Ok(vec![10, 0, 0, 7, 1, 0]));
    }

    /// The load balancer's tables, by the notation of bytes and by the types in the object.
    #[test]
    fn types_of_an_object() {
        let object = include_bytes!("../../../scenarios/programs/l4lb.bpf.o");
        let program = bpf::object::Object::parse(object).unwrap().program(None, None).unwrap();
        for (map, yaml, by_bytes) in [
            (
                "services",
                "{key: {address: 198.51.100.10, port: 80, protocol: 6}, value: {mask: 3, first: 8}}",
                "{key: 198.51.100.10 80be16 6u8 pad1, value: 8le32 3le32 0le32}",
            ),
            (
                "backends",
                "{key: 2, value: {address: 203.0.113.202, mac: \"00:00:5e:00:53:12\"}}",
                "{key: 2le32, value: \"203.0.113.202 00:00:5e:00:53:12 pad2\"}",
            ),
        ] {
            let spec = program.maps.iter().find(|spec| spec.name == map).unwrap();
            let read = |text: &str| {
                let entry: Value = serde_yaml::from_str(text).unwrap();
                (key(&program, spec, &entry["key"]).unwrap(), value(&program, spec, &entry["value"]).unwrap())
            };
            let typed = read(yaml);
            assert_eq!(typed, read(by_bytes));
            assert_eq!((typed.0.len(), typed.1.len()), (spec.key_size as usize, spec.value_size as usize));
        }
        let spec = program.maps.iter().find(|spec| spec.name == "services").unwrap();
        let table = "key.address,key.port,key.protocol,value.first,value.mask\n198.51.100.10,80,6,8,3\n";
        let first = file(&program, spec, "services.csv", table).unwrap();
        assert_eq!(first, [(vec![198, 51, 100, 10, 0, 80, 6, 0], vec![8, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0])]);
    }
}
