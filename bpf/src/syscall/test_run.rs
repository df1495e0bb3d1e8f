//! `BPF_PROG_TEST_RUN`.

use super::system::{ActorId, Fd, Refusal, System};
use crate::env::Env;
use crate::errno::Errno;
use crate::interp::{ContextInput, EngineConfig, NoObserver, RunInput, SkbFields, XdpFields};
use crate::memory::Fault;
use crate::program::{Endian, ProgType};

/// What a program is run on.
#[derive(Debug, Clone, Copy, Default)]
pub struct TestRun<'a> {
    /// The packet, from its Ethernet header on; of XDP, metadata in front of it that the context says (its `data`).
    pub data: &'a [u8],
    /// `struct xdp_md` or `struct __sk_buff`, as much of it as is not zero.
    pub context: Option<&'a [u8]>,
    /// How often it is run; 0 is once. What a run does to packet and context the next one finds.
    pub repeat: u32,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRunAnswer {
    /// What the last run returned.
    pub retval: u32,
    /// The packet after the last run, with its metadata in front.
    pub data: Vec<u8>,
    /// The context after the last run; empty if none was given.
    pub context: Vec<u8>,
    /// Instructions of all runs.
    pub retired: u64,
    /// What ended the last run before its exit; a verified program has no such end.
    pub fault: Option<Fault>,
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Longest packet of an skb (kernel: a page, less what stands around the packet).
const SKB_MAX: usize = 3584;
/// Bytes of `struct xdp_md`.
const XDP_MD: usize = 24;
/// Most metadata in front of a packet: the room there (256) less the kernel's own structure in it (40).
const METADATA_MAX: u32 = 216;
/// Bytes of `struct __sk_buff`.
const SK_BUFF: usize = 192;
/// Fields of `struct __sk_buff` that may be given, as bytes: mark, priority, ingress_ifindex and ifindex, cb, tstamp, wire_len
/// and gso_segs, gso_size, hwtstamp (`convert___skb_to_skb`).
const SKB_GIVEN: [std::ops::Range<usize>; 7] = [8..12, 32..44, 48..68, 152..160, 160..168, 176..180, 184..192];
/// Longest packet on the wire, and most segments (`GSO_LEGACY_MAX_SIZE`, `GSO_MAX_SEGS`).
const GSO_MAX: u32 = 65536;

/// A structure of a context, as long as Linux has it.
fn whole(given: &[u8], size: usize) -> Result<Vec<u8>, Errno> {
    if given.iter().skip(size).any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut bytes = given.to_vec();
    bytes.resize(size, 0);
    Ok(bytes)
}

impl System {
    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        bytes.get(at..at + 4).map_or(0, |w| self.config.byte_order.word([w[0], w[1], w[2], w[3]]))
    }

    fn long(&self, bytes: &[u8], at: usize) -> u64 {
        let (first, second) = (u64::from(self.word(bytes, at)), u64::from(self.word(bytes, at + 4)));
        match self.config.byte_order {
            Endian::Little => second << 32 | first,
            Endian::Big => first << 32 | second,
        }
    }

    /// `xdp_convert_md_to_buff`.
    fn xdp_context(&self, given: Option<&[u8]>, len: usize) -> Result<XdpFields, Refusal> {
        let Some(given) = given else { return Ok(XdpFields::default()) };
        let md = whole(given, XDP_MD)?;
        let word = |at| self.word(&md, at);
        let (data, end, meta) = (word(0), word(4), word(8));
        let after = len.checked_sub(data as usize).is_some_and(|after| after >= ETHERNET);
        if meta != 0 || end as usize > len || data > end || data % 4 != 0 || data > METADATA_MAX || !after {
            return Err(Errno::EINVAL.into());
        }
        if (end as usize) < len {
            let rule = "a packet of which only the beginning lies in one piece cannot be handed to a test run";
            return Err(Refusal { errno: None, ..Refusal::new(Errno::EINVAL, rule) });
        }
        let (ingress_ifindex, rx_queue_index) = (word(12), word(16));
        match ingress_ifindex {
            _ if word(20) != 0 => Err(Errno::EINVAL.into()),
            0 if rx_queue_index != 0 => Err(Errno::EINVAL.into()),
            0 => Ok(XdpFields { meta: data, ..XdpFields::default() }),
            device if !self.config.devices.contains(&device) => Err(Errno::ENODEV.into()),
            // Devices here have one queue.
            _ if rx_queue_index != 0 => Err(Errno::EINVAL.into()),
            _ => Ok(XdpFields { ingress_ifindex, rx_queue_index, meta: data, ..XdpFields::default() }),
        }
    }

    /// `convert___skb_to_skb`, on what `eth_type_trans` finds on the loopback device.
    fn skb_context(&self, given: Option<&[u8]>, ty: ProgType, data: &[u8]) -> Result<SkbFields, Refusal> {
        let at_hook = ty != ProgType::SocketFilter;
        let pkt_type = match data {
            [0, 0, 0, 0, 0, 0, ..] => 0,
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ..] => 1,
            [first, ..] if first & 1 != 0 => 2,
            _ => 3,
        };
        let mut skb = SkbFields {
            pkt_type,
            protocol: data.get(12..14).map_or(0, |b| {
                self.config.byte_order.word(match self.config.byte_order {
                    Endian::Little => [b[0], b[1], 0, 0],
                    Endian::Big => [0, 0, b[0], b[1]],
                })
            }),
            ifindex: 1,
            pulled: if at_hook { 0 } else { ETHERNET as u32 },
            ..SkbFields::default()
        };
        let Some(given) = given else { return Ok(skb) };
        let bytes = whole(given, SK_BUFF)?;
        let zero = |(at, byte): (usize, &u8)| *byte == 0 || SKB_GIVEN.iter().any(|field| field.contains(&at));
        if !bytes.iter().enumerate().all(zero) {
            return Err(Errno::EINVAL.into());
        }
        let word = |at| self.word(&bytes, at);
        let len = data.len() as u32 - skb.pulled;
        if word(160) != 0 && !(len..=GSO_MAX).contains(&word(160)) || word(164) >= GSO_MAX {
            return Err(Errno::EINVAL.into());
        }
        skb.mark = word(8);
        skb.priority = word(32);
        skb.ingress_ifindex = word(36);
        skb.cb = std::array::from_fn(|at| word(48 + 4 * at));
        skb.tstamp = self.long(&bytes, 152);
        (skb.wire_len, skb.gso_segs, skb.gso_size) = (word(160), word(164), word(176));
        skb.hwtstamp = self.long(&bytes, 184);
        match word(40) {
            0 => {}
            device if self.config.devices.contains(&device) => skb.ifindex = device,
            _ => return Err(Errno::ENODEV.into()),
        }
        Ok(skb)
    }

    /// Runs a program on a packet, and keeps what it did to maps.
    ///
    /// # Errors
    /// Linux's number: `EINVAL` for a packet that is too short or long, `E2BIG`, `EINVAL` and `ENODEV` for a context that
    /// cannot be.
    pub fn test_run(
        &mut self,
        actor: ActorId,
        program: Fd,
        run: TestRun<'_>,
        env: &mut dyn Env,
    ) -> Result<TestRunAnswer, Refusal> {
        let id = self.prog_fd(actor, program)?;
        let object = self.progs.get(id).ok_or(Errno::EBADF)?;
        if object.bound.is_some() {
            return Err(Refusal::new(Errno::ENOTSUPP, "a program for a card does not run on the host"));
        }
        let ty = object.verified.program().ty;
        let config = EngineConfig::default();
        let longest = if ty.is_skb() { SKB_MAX } else { config.packet_max as usize };
        if run.data.len() < ETHERNET || run.data.len() > longest {
            return Err(Refusal::new(
                Errno::EINVAL,
                format!("a packet of {} bytes; {ETHERNET} to {longest} can be", run.data.len()),
            ));
        }
        let mut context = match ty {
            ProgType::Xdp => ContextInput::Xdp(self.xdp_context(run.context, run.data.len())?),
            _ => ContextInput::Skb(self.skb_context(run.context, ty, run.data)?),
        };
        let mut assembly =
            self.assemble(&[id], config).map_err(|why| Refusal { errno: None, diagnostic: Box::new(why) })?;
        let mut data = run.data.to_vec();
        let (mut answer, header) = (None, if ty == ProgType::SocketFilter { ETHERNET } else { 0 });
        let mut retired = 0;
        for _ in 0..run.repeat.max(1) {
            let input = RunInput { context, packet: &data };
            let outcome = assembly.run(id, input, env, &mut NoObserver).ok_or(Errno::EBADF)?;
            retired += outcome.retired;
            // The kernel puts zeros where it had taken the header away.
            data = vec![0; header];
            match &mut context {
                ContextInput::Skb(skb) => *skb = SkbFields { pulled: skb.pulled, ..assembly.engine().skb() },
                ContextInput::Xdp(xdp) => {
                    data.extend_from_slice(assembly.engine().metadata());
                    xdp.meta = data.len() as u32;
                }
            }
            data.extend_from_slice(assembly.engine().packet());
            answer = Some(outcome);
            if outcome.fault.is_some() {
                break;
            }
        }
        self.absorb(&assembly);
        let outcome = answer.expect("it ran at least once");
        let context = if run.context.is_some() { self.context_out(&context, data.len() - header) } else { Vec::new() };
        Ok(TestRunAnswer { retval: outcome.retval as u32, data, context, retired, fault: outcome.fault })
    }

    /// The structure as a run left it, of which Linux gives back what it takes in.
    fn context_out(&self, context: &ContextInput, len: usize) -> Vec<u8> {
        let order = self.config.byte_order;
        let put = |bytes: &mut Vec<u8>, at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&order.bytes(word));
        match context {
            ContextInput::Xdp(xdp) => {
                let mut bytes = vec![0; XDP_MD];
                put(&mut bytes, 0, xdp.meta);
                put(&mut bytes, 4, len as u32);
                put(&mut bytes, 12, xdp.ingress_ifindex);
                put(&mut bytes, 16, xdp.rx_queue_index);
                bytes
            }
            ContextInput::Skb(skb) => {
                let mut bytes = vec![0; SK_BUFF];
                let words = [
                    (8, skb.mark),
                    (32, skb.priority),
                    (36, skb.ingress_ifindex),
                    (40, skb.ifindex),
                    (160, if skb.wire_len == 0 { len as u32 } else { skb.wire_len }),
                    (164, skb.gso_segs),
                    (176, skb.gso_size),
                ];
                words.into_iter().for_each(|(at, word)| put(&mut bytes, at, word));
                for (at, word) in (48..).step_by(4).zip(skb.cb) {
                    put(&mut bytes, at, word);
                }
                for (at, long) in [(152, skb.tstamp), (184, skb.hwtstamp)] {
                    let (low, high) = (long as u32, (long >> 32) as u32);
                    let halves = if order == Endian::Little { [low, high] } else { [high, low] };
                    put(&mut bytes, at, halves[0]);
                    put(&mut bytes, at + 4, halves[1]);
                }
                bytes
            }
        }
    }
}
