//! Reading values out of a JSON object, with the path in every complaint.

use serde_json::Value;

/// A field, if it is there and not null.
pub fn get<'a>(of: &'a Value, field: &str) -> Option<&'a Value> {
    of.get(field).filter(|value| !value.is_null())
}

/// A list; an absent one is empty.
pub fn list<'a>(of: &'a Value, field: &str) -> Result<&'a [Value], String> {
    match get(of, field) {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{field}: not a list")),
    }
}

/// A whole number; an absent one is `default`.
pub fn number(of: &Value, field: &str, default: u64) -> Result<u64, String> {
    match get(of, field) {
        None => Ok(default),
        Some(value) => whole(value).ok_or_else(|| format!("{field}: not a whole number")),
    }
}

/// A whole number of 32 bits.
pub fn word(of: &Value, field: &str, default: u32) -> Result<u32, String> {
    let number = number(of, field, u64::from(default))?;
    u32::try_from(number).map_err(|_| format!("{field}: {number} does not fit 32 bits"))
}

/// A number, negative ones as two's complement.
pub fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_i64().map(|signed| signed as u64))
}

/// A yes or no, also as a number.
pub fn truth(of: &Value, field: &str) -> bool {
    get(of, field).is_some_and(|value| value.as_bool().unwrap_or(whole(value).is_some_and(|n| n != 0)))
}

pub fn text<'a>(of: &'a Value, field: &str) -> Result<Option<&'a str>, String> {
    get(of, field).map(|value| value.as_str().ok_or_else(|| format!("{field}: not a text"))).transpose()
}

/// Bytes in hexadecimal; blanks between them do no harm.
pub fn bytes(of: &Value, field: &str) -> Result<Option<Vec<u8>>, String> {
    text(of, field)?.map(|text| hex(text).map_err(|why| format!("{field}: {why}"))).transpose()
}

/// Bytes out of hexadecimal digits.
pub fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digit = |c: char| c.to_digit(16).ok_or_else(|| format!("{c:?} is no hexadecimal digit"));
    let digits = text.chars().filter(|c| !c.is_whitespace()).map(digit).collect::<Result<Vec<_>, _>>()?;
    match digits.as_chunks() {
        (pairs, []) => Ok(pairs.iter().map(|[high, low]| (high << 4 | low) as u8).collect()),
        _ => Err("half a byte at the end".to_owned()),
    }
}

/// Bytes as hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
