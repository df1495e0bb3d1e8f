//! Local control and status registers.

use super::bits::Bits;
use super::effect::External;
use super::error::{DecodeReason, EncodeError};
use super::field::Field;
use super::listing::{Lister, Text};
use super::operand::Place;
use std::fmt;

/// A local CSR, by number: its byte address divided by four, 0 to 2047.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Csr(pub u16);

macro_rules! csrs {
    ($( $address:literal $name:literal $constant:ident $external:ident, )*) => {
        impl Csr {
            $(
                #[doc = concat!("`", $name, "`, byte address `", stringify!($address), "`.")]
                pub const $constant: Self = Self($address / 4);
            )*

            /// Name in a listing; `None` for an unknown number, which is listed by its byte address.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $( Self::$constant => Some($name), )*
                    _ => None,
                }
            }

            /// What outside the running context an access can see or change. An unknown CSR counts as shared.
            pub const fn external(self) -> External {
                match self {
                    $( Self::$constant => External::$external, )*
                    _ => External::SHARED_CSR,
                }
            }
        }
    };
}

// Byte address, name in the vendor's listing (binutils), constant, what it can see. Layouts, where an instruction needs
// them (vendor's library): LMAddr bits 2 to 11 are the word; XferIndex bits 2 to 9 the register, context included;
// ByteIndex bits 0 and 1; the aliases that end in BytIdx set pointer or index and ByteIndex at once; IndPredCC bits 0
// to 3 a condition; CtxWkpEvt bits 1 to 15 signals, bit 16 any; SameMESignal bits 0 to 2 context, 3 to 6 signal, 7 the
// next context; ActCtxStatus bits 0 to 2 context, 3 to 6 core, 8 to 24 address, 25 to 30 island. The time stamp counts
// once in 16 cycles. CtxEnables bit 30 makes the random number advance with every cycle, otherwise it does with
// instructions, so it counts as time.
csrs! {
    0x000 "UstorAddr" CODE_ADDRESS CODE_STORE,
    0x004 "UstorDataLwr" CODE_DATA_LOW CODE_STORE,
    0x008 "UstorDataUpr" CODE_DATA_HIGH CODE_STORE,
    0x00c "UstorErrStat" CODE_ERROR CODE_STORE,
    0x010 "ALUOut" ALU_OUT NONE,
    0x014 "CtxArbCtrl" CONTEXT_ARBITER SHARED_CSR,
    0x018 "CtxEnables" CONTEXT_ENABLES SHARED_CSR,
    0x01c "CondCodeEn" COND_CODE_ENABLE NONE,
    0x020 "CSRCtxPtr" CONTEXT_POINTER NONE,
    0x024 "PcBreakpoint0" BREAKPOINT0 SHARED_CSR,
    0x028 "PcBreakpoint1" BREAKPOINT1 SHARED_CSR,
    0x02c "PcBreakpointStatus" BREAKPOINT_STATUS SHARED_CSR,
    0x030 "RegErrStatus" REGISTER_ERROR SHARED_CSR,
    0x034 "LMErrStatus" LOCAL_ERROR SHARED_CSR,
    0x038 "LMeccErrorMask" LOCAL_ECC_MASK SHARED_CSR,
    0x040 "IndCtxStatus" CONTEXT_STATUS_OF SHARED_CSR,
    0x044 "ActCtxStatus" CONTEXT_STATUS NONE,
    0x048 "IndCtxSglEvt" SIGNALS_OF SIGNAL,
    0x04c "ActCtxSglEvt" SIGNALS SIGNAL,
    0x050 "IndCtxWkpEvt" WAKEUP_OF SIGNAL,
    0x054 "ActCtxWkpEvt" WAKEUP NONE,
    0x058 "IndCtxFtrCnt" FUTURE_COUNT_OF SIGNAL,
    0x05c "ActCtxFtrCnt" FUTURE_COUNT SIGNAL,
    0x060 "IndLMAddr0" LM_ADDR0_OF NONE,
    0x064 "ActLMAddr0" LM_ADDR0 NONE,
    0x068 "IndLMAddr1" LM_ADDR1_OF NONE,
    0x06c "ActLMAddr1" LM_ADDR1 NONE,
    0x070 "ByteIndex" BYTE_INDEX NONE,
    0x074 "XferIndex" XFER_INDEX NONE,
    0x078 "IndFtrCntSgl" FUTURE_COUNT_SIGNAL_OF SIGNAL,
    0x07c "ActFtrCntSgl" FUTURE_COUNT_SIGNAL SIGNAL,
    0x080 "NNPut" NEIGHBOUR_PUT NEIGHBOUR,
    0x084 "NNGet" NEIGHBOUR_GET NEIGHBOUR,
    0x090 "IndLMAddr2" LM_ADDR2_OF NONE,
    0x094 "ActLMAddr2" LM_ADDR2 NONE,
    0x098 "IndLMAddr3" LM_ADDR3_OF NONE,
    0x09c "ActLMAddr3" LM_ADDR3 NONE,
    0x0a0 "IndLMAddr2BytIdx" LM_ADDR2_BYTE_OF NONE,
    0x0a4 "ActLMAddr2BytIdx" LM_ADDR2_BYTE NONE,
    0x0a8 "IndLMAddr3BytIdx" LM_ADDR3_BYTE_OF NONE,
    0x0ac "ActLMAddr3BytIdx" LM_ADDR3_BYTE NONE,
    0x0b0 "IndPredCC" PREDICATE_OF NONE,
    0x0c0 "TimestampLow" TIMESTAMP_LOW TIME,
    0x0c4 "TimestampHgh" TIMESTAMP_HIGH TIME,
    0x0e0 "IndLMAddr0BytIdx" LM_ADDR0_BYTE_OF NONE,
    0x0e4 "ActLMAddr0BytIdx" LM_ADDR0_BYTE NONE,
    0x0e8 "IndLMAddr1BytIdx" LM_ADDR1_BYTE_OF NONE,
    0x0ec "ActLMAddr1BytIdx" LM_ADDR1_BYTE NONE,
    0x0f4 "XfrAndBytIdx" XFER_AND_BYTE_INDEX NONE,
    0x100 "NxtNghbrSgl" SIGNAL_NEXT SIGNAL,
    0x104 "PrvNghbrSgl" SIGNAL_PREVIOUS SIGNAL,
    0x108 "SameMESignal" SIGNAL_SAME SIGNAL,
    0x140 "CRCRemainder" CRC_REMAINDER NONE,
    0x144 "ProfileCnt" PROFILE_COUNT TIME,
    0x148 "PseudoRndNum" RANDOM TIME,
    0x160 "MiscControl" MISC_CONTROL SHARED_CSR,
    0x164 "PcBreakpoint0Mask" BREAKPOINT0_MASK SHARED_CSR,
    0x168 "PcBreakpoint1Mask" BREAKPOINT1_MASK SHARED_CSR,
    0x170 "Mailbox0" MAILBOX0 SHARED_CSR,
    0x174 "Mailbox1" MAILBOX1 SHARED_CSR,
    0x178 "Mailbox2" MAILBOX2 SHARED_CSR,
    0x17c "Mailbox3" MAILBOX3 SHARED_CSR,
    0x190 "CmdIndirectRef0" COMMAND_OVERRIDE NONE,
}

impl Csr {
    /// Byte address.
    pub const fn address(self) -> u16 {
        self.0 * 4
    }

    /// The local memory pointer of the running context that a write sets, if it is one of the four.
    pub const fn local_pointer(self) -> Option<u8> {
        match self {
            Self::LM_ADDR0 | Self::LM_ADDR0_BYTE => Some(0),
            Self::LM_ADDR1 | Self::LM_ADDR1_BYTE => Some(1),
            Self::LM_ADDR2 | Self::LM_ADDR2_BYTE => Some(2),
            Self::LM_ADDR3 | Self::LM_ADDR3_BYTE => Some(3),
            _ => None,
        }
    }
}

// The word that would name `UstorDataLwr` is the older core's `urd` or `uwr`, which this core does not have.
impl Field for Csr {
    type At = Bits;
    fn put(&self, at: Bits, word: &mut u64) -> Result<(), EncodeError> {
        if *self == Self::CODE_DATA_LOW {
            return Err(EncodeError::NoSuchCsr { csr: *self });
        }
        self.0.put(at, word)
    }
    fn get(at: Bits, word: u64) -> Result<Self, DecodeReason> {
        match Self(u16::get(at, word)?) {
            Self::CODE_DATA_LOW => Err(DecodeReason::UnknownCode { what: "local CSR", code: 1 }),
            csr => Ok(csr),
        }
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        see(Place::Csr(*self));
        if let Some(pointer) = self.local_pointer() {
            see(Place::LocalPointer(pointer));
        }
    }
    fn defs(&self, see: &mut dyn FnMut(Place)) {
        self.uses(see);
    }
    fn external(&self) -> External {
        Csr::external(*self)
    }
}

impl Text for Csr {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        match self.name() {
            Some(name) => out.write(name),
            None => out.print(format_args!("{:#x}", u32::from(self.0) * 4)),
        }
    }
}
