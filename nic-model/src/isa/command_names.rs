//! Mnemonics of the commands, as the vendor's listing has them: a row for each action, a column for each token.
//!
//! A name with slashes stands for the different commands that one code means to different memories.

use super::command::Names::{self, Any, Bit2, Exact, No, Search};

type Actions = &'static [(u8, [Names; 4])];

const fn four(a: &'static str, b: &'static str, c: &'static str, d: &'static str) -> [Names; 4] {
    [one(a), one(b), one(c), one(d)]
}

/// An empty name is no command.
const fn one(name: &'static str) -> Names {
    if name.is_empty() { No } else { Any(name) }
}

pub(super) const ILA: Actions = &[
    (0, four("read", "read_check_error", "", "")),
    (1, four("write", "write_check_error", "", "")),
    (2, four("read_int", "", "", "")),
    (3, [Exact(&[(0, "write_int"), (3, "write_dma")]), No, No, No]),
];

pub(super) const NBI: Actions = &[
    (0, four("read", "", "", "")),
    (1, four("write", "", "", "")),
    (
        3,
        four(
            "packet_ready_drop",
            "packet_ready_unicast",
            "packet_ready_multicast_dont_free",
            "packet_ready_multicast_free_on_last",
        ),
    ),
];

pub(super) const PCIE: Actions = &[
    (0, four("read", "read_rid", "", "")),
    (1, four("write", "write_rid", "write_vdm", "")),
    (2, four("read_int", "", "", "")),
    (3, four("write_int", "", "", "")),
];

pub(super) const CRYPTO: Actions =
    &[(0, four("read", "", "", "")), (1, four("write", "", "", "")), (2, four("write_fifo", "", "", ""))];

pub(super) const ARM: Actions = &[(0, four("read", "", "", "")), (1, four("write", "", "", ""))];

pub(super) const CT: Actions = &[
    (0, four("xpb_read", "ring_get", "interthread_signal", "")),
    (1, four("xpb_write", "ring_put", "ctnn_write", "")),
    (2, four("reflect_read_none", "reflect_read_sig_init", "reflect_read_sig_remote", "reflect_read_sig_both")),
    (3, four("reflect_write_none", "reflect_write_sig_init", "reflect_write_sig_remote", "reflect_write_sig_both")),
];

pub(super) const MEM: Actions = &[
    (0, four("read", "read_le", "read_swap", "read_swap_le")),
    (1, four("write", "write_le", "write_swap", "write_swap_le")),
    (2, four("write8", "write8_le", "write8_swap", "write8_swap_le")),
    (
        3,
        four(
            "atomic_read",
            "read8",
            "compare_write_or_incr/mask_compare_write",
            "test_compare_write_or_incr/test_mask_compare_write",
        ),
    ),
    (4, four("atomic_write", "swap", "atomic_write_imm", "swap_imm")),
    (5, four("set", "test_set", "set_imm", "test_set_imm")),
    (6, four("clr", "test_clr", "clr_imm", "test_clr_imm")),
    (
        7,
        [
            Bit2("add", "add64"),
            Bit2("test_add", "test_add64"),
            Bit2("add_imm", "add64_imm"),
            Bit2("test_add_imm", "test_add64_imm"),
        ],
    ),
    (
        8,
        [
            Bit2("addsat", "addsat64"),
            Bit2("test_addsat", "test_addsat64"),
            Bit2("addsat_imm", "addsat64_imm"),
            Bit2("test_addsat_imm", "test_addsat64_imm"),
        ],
    ),
    (
        9,
        [
            Bit2("sub", "sub64"),
            Bit2("test_sub", "test_sub64"),
            Bit2("sub_imm", "sub64_imm"),
            Bit2("test_sub_imm", "test_sub64_imm"),
        ],
    ),
    (
        10,
        [
            Bit2("subsat", "subsat64"),
            Bit2("test_subsat", "test_subsat64"),
            Bit2("subsat_imm", "subsat64_imm"),
            Bit2("test_subsat_imm", "test_subsat64_imm"),
        ],
    ),
    (11, four("ticket_release", "ticket_release_ind", "", "")),
    (
        12,
        [
            Search { prefix: "cam", suffix: "" },
            Search { prefix: "cam", suffix: "_add" },
            Search { prefix: "tcam", suffix: "" },
            Exact(&[
                (0, "lock128/lock384"),
                (2, "cam128_lookup24_add_inc/cam384_lookup24_add_inc"),
                (4, "lock256/lock512"),
                (6, "cam256_lookup24_add_inc/cam512_lookup24_add_inc"),
            ]),
        ],
    ),
    (
        13,
        [
            Exact(&[(0, "microq128_get"), (4, "microq256_get")]),
            Exact(&[(0, "microq128_pop"), (4, "microq256_pop")]),
            Exact(&[(0, "microq128_put"), (4, "microq256_put")]),
            No,
        ],
    ),
    (
        14,
        [
            Exact(&[(0, "queue128_lock"), (4, "queue256_lock")]),
            Exact(&[(0, "queue128_unlock"), (4, "queue256_unlock")]),
            No,
            No,
        ],
    ),
    (15, four("xor", "test_xor", "xor_imm", "test_xor_imm")),
    (
        16,
        four(
            "ctm.packet_wait_packet_status/emem.rd_qdesc/imem.stats_log",
            "ctm.packet_read_packet_status/emem.wr_qdesc/imem.stats_log_sat",
            "emem.push_qdesc/imem.stats_log_event",
            "imem.stats_log_sat_event",
        ),
    ),
    (
        17,
        four(
            "ctm.packet_alloc/emem.enqueue/imem.stats_push",
            "ctm.packet_credit_get/emem.enqueue_tail/imem.stats_push_clear",
            "ctm.packet_alloc_poll/emem.dequeue",
            "ctm.packet_add_thread",
        ),
    ),
    (
        18,
        four(
            "ctm.packet_free/emem.read_queue/imem.lb_write_desc",
            "ctm.packet_free_and_signal/emem.read_queue_ring/imem.lb_read_desc",
            "ctm.packet_free_and_return_pointer/emem.write_queue",
            "ctm.packet_return_pointer/emem.write_queue_ring",
        ),
    ),
    (
        19,
        four(
            "ctm.packet_complete_drop/emem.add_tail/imem.lb_write_idtable",
            "ctm.packet_complete_unicast/emem.qadd_thread/imem.lb_read_idtable",
            "ctm.packet_complete_multicast/emem.qadd_work",
            "ctm.packet_complete_multicast_free/emem.qadd_work_imm",
        ),
    ),
    (
        20,
        four(
            "ctm.pe_dma_to_memory_packet/emem.put/imem.lb_bucket_write_local",
            "ctm.pe_dma_to_memory_packet_swap/imem.lb_bucket_write_dcache",
            "ctm.pe_dma_to_memory_packet_free/emem.journal",
            "ctm.pe_dma_to_memory_packet_free_swap",
        ),
    ),
    (
        21,
        four(
            "ctm.pe_dma_to_memory_indirect/emem.get/imem.lb_bucket_read_local",
            "ctm.pe_dma_to_memory_indirect_swap/emem.get_eop/imem.lb_bucket_read_dcache",
            "ctm.pe_dma_to_memory_indirect_free/emem.get_freely",
            "ctm.pe_dma_to_memory_indirect_free_swap",
        ),
    ),
    (
        22,
        four(
            "ctm.pe_dma_to_memory_buffer/emem.pop/imem.lb_lookup_bundleid",
            "ctm.pe_dma_to_memory_buffer_le/emem.pop_eop/imem.lb_lookup_dcache",
            "ctm.pe_dma_to_memory_buffer_swap/emem.pop_freely/imem.lb_lookup_idtable",
            "ctm.pe_dma_to_memory_buffer_le_swap",
        ),
    ),
    (
        23,
        four(
            "ctm.pe_dma_from_memory_buffer/emem.fast_journal/imem.lb_push_stats_local",
            "ctm.pe_dma_from_memory_buffer_le/emem.fast_journal_sig/imem.lb_push_stats_dcache",
            "ctm.pe_dma_from_memory_buffer_swap/imem.lb_push_stats_local_clr",
            "ctm.pe_dma_from_memory_buffer_le_swap/imem.lb_push_stats_dcache_clr",
        ),
    ),
    (26, four("emem.lookup/imem.lookup", "", "", "")),
    (28, four("read32", "read32_le", "read32_swap", "read32_swap_le")),
    (29, four("", "cam_lookup_add_lock", "cam_lookup_add_extend", "cam_lookup_add_inc")),
    (30, four("", "", "meter", "")),
    (31, four("write32", "write32_le", "write32_swap", "write32_swap_le")),
];

pub(super) const CLS: Actions = &[
    (0, four("read", "read_le", "swap/test_compare_write", "xor")),
    (1, four("write", "write_le", "write8_be", "write8_le")),
    (2, four("set", "clr", "test_set", "test_clr")),
    (3, four("set_imm", "clr_imm", "test_set_imm", "test_clr_imm")),
    (4, four("add", "add64", "addsat", "")),
    (5, four("add_imm", "add64_imm", "addsat_imm", "")),
    (6, four("sub", "sub64", "subsat", "")),
    (7, four("sub_imm", "sub64_imm", "subsat_imm", "")),
    (8, four("queue_lock", "queue_unlock", "hash_mask", "hash_mask_clear")),
    (9, four("get", "pop", "get_safe", "pop_safe")),
    (10, four("ring_put", "", "ring_journal", "")),
    (11, four("cam_lookup32", "cam_lookup32_add", "cam_lookup24", "cam_lookup24_add")),
    (12, four("cam_lookup8", "cam_lookup8_add", "cam_lookup16", "cam_lookup16_add")),
    (13, four("tcam_lookup32", "tcam_lookup24", "tcam_lookup16", "tcam_lookup8")),
    (14, four("reflect_write_sig_local", "reflect_write_sig_remote", "reflect_write_sig_both", "")),
    (15, four("reflect_read_sig_remote", "reflect_read_sig_local", "reflect_read_sig_both", "")),
    (16, four("", "cam_lookup32_add_lock", "cam_lookup24_add_inc", "cam_lookup32_add_extend")),
    (17, four("meter", "", "statistic", "statistic_imm")),
    (20, four("test_add", "test_add64", "test_addsat", "")),
    (21, four("test_add_imm", "test_add64_imm", "test_addsat_imm", "")),
    (22, four("test_sub", "test_sub64", "test_subsat", "")),
    (23, four("test_sub_imm", "test_sub64_imm", "test_subsat_imm", "")),
    (24, four("ring_read", "ring_write", "ring_ordered_lock", "ring_ordered_unlock")),
    (25, four("ring_workq_add_thread", "ring_workq_add_work", "", "")),
];
