//! What a filter can read of a packet beside its bytes: loads at `SKF_AD_OFF` and beyond (Linux, `include/uapi/linux/filter.h`).

/// Offsets from here on are no place in the packet (`SKF_AD_OFF`, -0x1000).
pub const AD_OFF: u32 = -0x1000_i32 as u32;

macro_rules! ancillary {
    ($($(#[$doc:meta])* $variant:ident = $off:literal, $name:literal;)*) => {
        /// A datum beside the packet, by its offset from [`AD_OFF`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Ancillary {
            $($(#[$doc])* $variant = $off,)*
        }

        impl Ancillary {
            /// All of them, by offset.
            pub const ALL: &[Ancillary] = &[$(Ancillary::$variant,)*];

            /// The kernel's name, without `SKF_AD_`, in lower case.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Ancillary::$variant => $name,)*
                }
            }
        }
    };
}

ancillary! {
    /// EtherType.
    Protocol = 0, "protocol";
    /// `PACKET_HOST`, `PACKET_BROADCAST` and so on.
    PacketType = 4, "pkttype";
    /// Index of the device.
    Ifindex = 8, "ifindex";
    /// Offset of the netlink attribute X after offset A.
    Nlattr = 12, "nlattr";
    /// The same inside the attribute at A.
    NlattrNest = 16, "nlattr_nest";
    /// `skb->mark`.
    Mark = 20, "mark";
    /// Queue.
    Queue = 24, "queue";
    /// Hardware type of the device.
    HardwareType = 28, "hatype";
    /// Flow hash.
    Hash = 32, "rxhash";
    /// Processor the filter runs on.
    Cpu = 36, "cpu";
    /// No load: `A ^= X`, from before there was an instruction for it.
    XorX = 40, "alu_xor_x";
    /// VLAN tag beside the packet.
    VlanTag = 44, "vlan_tag";
    /// Whether there is one.
    VlanPresent = 48, "vlan_tag_present";
    /// Where the payload begins, by dissecting the headers.
    PayloadOffset = 52, "pay_offset";
    /// A random number.
    Random = 56, "random";
    /// The VLAN tag's EtherType.
    VlanProtocol = 60, "vlan_tpid";
}

impl Ancillary {
    /// What a load at this immediate reads, if it is no place in the packet.
    pub fn at(k: u32) -> Option<Ancillary> {
        let off = k.checked_sub(AD_OFF)?;
        Self::ALL.iter().copied().find(|a| *a as u32 == off)
    }

    /// The immediate that reads it.
    pub const fn k(self) -> u32 {
        AD_OFF + self as u32
    }
}
