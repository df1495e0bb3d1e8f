//! Loading programs and types.

use std::sync::Arc;

use super::digest::sha256;
use super::map_commands::check_name;
use super::objects::{BtfObject, Object, Owner, ProgObject, shared_by_kind};
use super::offload::Bound;
use super::system::{ActorId, Fd, Mode, Refusal, System};
use crate::btf::{Btf, check};
use crate::errno::Errno;
use crate::insn::{Insn, MapIndex, RawInsn, Wide, encode};
use crate::maps::BPF_F_RDONLY_PROG;
use crate::program::{MapSpec, MapType, Program};
use crate::verifier::{Options, Verdict, VerifiedProgram, verify};

/// What a program is loaded from.
#[derive(Debug, Clone)]
pub struct NewProgram {
    /// The program. What its maps are like is asked of the maps themselves.
    pub program: Program,
    /// The name it is shown with, up to 15 bytes.
    pub name: String,
    /// Maps, by the index that the program names them with.
    pub maps: Vec<Fd>,
    /// Its types.
    pub btf: Option<Fd>,
    /// What it is verified for; [`Options::device_bound`] is set where it is loaded for a device.
    pub options: Options,
    /// The network device whose card it is for (`prog_ifindex`), 0 for none.
    pub ifindex: u32,
}

/// A program whose instructions name its maps by other indices.
fn with_maps(mut program: Program, number: impl Fn(MapIndex) -> MapIndex) -> Program {
    for insn in &mut program.insns {
        if let Insn::LoadImm64 { value: Wide::Map(map) | Wide::MapValue { map, .. }, .. } = insn {
            *map = number(*map);
        }
    }
    program
}

/// The maps that instructions name, in the order in which they do first.
pub(super) fn named(insns: &[Insn]) -> Vec<MapIndex> {
    let mut used = Vec::new();
    for insn in insns {
        if let Insn::LoadImm64 { value: Wide::Map(map) | Wide::MapValue { map, .. }, .. } = insn
            && !used.contains(map)
        {
            used.push(*map);
        }
    }
    used
}

/// `bpf_prog_calc_tag` of Linux 6.18: the start of the SHA-256 of the instructions, with the numbers of maps left out.
fn tag(program: &Program) -> Result<[u8; 8], Refusal> {
    let encoded = encode(&program.insns);
    let mut slots =
        encoded.map_err(|error| Refusal { errno: Some(Errno::EINVAL), diagnostic: Box::new(error.into()) })?;
    for at in 0..program.insns.len() {
        if let Insn::LoadImm64 { value: Wide::Map(_) | Wide::MapValue { .. }, .. } = program.insns[at] {
            slots[at].imm = 0;
            slots[at + 1].imm = 0;
        }
    }
    let bytes: Vec<u8> = slots.into_iter().flat_map(RawInsn::to_le_bytes).collect();
    let digest = sha256(&bytes);
    Ok(*digest.first_chunk().expect("a digest is longer than a tag"))
}

impl System {
    /// `BPF_BTF_LOAD`.
    ///
    /// # Errors
    /// Linux's number and sentence.
    pub fn btf_load(&mut self, actor: ActorId, bytes: &[u8]) -> Result<Fd, Refusal> {
        let object = new_btf(bytes)?;
        let id = self.btfs.add(object)?;
        Ok(self.open_new(actor, Object::Btf(id), Mode::ReadWrite)?)
    }

    /// `BPF_PROG_LOAD`.
    ///
    /// # Errors
    /// The verifier's verdict; `EBADF` and `EINVAL` for maps that are none.
    pub fn prog_load(&mut self, actor: ActorId, new: NewProgram) -> Result<Fd, Refusal> {
        check_name(&new.name)?;
        let bound = self.bind_program(&new.program, new.ifindex).map_err(|why| why.at(&new.name))?;
        let btf = match new.btf {
            None => None,
            Some(fd) => match self.object(actor, fd)? {
                Object::Btf(id) => Some(id),
                _ => return Err(Errno::EINVAL.into()),
            },
        };
        let mut maps = Vec::new();
        for index in named(&new.program.insns) {
            let fd = new.maps.get(index.0 as usize).copied().ok_or(Errno::EBADF)?;
            maps.push((index, self.map_fd(actor, fd)?.0));
        }
        // Descriptors of one map are one map.
        let mut held: Vec<u32> = Vec::new();
        for (_, id) in &maps {
            if !held.contains(id) {
                held.push(*id);
            }
        }
        let place = |index: MapIndex| {
            let id = maps.iter().find(|(named, _)| *named == index).map(|(_, id)| *id);
            MapIndex(held.iter().position(|other| Some(*other) == id).unwrap_or(0) as u32)
        };
        let program = with_maps(new.program, place);
        let object = self.verified(program, held, new.name, btf, (&new.options, bound))?;
        self.own_maps(&object)?;
        let (maps, id) = (object.maps.clone(), self.progs.add(object)?);
        maps.into_iter().for_each(|map| self.get(Object::Map(map)));
        if let Some(btf) = btf {
            self.get(Object::Btf(btf));
        }
        Ok(self.open_new(actor, Object::Prog(id), Mode::ReadWrite)?)
    }

    /// `bpf_check_tail_call`: maps that hold programs belong to one kind of them, that of the first that was put in or
    /// uses the map.
    pub(super) fn own_maps(&mut self, program: &ProgObject) -> Result<(), Refusal> {
        let kind = Owner::of(program.verified.program());
        for id in &program.maps {
            let Some(object) = self.maps.get_mut(*id).filter(|object| shared_by_kind(&object.map)) else { continue };
            if !object.owner.get_or_insert(kind).takes(&object.map, kind) {
                let reason = format!("map {id} belongs to programs of another kind");
                return Err(Refusal::new(Errno::EINVAL, reason).at(&program.name));
            }
        }
        Ok(())
    }

    /// A program that is found good with these maps, and that nobody refers to yet.
    pub(super) fn verified(
        &self,
        mut program: Program,
        maps: Vec<u32>,
        name: String,
        btf: Option<u32>,
        (options, bound): (&Options, Option<Bound>),
    ) -> Result<ProgObject, Refusal> {
        let driver = bound.as_ref().and_then(|bound| self.cards.get(&bound.card)).map(|card| card.driver.clone());
        if let Some(driver) = &driver {
            driver.prepare(&program).map_err(|why| why.at(&name))?;
        }
        self.maps_match(bound.as_ref(), &maps)?;
        let options = Options { device_bound: options.device_bound || bound.is_some(), ..options.clone() };
        program.maps = maps.iter().map(|id| self.seen_by_programs(*id)).collect::<Option<_>>().ok_or(Errno::EBADF)?;
        let tag = tag(&program)?;
        let verified = match verify(program, &options) {
            Verdict::Accepted(verified) => verified,
            Verdict::Rejected(why) => {
                return Err(Refusal { errno: Some(why.errno), diagnostic: Box::new(why.diagnostic) });
            }
            Verdict::Unsupported(diagnostic) => return Err(Refusal { errno: None, diagnostic: Box::new(diagnostic) }),
        };
        let image = match &driver {
            Some(driver) => driver.translate(&verified).map_err(|why| why.at(&name))?,
            None => vec![],
        };
        let (verified, image) = (Arc::new(verified), image.into());
        Ok(ProgObject { verified, name, tag, loaded_at: self.now_ns, refs: 0, maps, btf, options, bound, image })
    }

    /// A map's definition as the verifier reads it: what nobody can change any more is known
    /// (`bpf_map_is_rdonly`).
    fn seen_by_programs(&self, id: u32) -> Option<MapSpec> {
        let object = self.maps.get(id)?;
        let spec = &object.spec;
        let known = spec.ty == MapType::ARRAY
            && spec.max_entries == 1
            && spec.flags & BPF_F_RDONLY_PROG != 0
            && object.map.frozen();
        let first = object.map.elements().first as usize;
        let value = object.memory.get(first..).and_then(|bytes| bytes.get(..spec.value_size as usize));
        Some(MapSpec { initial: value.filter(|_| known).map(<[u8]>::to_vec), ..spec.clone() })
    }

    /// A loaded program, as the verifier found it.
    pub fn program(&self, id: u32) -> Option<&VerifiedProgram> {
        self.progs.get(id).map(|object| object.verified.as_ref())
    }

    /// Types that were loaded.
    pub fn btf(&self, id: u32) -> Option<&Btf> {
        self.btfs.get(id).map(|object| object.btf.as_ref())
    }
}

/// Types as Linux would take them.
pub(super) fn new_btf(bytes: &[u8]) -> Result<BtfObject, Refusal> {
    check::check(bytes).map_err(|why| Refusal::new(why.errno, why))?;
    let btf =
        Btf::parse(bytes).map_err(|why| Refusal { errno: Some(Errno::EINVAL), diagnostic: Box::new(why.into()) })?;
    Ok(BtfObject { btf: Arc::new(btf), bytes: bytes.into(), refs: 0 })
}
