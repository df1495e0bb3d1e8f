//! Every word that the Linux driver's translator emitted decodes, and encodes to the same bits.

use crate::isa_driver;

use isa_driver::words;
use nic_model::isa::{PAYLOAD, decode, encode};

#[test]
fn words_of_the_driver_survive_a_round_trip() {
    for word in words("words_of_the_driver_survive_a_round_trip").into_iter().flatten() {
        assert_eq!(word & !PAYLOAD, 0, "{word:#x} is no payload");
        let op = decode(word).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(encode(&op), Ok(word), "{op}");
    }
}
