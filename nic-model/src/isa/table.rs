//! The table: every instruction, once. See [`super`] for how to read and how to use it.

/// Hands the instruction table to a macro.
///
/// A row is
///
/// ```text
/// /// What it does, where from.
/// "mnemonic" method Type = base / mask, TimingClass, Effect, EXTERNAL, { role field: Kind = place, .. } [pieces of the listing]
/// ```
///
/// `base` is the word with all fields zero, `mask` tells which bits make a word belong to the row; the first row that
/// matches decides. Roles: `use` is read, `def` written, `mod` read and written, `imm` neither.
macro_rules! for_each_nic_op {
    ($derive:ident) => { $derive! {
        /// No operation: it is `immed` of 0 without destination, so the previous result becomes 0 (inferred).
        "nop" nop Nop = 0x0f0_000c_0300 / 0x1fff_ffff_ffff, Nop, Result, NONE, {} ["nop"]

        /// Loads a constant: `value` shifted left by 0, 8 or 16 bits, then inverted in all 32 bits if `invert`
        /// (driver). Condition codes are kept: the driver loads constants between an addition and the addition with
        /// carry. After `local_csr_rd` the destination receives the CSR instead. Without destination it sets the
        /// previous result, from which an indirect command takes its overrides (driver).
        "immed" immed Immed = 0x0f0_0000_0000 / 0x1f9_6000_0000, Immed, Result, NONE,
            { def load: Load = LoadPorts, imm invert: bool = INVERT, imm shift: ImmedShift = LANE, use predicate: bool = PREDICATE }
            ["immed[", load.dst, ", ", Hex(load.shown(invert)), shift, "]", both(load.dst), predicated(predicate)]

        /// Writes the low byte of `value`, inverted if `invert`, to one byte of the destination; the others stay (as
        /// the word form; not used by the driver).
        "immed_b" immed_b ImmedB = 0x0f0_2000_0000 / 0x1f9_6000_0000, Immed, Result, NONE,
            { mod load: Load = LoadPorts, imm invert: bool = INVERT, imm lane: ByteLane = LANE, use predicate: bool = PREDICATE }
            ["immed_b", lane, "[", load.dst, ", ", Hex(load.shown(invert) & 0xff), "]", both(load.dst), predicated(predicate)]

        /// Writes `value`, inverted if `invert`, to one half of the destination; the other stays (driver: second half
        /// of a 32-bit constant).
        "immed_w" immed_w ImmedW = 0x0f0_4000_0000 / 0x1f9_6000_0000, Immed, Result, NONE,
            { mod load: Load = LoadPorts, imm invert: bool = INVERT, imm lane: WordLane = LANE, use predicate: bool = PREDICATE }
            ["immed_w", lane, "[", load.dst, ", ", Hex(load.shown(invert) & 0xffff), "]", both(load.dst), predicated(predicate)]

        /// Copies a source or its complement. The left operand takes no part, but the next instruction's indirect shift
        /// takes its amount from it (vendor's firmware). N and Z from the result; V and C cleared (assumed).
        "alu" alu_move Move = 0x0a0_0000_0000 / 0x0ed_8000_0000, Alu, Result, NONE,
            { imm op: AluMove = ALU_OP, def dst: Dst = Target::ALU, use rhs: One<Left> = Lone::RIGHT,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["alu[", dst, ", --, ", op, ", ", rhs.src, "]", cc, both(dst), predicated(predicate)]

        /// Population count, first of three steps on one operand (vendor's firmware). Partial sums are not documented.
        "pop_count1" pop_count1 PopCount1 = 0x0a3_3000_0000 / 0x0ef_8000_0000, Count, Result, NONE,
            { use rhs: One = Lone::RIGHT, def running: Running = Running, def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["pop_count1[", rhs.src, "]", cc, predicated(predicate)]

        /// Population count, second step.
        "pop_count2" pop_count2 PopCount2 = 0x0a3_b000_0000 / 0x0ef_8000_0000, Count, Result, NONE,
            { use rhs: One = Lone::RIGHT, mod running: Running = Running, def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["pop_count2[", rhs.src, "]", cc, predicated(predicate)]

        /// Population count, third step: the destination receives the number of ones, 0 to 32.
        "pop_count3" pop_count3 PopCount3 = 0x0a1_8000_0000 / 0x0ef_8000_0000, Count, Result, NONE,
            { def dst: Dst = Target::ALU, use rhs: One = Lone::RIGHT, use running: Running = Running,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["pop_count3[", dst, ", ", rhs.src, "]", cc, both(dst), predicated(predicate)]

        /// Number of the lowest set bit. Without one the result is 0 and Z is set (assumed).
        "ffs" ffs Ffs = 0x0a7_0000_0000 / 0x0ef_8000_0000, Count, Result, NONE,
            { def dst: Dst = Target::ALU, use rhs: One = Lone::RIGHT, def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["ffs[", dst, ", ", rhs.src, "]", cc, both(dst), predicated(predicate)]

        /// Empties the content addressable memory of 16 entries. What order of age it leaves is not documented.
        "cam_clear" cam_clear CamClear = 0x0a5_b00c_0000 / 0x0ef_8000_0000, Cam, Result, NONE,
            { def cam: Cam = Cam } ["cam_clear"]

        /// Reads the 32-bit tag of the entry that the operand names.
        "cam_read_tag" cam_read_tag CamReadTag = 0x0a7_8000_0000 / 0x0ef_8000_0000, Cam, Result, NONE,
            { def dst: Dst = Target::ALU, use rhs: One = Lone::RIGHT, use cam: Cam = Cam,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["cam_read_tag[", dst, ", ", rhs.src, "]", cc, both(dst), predicated(predicate)]

        /// Reads the four state bits of the entry that the operand names, as bits 8 to 11 (assumed, as in a lookup).
        "cam_read_state" cam_read_state CamReadState = 0x0af_8000_0000 / 0x0ef_8000_0000, Cam, Result, NONE,
            { def dst: Dst = Target::ALU, use rhs: One = Lone::RIGHT, use cam: Cam = Cam,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["cam_read_state[", dst, ", ", rhs.src, "]", cc, both(dst), predicated(predicate)]

        /// Writes an entry: `src.rhs` names it, `src.lhs` is the tag, `state` its four state bits. It becomes the
        /// newest (ancestor's manual).
        "cam_write" cam_write CamWrite = 0x0a9_b000_0000 / 0x0ef_8000_0000, Cam, Result, NONE,
            { imm state: u8 = CAM_STATE, use src: Pair = Ports::ALU, mod cam: Cam = Cam,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["cam_write[", src.rhs, ", ", src.lhs, ", ", Number(state.into()), "]", cc, predicated(predicate)]

        /// Writes only the state bits of the entry that the operand names; its age stays (ancestor's manual).
        "cam_write_state" cam_write_state CamWriteState = 0x0ad_b000_0000 / 0x0ef_8000_0000, Cam, Result, NONE,
            { imm state: u8 = CAM_STATE, use rhs: One = Lone::RIGHT, mod cam: Cam = Cam,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["cam_write_state[", rhs.src, ", ", Number(state.into()), "]", cc, predicated(predicate)]

        /// Looks a tag up. The result is state in bits 8 to 11, hit in bit 7, entry in bits 3 to 6; on a miss the state
        /// is 0 and the entry the oldest. A hit makes the entry the newest, a miss changes no age (ancestor's manual).
        /// With `lm_addr` a local memory pointer is set from the result too; how the number in brackets enters is not
        /// documented.
        "cam_lookup" cam_lookup CamLookup = 0x0ab_8000_0000 / 0x0ef_8000_0000, Cam, Result, NONE,
            { def dst: Dst = Target::ALU, use lhs: One<Lookup> = Lone::LEFT, mod cam: Cam = Cam,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["cam_lookup[", dst, ", ", lhs.src, "]", lhs.beside, cc, both(dst), predicated(predicate)]

        /// Takes bytes of the operand into the checksum in `CRCRemainder`; the operand itself is the result (vendor's
        /// firmware uses it as a copy). The vendor's test firmware leaves one instruction between two of them and five
        /// before reading the remainder; what happens sooner is not documented.
        "crc" crc Crc = 0x0a9_0000_0000 / 0x0ef_8000_0000, Crc, Result, NONE,
            { def dst: Dst = Target::ALU, use rhs: One<CrcMode> = Lone::RIGHT, mod running: Running = Running,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            [rhs.beside, dst, ", ", rhs.src, "]", rhs.beside.bytes, when(rhs.beside.bit_swap, ", bit_swap"),
             cc, both(dst), predicated(predicate)]

        /// Arithmetic and logic on two sources. Carry after a difference means no borrow: the driver tests unsigned
        /// `lhs >= rhs` by carry set, and compares with a negative constant by adding its absolute value instead.
        /// `-carry` subtracts one more if carry is clear (driver's 64-bit arithmetic). N and Z come from the result, of
        /// the latest word only; V and C from sums and differences; logic clears them (assumed). `+16` and `+8` add
        /// that many low bits of `rhs` to all of `lhs` (driver, vendor's firmware).
        "alu" alu Alu = 0x0a0_0000_0000 / 0x0e0_0000_0000, Alu, Result, NONE,
            { use op: AluOp = ALU_OP, def dst: Dst = Target::ALU, use src: Pair = Ports::ALU,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["alu[", dst, ", ", src.lhs, ", ", op, ", ", src.rhs, "]", cc, both(dst), predicated(predicate)]

        /// Low 32 bits of the 64-bit `lhs:rhs` shifted right. An indirect amount of 0 yields `rhs`: the driver's right
        /// shift relies on it, the vendor's 64-bit left shift avoids it, the driver's does not. Amounts as in
        /// `alu_shf`.
        "dbl_shf" dbl_shf DblShf = 0x080_0000_0300 / 0x0ee_0000_0300, Shift, Result, NONE,
            { def dst: Dst = Target::SHIFT, use src: Pair = Ports::SHIFT, use amount: Amount = SHIFT_AMOUNT,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["dbl_shf[", dst, ", ", src.lhs, ", ", src.rhs, ", ", amount, "]", cc, both(dst), predicated(predicate)]

        /// Arithmetic shift right; the bits that enter are bit 31 of the previous result, not of the operand (driver,
        /// vendor's firmware). Amounts as in `alu_shf`.
        "asr" asr Asr = 0x08c_0000_0100 / 0x0ee_0000_0300, Shift, Result, NONE,
            { def dst: Dst = Target::SHIFT, use rhs: One = Lone::SHIFT_RIGHT, use sign: Previous = Previous,
              use amount: Amount = SHIFT_AMOUNT, def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["asr[", dst, ", ", rhs.src, ", ", amount, "]", cc, both(dst), predicated(predicate)]

        /// Four bytes out of two words, most significant byte first: the operand of the latest `byte_align_be`, then
        /// this one, from byte `ByteIndex` (0 to 3) of the first (ancestor's manual; vendor's firmware has other
        /// instructions in between). Sets condition codes, carry too: vendor's firmware says `no_cc` between additions
        /// with carry.
        "byte_align_be" byte_align_be ByteAlignBe = 0x08e_0000_0100 / 0x0ee_0000_0300, Merge, Result, NONE,
            { def dst: Dst = Target::SHIFT, use rhs: One = Lone::SHIFT_RIGHT, mod running: Running = Running,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["byte_align_be[", dst, ", ", rhs.src, "]", cc, both(dst), predicated(predicate)]

        /// The same, least significant byte first: the words are this operand, then that of the latest `byte_align_le`,
        /// and are shifted right by `ByteIndex` bytes (ancestor's manual).
        "byte_align_le" byte_align_le ByteAlignLe = 0x08e_0000_0200 / 0x0ee_0000_0300, Merge, Result, NONE,
            { def dst: Dst = Target::SHIFT, use lhs: One = Lone::SHIFT_LEFT, mod running: Running = Running,
              def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["byte_align_le[", dst, ", ", lhs.src, "]", cc, both(dst), predicated(predicate)]

        /// Copies a shifted source or its complement. An indirect amount is the low five bits of the left operand of
        /// the instruction before, not of its result: the driver ORs it with a sign on the right, the vendor's library
        /// ANDs it with 0. Amount 0 is no shift. The left operand is as in `alu`'s copy. N and Z from the result
        /// (vendor's firmware); V and C cleared (assumed).
        "alu_shf" alu_shf_move ShfMove = 0x080_0000_0000 / 0x0ec_0000_0000, Shift, Result, NONE,
            { imm op: ShiftMove = SHIFT_OP, def dst: Dst = Target::SHIFT, use rhs: One<Left> = Lone::SHIFT_RIGHT,
              use shift: Shift = ShiftPlace, def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["alu_shf[", dst, ", --, ", op, ", ", rhs.src, ", ", shift, "]", cc, both(dst), predicated(predicate)]

        /// Logic on `lhs` and the shifted `rhs`. As `alu_shf` of one source otherwise.
        "alu_shf" alu_shf AluShf = 0x080_0000_0000 / 0x0e0_0000_0000, Shift, Result, NONE,
            { imm op: ShiftOp = SHIFT_OP, def dst: Dst = Target::SHIFT, use src: Pair = Ports::SHIFT,
              use shift: Shift = ShiftPlace, def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["alu_shf[", dst, ", ", src.lhs, ", ", op, ", ", src.rhs, ", ", shift, "]", cc, both(dst), predicated(predicate)]

        /// Replaces the bytes of the destination that `bytes` names (bit 0 is the least significant) by those of the
        /// shifted source (driver). The whole new word is the previous result (driver: overrides of an addition).
        /// Condition codes change only with `load_cc`.
        "ld_field" ld_field LdField = 0x0c0_0000_0000 / 0x1fa_00f0_0000, Merge, Result, NONE,
            { mod merge: Merge = MergePorts, imm bytes: u8 = BYTE_MASK, use shift: Shift = ShiftPlace,
              def cc: LoadCc = LOAD_CC, use predicate: bool = PREDICATE }
            ["ld_field[", merge.dst, ", ", ByteMask(bytes), ", ", merge.src, Shifted(shift), "]",
             cc, both(merge.target()), predicated(predicate)]

        /// As `ld_field`, but the other bytes become zero.
        "ld_field_w_clr" ld_field_clear LdFieldClear = 0x0c0_0010_0000 / 0x1fa_00f0_0000, Merge, Result, NONE,
            { def merge: Merge = MergePorts, imm bytes: u8 = BYTE_MASK, use shift: Shift = ShiftPlace,
              def cc: LoadCc = LOAD_CC, use predicate: bool = PREDICATE }
            ["ld_field_w_clr[", merge.dst, ", ", ByteMask(bytes), ", ", merge.src, Shifted(shift), "]",
             cc, both(merge.target()), predicated(predicate)]

        /// Begins an unsigned multiplication; every step names both factors again (driver).
        "mul_step" mul_start MulStart = 0x0f8_0000_0000 / 0x0ff_bf00_0000, Multiply, Result, NONE,
            { use src: Pair = Ports::ALU, def running: Running = Running, def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["mul_step[", src.lhs, ", ", src.rhs, "], start", cc, predicated(predicate)]

        /// Adds `lhs` times eight bits of `rhs` to the running product: step 1 for 24 x 8 bits, 1 and 2 for 16 x 16, 1
        /// to 4 for 32 x 32 (driver, vendor's firmware). What is visible in between, and what wider factors than
        /// announced or steps out of order give, is not documented.
        "mul_step" mul_step MulStep = 0x0f8_0000_0000 / 0x0fe_3f40_0000, Multiply, Result, NONE,
            { imm width: MulWidth = MUL_WIDTH, imm step: MulStepNo = MUL_STEP, use src: Pair = Ports::ALU,
              mod running: Running = Running, def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["mul_step[", src.lhs, ", ", src.rhs, "], ", width, "_", step, cc, predicated(predicate)]

        /// Reads the product: `last` its low 32 bits, `last2` after it the high ones (32 x 32 only). The driver also
        /// emits `last` without destination to get at the high half.
        "mul_step" mul_last MulLast = 0x0f8_0040_0000 / 0x0fe_3f40_0000, Multiply, Result, NONE,
            { imm width: MulWidth = MUL_WIDTH, imm half: MulHalf = MUL_STEP, def dst: Dst = Target::PRODUCT,
              imm idle: Idle = MUL_IDLE, use running: Running = Running, def cc: CondCodes = CC, use predicate: bool = PREDICATE }
            ["mul_step[", Product(dst), ", --], ", width, "_", half, cc, both(dst), predicated(predicate)]

        /// Reads a local CSR. The value arrives through the `immed` that follows, whose own constant is 0 (driver,
        /// vendor's test firmware).
        "local_csr_rd" csr_read CsrRead = 0x0fc_0000_0000 / 0x1fe_0030_0000, CsrRead, Csr, NONE,
            { use csr: Csr = CSR, imm idle: Idle = CSR_IDLE }
            ["local_csr_rd[", csr, "]"]

        /// Writes a constant to a local CSR.
        "local_csr_wr" csr_set CsrSet = 0x0fc_002c_0300 / 0x1fe_003c_0300, CsrWrite, Csr, NONE,
            { def csr: Csr = CSR, imm value: Twice = Ports::WIDE }
            ["local_csr_wr[", csr, ", ", Hex(value.0.into()), "]"]

        /// Writes a register to a local CSR. The value acts after three more instructions, until then the old one is
        /// seen (ancestor's manual; the driver and the vendor's firmware leave three before using a pointer).
        "local_csr_wr" csr_write CsrWrite = 0x0fc_0020_0000 / 0x1fe_0030_0000, CsrWrite, Csr, NONE,
            { def csr: Csr = CSR, use src: Beside = Ports::WIDE }
            ["local_csr_wr[", csr, ", ", src.reg, "]"]

        /// Gives the core to another context and says what wakes this one, and where it then goes on. The next `defer`
        /// instructions (0 to 3; vendor's firmware uses up to 2) still run. Signals waited for together are consumed at
        /// wake-up; after `any` they stay, to be tested by `br_signal` (vendor's firmware relies on both).
        "ctx_arb" ctx_arb CtxArb = 0x0e0_0000_0000 / 0x0f8_0000_0000, Arbitrate, Yield, WAIT,
            { imm wait: Wait = WaitPlace, imm resume: Resume = ResumePlace, imm defer: u8 = DEFER }
            ["ctx_arb[", wait, resume, Defer(defer)]

        /// Branches. The next `defer` instructions run first (driver and ancestor: at most 2).
        "br" br Br = 0x0d8_0000_8038 / 0x0f8_000c_3cff, Branch, Branch, NONE,
            { imm to: CodeAddress = CODE_ADDRESS, imm defer: u8 = DEFER }
            ["br[", to, "]", Defer(defer)]

        /// Branches on the condition codes as they are at the branch. The next `defer` instructions (0 to 3) run either
        /// way (driver).
        "bcc" br_cond BrCond = 0x0d8_0000_8020 / 0x0f8_000c_3cf0, Branch, Branch, NONE,
            { use cond: Cond = COND, imm known: Known = COND_KNOWN, imm to: CodeAddress = CODE_ADDRESS, imm defer: u8 = DEFER }
            [cond, "[", to, "]", Defer(defer)]

        /// Branches if the running context's number is (`not`: is not) `context`.
        "br=ctx" br_ctx BrCtx = 0x0d8_0000_0030 / 0x0f8_000c_3cfe, Branch, Branch, NONE,
            { imm not: bool = COND_NOT, imm context: u8 = COND_STATE, imm to: CodeAddress = CODE_ADDRESS, imm defer: u8 = DEFER }
            [if not { "br!=ctx[" } else { "br=ctx[" }, Number(context.into()), ", ", to, "]", Defer(defer)]

        /// Branches if the signal is there (`not`: is not). A signal that is found there is consumed, by both forms
        /// (vendor's firmware uses them for that alone).
        "br_signal" br_signal BrSignal = 0x0d8_0000_0232 / 0x0f8_000c_3cfe, Branch, Branch, SIGNAL,
            { imm not: bool = COND_NOT, imm signal: u8 = COND_STATE, imm to: CodeAddress = CODE_ADDRESS, imm defer: u8 = DEFER }
            [if not { "br_!signal[" } else { "br_signal[" }, Number(signal.into()), ", ", to, "]", Defer(defer)]

        /// Branches on the state of the next-neighbour ring or of a ring in the island's CTM.
        "br_inp_state" br_inp_state BrInpState = 0x0d8_0000_0234 / 0x0f8_000c_3cfe, Branch, Branch, RING,
            { imm not: bool = COND_NOT, imm state: InputState = COND_STATE, imm to: CodeAddress = CODE_ADDRESS, imm defer: u8 = DEFER }
            [if not { "br_!inp_state[" } else { "br_inp_state[" }, state, ", ", to, "]", Defer(defer)]

        /// Branches on the state of a ring in the island's CLS.
        "br_cls_state" br_cls_state BrClsState = 0x0d8_0000_0236 / 0x0f8_000c_3cfe, Branch, Branch, RING,
            { imm not: bool = COND_NOT, imm ring: u8 = COND_STATE, imm to: CodeAddress = CODE_ADDRESS, imm defer: u8 = DEFER }
            [if not { "br_!cls_state[cls_ring" } else { "br_cls_state[cls_ring" }, Number(ring.into()), "_status, ", to, "]",
             Defer(defer)]

        /// Branches if a bit of a register is set (`br_bset`) or clear (`br_bclr`). Condition codes are kept (vendor's
        /// firmware adds with carry across it).
        "br_bset" br_bit BrBit = 0x0d0_0000_0000 / 0x0f8_0008_0300, Branch, Branch, NONE,
            { imm set: bool = BIT_SET, use test: BitTest = Ports::BIT, imm to: CodeAddress = CODE_ADDRESS, imm defer: u8 = DEFER }
            [if set { "br_bset[" } else { "br_bclr[" }, test.reg, ", ", Number(test.bit().into()), ", ", to, "]", Defer(defer)]

        /// Branches if a byte of a register (0 is the least significant) is equal (`br=byte`) or not to a constant.
        /// Condition codes are kept (vendor's firmware).
        "br=byte" br_byte BrByte = 0x0c8_0000_0000 / 0x0f8_0000_0000, Branch, Branch, NONE,
            { imm equal: bool = BYTE_EQUAL, imm byte: u8 = BYTE_NUMBER, use src: Beside = Ports::BYTE,
              imm to: CodeAddress = CODE_ADDRESS, imm defer: u8 = DEFER }
            [if equal { "br=byte[" } else { "br!=byte[" }, src.reg, ", ", Number(byte.into()), ", ", Hex(src.constant.into()),
             ", ", to, "]", Defer(defer)]

        /// Jumps to a register plus a constant (`jump`; `rtn` if the constant is 0). The next `defer` instructions (0
        /// to 3) run first.
        "jump" jump Jump = 0x0e8_0000_0000 / 0x0ff_8000_0000, Jump, Branch, NONE,
            { use to: JumpTo = JumpPlace, imm defer: u8 = DEFER }
            [to, Defer(defer)]

        /// A command that carries a 16-bit address and 14 bits of data in the word; its token counts as 0 and it raises
        /// no signal.
        "cmd" cmd_immediate CmdImmediate = 0x1800_0000_0000 / 0x1c80_0000_0000, Command, Command, QUEUE,
            { imm address: u16 = WORD_ADDRESS, imm data: u16 = WORD_DATA, imm swap: Swap = SWAP,
              use indirect: Indirect = INDIRECT, imm command: Command = CommandPlace::NO_TOKEN }
            [Named(command, word_length(data)), ", ", Hex(address.into()), ", ", Hex(data.into()), "]", indirect, swapped(swap)]

        /// A command that carries a 16-bit address in the word and names a transfer register.
        "cmd" cmd_at CmdAt = 0x1400_0000_0000 / 0x1c80_0000_0000, Command, Command, QUEUE,
            { imm xfer: u8 = CMD_XFER, imm address: u16 = WORD_ADDRESS, imm count: Count = CMD_COUNT,
              imm completion: Completion = CompletionPlace, use indirect: Indirect = INDIRECT, imm command: Command = CommandPlace::TOKEN }
            [Named(command, count.length()), ", ", Xfer(xfer), ", ", Hex(address.into()), ", ", Number(count.0.into()), "]",
             indirect, completion]

        /// A command that carries 22 bits of data in the word and no address.
        "cmd" cmd_data CmdData = 0x1c00_0000_0000 / 0x1c80_0000_0000, Command, Command, QUEUE,
            { imm data: u32 = LONG_DATA, imm count: Count = CMD_COUNT, imm completion: Completion = CompletionPlace,
              use indirect: Indirect = INDIRECT, imm command: Command = CommandPlace::TOKEN }
            [Named(command, count.length()), ", ", Hex(data), ", --, ", Number(count.0.into()), "]", indirect, completion]

        /// A command that carries seven bits of data in the word and a 40-bit address ("third party").
        "cmd" cmd_short CmdShort = 0x0800_0000_0000 / 0x1880_0000_0000, Command, Command, QUEUE,
            { imm data: u8 = SHORT_DATA, use address: Address = AddressPlace::SHORT, imm count: Count = CMD_COUNT,
              imm completion: Completion = CompletionPlace, imm command: Command = CommandPlace::TOKEN }
            [Named(command, count.length()), ", ", Hex(data.into()), ", ", address, ", ", Number(count.0.into()), "]", completion]

        /// A command that moves `count` units between memory and transfer registers from `xfer` on. Reads fill the in
        /// registers, writes take the out registers, both after the instruction. With `indirect` the previous result is
        /// an `Override` of fields (driver, vendor's library).
        "cmd" cmd Cmd = 0x000_0000_0000 / 0x080_0000_0000, Command, Command, QUEUE,
            { imm xfer: u8 = CMD_XFER, use address: Address = AddressPlace::TRANSFER, imm count: Count = CMD_COUNT,
              imm completion: Completion = CompletionPlace, use indirect: Indirect = INDIRECT, imm command: Command = CommandPlace::TOKEN }
            [Named(command, count.length()), ", ", Xfer(xfer), ", ", address, ", ", Number(count.0.into()), "]",
             indirect, completion]
    } };
}
pub(crate) use for_each_nic_op;
