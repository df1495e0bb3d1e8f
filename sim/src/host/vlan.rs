//! Outer VLAN tags, which Linux keeps beside the packet: taken off before tc sees it, put back when it is sent
//! (`skb_vlan_untag`, `skb_vlan_tag_present`).

/// EtherTypes of tags (IEEE 802.1Q, 802.1ad).
const TAGS: [u16; 2] = [0x8100, 0x88a8];

/// Where the tag stands: after both addresses.
const AT: usize = 12;

/// A tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// Its EtherType.
    pub protocol: u16,
    /// Priority, drop eligibility and VLAN number.
    pub tci: u16,
}

impl From<(u16, u16)> for Tag {
    fn from((protocol, tci): (u16, u16)) -> Self {
        Self { protocol, tci }
    }
}

/// Takes the outer tag off, if there is one.
pub fn take_outer(bytes: &mut Vec<u8>) -> Option<Tag> {
    let word = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let protocol = word(AT).filter(|protocol| TAGS.contains(protocol))?;
    let tci = word(AT + 2)?;
    bytes.drain(AT..AT + 4);
    Some(Tag { protocol, tci })
}

/// Puts a tag back.
pub fn put_outer(bytes: &mut Vec<u8>, tag: Option<Tag>) {
    if let Some(Tag { protocol, tci }) = tag
        && bytes.len() >= AT
    {
        let [a, b] = protocol.to_be_bytes();
        let [c, d] = tci.to_be_bytes();
        bytes.splice(AT..AT, [a, b, c, d]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_off_and_goes_back() {
        let tagged: Vec<u8> = (0..12).chain([0x88, 0xa8, 0x20, 0x64, 0x81, 0x00, 0, 7, 8, 0, 1, 2]).collect();
        let mut bytes = tagged.clone();
        let tag = take_outer(&mut bytes);
        assert_eq!(tag, Some(Tag { protocol: 0x88a8, tci: 0x2064 }));
        assert_eq!(bytes[12..16], [0x81, 0x00, 0, 7]);
        put_outer(&mut bytes, tag);
        assert_eq!(bytes, tagged);
    }

    #[test]
    fn what_is_no_tag_stays() {
        for bytes in [vec![0; 64], vec![0x81; 13], vec![]] {
            let mut same = bytes.clone();
            assert_eq!(take_outer(&mut same), None);
            assert_eq!(same, bytes);
        }
    }
}
